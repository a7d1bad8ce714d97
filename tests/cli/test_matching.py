"""A project's patterns: what matches, and that none of them holds a command up, whatever it is and however it is written."""

from __future__ import annotations

import os
import signal
import time
import warnings

import pytest

from keybaton_cli.project import file, matching, schema
from keybaton_cli.project.matching import matched

VAULT = "0123456789abcdef0123456789abcdef"
SECONDS = 5.0  # of the clock, which on a busy machine goes on without us; without a bound each of these takes hours
SLOW = ("(a+)+$", "a" * 40 + "b")


def rules(text: str) -> dict[str, schema.Rule]:
    """The schema of a text."""
    return dict(file.parse("keybaton.toml", f'vault = "{VAULT}"\n{text}'.encode()).rules)


def test_the_whole_text_has_to_match() -> None:
    """One answer for each pair, in their order; without a text only whether the pattern is one."""
    assert matched([]) == []
    assert matched([("a+", "aa"), ("a+", "aab"), ("", "x"), ("[", None), ("(?=a).b?", "ab"), ("ä", None)]) == [
        True,
        False,
        False,
        "unterminated character set at position 0",
        True,
        True,
    ]
    assert matched([("(?P<a\n>x)", "x"), ("a", "a")]) == [
        r"bad character in group name 'a\n' at position 4 (line 1, column 5)",
        True,
    ]


def test_nothing_is_said_beside_the_answer(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Python warns of patterns that it may read differently one day, in words about this program's own lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda *_warning: os.write(2, b"warned"))
        assert matched([("[[a]", "["), ("[a||b]", "|")]) == [True, True]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        SLOW,
        ("(a|a)*b", "a" * 60),
        (".*.*.*.*.*.*x", "a" * 5_000),
        # Inner loops of the engine that look at nothing but their text for seconds.
        (
            "[" + "".join(map(chr, range(0x10000, 0x10000 + 40_000, 2))) + "]*" * 1 + "x",
            chr(0x10000 + 39_998) * 200_000,
        ),
        # What takes its time to be read, before any text is looked at.
        ("(?i:[\x00-\U0010ffff])" * 2_000, None),
    ],
    ids=["nested", "alternatives", "many", "one-loop", "reading"],
)
def test_what_takes_too_long_is_ended(pattern: str, text: str | None) -> None:
    """It and what follows have no answer; what came before has."""
    begun = time.monotonic()
    assert matched([("a", "a"), (pattern, text), ("a", "a")]) == [True]
    assert time.monotonic() - begun < SECONDS


def test_the_clock_of_a_pattern_runs_whatever_was_inherited() -> None:
    """SIGPROF ignored and blocked by whoever started the command, and SIGCHLD ignored."""
    before = signal.signal(signal.SIGPROF, signal.SIG_IGN), signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})
    try:
        assert matched([("a", "a"), SLOW]) == [True]
        assert signal.SIGPROF in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        signal.signal(signal.SIGPROF, before[0])
        signal.signal(signal.SIGCHLD, before[1])


def test_a_child_that_does_not_run_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It uses none of the processor's time, so that the clock has to end it; nothing of it stays."""
    forked: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(fork()) or forked[0])
    monkeypatch.setattr(matching, "CLOCK_SECONDS", 0.1)
    monkeypatch.setattr(matching, "_answer", lambda _writer, _pairs: os.kill(os.getpid(), signal.SIGSTOP))
    begun = time.monotonic()
    assert matched([("a", "a")]) == []
    assert time.monotonic() - begun < SECONDS
    with pytest.raises(ChildProcessError):
        os.waitpid(forked[0], os.WNOHANG)


def test_the_finding_names_the_slow_pattern_and_what_was_not_looked_at() -> None:
    """The others are judged as ever, and an enumeration is not asked of what has a finding."""
    read = rules(
        '[schema.A]\npattern = "a"\n[schema.B]\npattern = "(a+)+$"\nenum = ["x"]\n[schema.C]\npattern = "c"\n'
        '[schema.D]\nformat = "port"\npattern = "8.*"\n[schema.E]\nenum = ["e"]\n'
    )
    findings = schema.check(read, {"A": "b", "B": SLOW[1], "C": "c", "D": "x", "E": "f"}).findings
    assert {finding.name: finding.problem for finding in findings} == {
        "A": "does not match the pattern a",
        "B": "takes too long to hold against its pattern, in which no repeat may stand within a repeat: (a+)+$",
        "C": "was not held against its pattern: that of B is slow",
        "D": "is not a port from 1 to 65535",
        "E": "is not one of e",
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f'[schema.A]\npattern = "(a+)+$"\ndefault = "{SLOW[1]}"\n', 4, "the default of [schema.A] takes too long"),
        (r"[schema.A]" + "\n" + r'pattern = "' + r"(?i:[\u0000-\U0010ffff])" * 2_000 + '"\n', 3, "too long to read"),
        ("[" + ".".join("a" * 20_000) + "]\n" + "b=1\n" * 40_000, 2, "the name of a table within 300 characters"),
        (".".join("a" * 120_000) + " = 1\n", 2, "at most 100 dots before a ="),
        ("x = {" + ".".join("a" * 120_000) + " = 1}\n", 2, "at most 100 dots before a ="),
        ("# " + "." * 200 + " = \n" + '"#".' + ".".join("a" * 120_000) + " = 1\n", 3, "at most 100 dots before a ="),
        ("x = " + "9" * 200_000 + "\n", 3, "expected TOML: Exceeds the limit"),
        (
            " [" + ".".join(['"\u2028"'] * 20_000) + "]\n" + "b=1\n" * 20_000,
            2,
            "the name of a table within 300 characters",
        ),
        (
            '[schema.A]\ndescription = """' + ("\n[" + " " * 290) * 800 + '"""\n[schema.Z]\nx = 1\n',
            805,
            "unknown key 'x'",
        ),
    ],
    ids=["default", "pattern", "table", "key", "inline-key", "key-behind-comment", "digits", "table-of-lines", "line"],
)
def test_a_file_is_refused_in_time(text: str, line: int, words: str) -> None:
    """Also where its line is looked for among long ones."""
    begun = time.monotonic()
    with pytest.raises(file.ProjectRefused, match=rf"^keybaton\.toml:{line}: ") as refused:
        rules(text)
    assert time.monotonic() - begun < SECONDS
    assert words in str(refused.value)
