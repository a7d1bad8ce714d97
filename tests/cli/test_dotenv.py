"""The `.env` dialects, held against the real dotenv of npm and the real python-dotenv."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import dotenv as python_dotenv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_cli.dotenv import reading, writing
from keybaton_testing import node_dotenv
from keybaton_testing.dotenv_corpus import corpus
from keybaton_testing.require import require

CORPUS = 2500

HARD_FILES = {
    "multi-line in double quotes": 'KEY="-----BEGIN\nabc\n-----END"\nNEXT=1\n',
    "escaped line ends": "A=\"a\\nb\\rc\"\nB='a\\nb'\n",
    "hash inside and after values": "A=a#b\nB=a #b\nC=\"a # b\" # c\nD='#'\nE=#\n",
    "equals signs in values": "A=b=c==\nB==\n",
    "carriage returns": "A=1\r\nB='x\r\ny'\r\nC=3\rD=4",
    "a byte-order mark": "\ufeffA=1\nB=2\n",
    "export": "export A=1\nexport  B = 2\nexport\tC=3\n",
    "empty values": "A=\nB=''\nC=\"\"\nD= \n",
    "unicode": "A=žluťoučký\nB='日本語 😀'\n",
    "backslashes": 'A=a\\b\nB=\'a\\b\'\nC="a\\\\b"\nD="a\\tb"\n',
    "dollars": "A=$B\nB=${A}\nC='${A}'\nD=\"$$\"\n",
    "quotes within quotes": 'A=\'say "hi"\'\nB="it\'s"\nC=`both \' and "`\n',
    "unbalanced quotes": "A='open\nB=1\nC=\"x'y\n",
    "white space": "  A =  b  \n\tB\t=\tc\t\n",
    "colon": "A: b\nB:c\n",
    "comments and blank lines": "# first\n\n   # second\nA=1\n\n#B=2\n",
    "the same name twice": "A=1\nA=2\n",
    "names with dots and hyphens": "a.b=1\nc-d=2\n1E=3\n",
    "no final line end": "A=1",
}


def values_of(bindings: list[reading.Binding]) -> dict[str, str | None]:
    """Name to value, as the readers return it."""
    return {name: binding.value for name, binding in reading.last_values(bindings).items()}


def real_python(text: str, folder: Path) -> dict[str, str | None]:
    """What `dotenv_values` reads from a file with this text in an empty environment."""
    path = folder / "oracle.env"
    path.write_bytes(text.encode())
    return dict(python_dotenv.dotenv_values(path))


@pytest.fixture
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """python-dotenv expands from the process's environment too; the oracle must not see it (no file names PATH)."""
    for name in set(os.environ) - {"PATH"}:
        monkeypatch.delenv(name)


def test_node_dialect_reads_what_npm_dotenv_reads() -> None:
    """Over generated and hand-written files, every name and value is the one that the real package gives."""
    require("node-dotenv")
    texts = [*HARD_FILES.values(), *corpus(20261122, CORPUS)]
    for text, expected in zip(texts, node_dotenv.parse_all(texts), strict=True):
        assert values_of(reading.parse_node(text)) == expected, repr(text)


def test_python_dialect_reads_what_python_dotenv_reads(tmp_path: Path, empty_environment: None) -> None:
    """Over the same files, the values (expanded) are the library's; a file it would skip lines of is refused."""
    read = 0
    for text in [*HARD_FILES.values(), *corpus(20261122, CORPUS)]:
        try:
            found = values_of(reading.parse_python(text))
        except reading.DotenvRefused as refused:
            assert 1 <= refused.line <= text.count("\n") + text.count("\r") + 1
            continue
        assert found == real_python(text, tmp_path), repr(text)
        read += 1
    assert read > 200


@pytest.mark.parametrize("dialects", [("node",), ("python",), ("node", "python")])
def test_what_is_written_is_read_back_exactly_by_the_real_readers(
    dialects: tuple[str, ...], tmp_path: Path, empty_environment: None
) -> None:
    """Every value of the corpus is either read back byte for byte by the real reader, or refused by name."""
    if "node" in dialects:
        require("node-dotenv")
    values = [text for text in corpus(7, 2000) if len(text) < 60]
    written: list[tuple[str, str]] = []
    for value in values:
        try:
            written.append((writing.dotenv({"KEY": value}, dialects), value))
        except writing.CannotCarry as refused:
            assert refused.name == "KEY"
    assert len(written) > len(values) // 10
    if "node" in dialects:
        read = node_dotenv.parse_all([text for text, _ in written])
        assert read == [{"KEY": value} for _, value in written]
    if "python" in dialects:
        for text, value in written:
            assert real_python(text, tmp_path) == {"KEY": value}


def test_the_python_dialect_carries_every_text() -> None:
    """python-dotenv's escapes can write anything, so nothing is refused there."""
    for value in corpus(11, 500):
        writing.dotenv({"KEY": value}, ("python",))


def test_ordinary_values_are_carried_for_both_readers() -> None:
    """Keys, URLs, PEM blocks, passwords and JSON need no choice of reader."""
    values = {
        "URL": "postgres://u:p%40ss@db.example:5432/app?sslmode=require",
        "PEM": "-----BEGIN PRIVATE KEY-----\nMIIE\nabc+/=\n-----END PRIVATE KEY-----\n",
        "JSON": '{"a": [1, 2], "b": "c d"}',
        "PASSWORD": 'pa ss#w$rd!`"',
        "EMPTY": "",
        "SPACES": "  both ends  ",
        "APOSTROPHE": "it's",
        "WINDOWS": "C:\\Users\\x",
    }
    text = writing.dotenv(values)
    for dialect in reading.DIALECTS:
        assert values_of(reading.parse(text, dialect)) == values


def test_differences_name_the_line() -> None:
    """Where the dialects part, the name, its line and what each side sees are told; values are not."""
    text = "SAME=1\nEXPANDED=${SAME}\nTICKS=`a b`\n"
    assert [(d.name, d.line) for d in reading.differences(text)] == [("EXPANDED", 2), ("TICKS", 3)]
    assert reading.differences("A=1\nB='2'\n") == []
    broken = reading.differences("A=1\n!\nB=2\n'x\n")
    assert broken[0].line == 4


@pytest.mark.parametrize(
    ("data", "line"), [(b"A=1\nB=\xff\n", 2), (b"A=1\n\nB=\0\n", 3), (b"A=1\nB=" + b" " * 2000, 2), (b"x" * 1048577, 0)]
)
def test_unreadable_files_are_refused_with_their_line(data: bytes, line: int) -> None:
    """Not UTF-8, NUL, hostile runs of white space, oversize."""
    with pytest.raises(reading.DotenvRefused) as refused:
        reading.decode(data)
    assert refused.value.line == line


TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)


@given(st.text(max_size=300))
@settings(max_examples=1000)
def test_readers_never_fail_but_by_refusing(text: str) -> None:
    """Any text is read or refused with a line."""
    reading.parse_node(text)
    try:
        reading.parse_python(text)
    except reading.DotenvRefused as refused:
        assert refused.line >= 1


def test_what_dockers_file_cannot_carry_is_refused() -> None:
    """Line ends, a carriage return that would be one, and a line over its limit; the name is told and no value."""
    longest = "x" * (writing.DOCKER_LINE_MAX_BYTES - len("K="))
    assert writing.docker({"K": longest, "L": " a\rb #"}) == f"K={longest}\nL= a\rb #\n"
    for value in ("hush\n", "hush\nhush", "hush\r", longest + "x"):
        with pytest.raises(writing.CannotCarry, match=r"^K: ") as refused:
            writing.docker({"A": "1", "K": value})
        assert "hush" not in str(refused.value)


@given(st.dictionaries(NAMES, TEXTS, max_size=4))
@settings(max_examples=300)
def test_json_carries_everything(values: dict[str, str]) -> None:
    """JSON is the format of last resort: it never refuses."""
    assert json.loads(writing.as_json(values)) == values


@pytest.mark.parametrize("program", ["sh", "bash"])
def test_a_shell_reads_back_what_is_written_for_it(program: str) -> None:
    """`eval` of the output gives each value byte for byte; $ ` ! and line ends included."""
    values = {f"K{number}": value for number, value in enumerate(corpus(3, 300))}
    script = writing.shell(values) + "exec env -0"
    done = subprocess.run(
        [program, "-c", script], capture_output=True, timeout=30, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    found = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if "=" in entry)
    assert {name: found[name] for name in values} == values
