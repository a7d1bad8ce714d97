"""`keybaton.toml` and its schema: what is accepted, and how what is not is told."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_cli.commands.env_project import check
from keybaton_cli.project import file, schema

VAULT = "0123456789abcdef0123456789abcdef"
HEAD = f'vault = "{VAULT}"\n'
PATH = "/project/keybaton.toml"


def read(text: str) -> file.Project:
    """The project of a text."""
    return file.parse(PATH, (HEAD + text).encode())


def test_a_full_file_is_read() -> None:
    """Every documented key has its effect."""
    project = read(
        'name = "shop"\n[aliases]\nprod = "production"\n'
        '[schema.PORT]\nrequired = true\nformat = "port"\ndefault = "8080"\nsecret = false\ndescription = "where to listen"\n'
        '[schema.MODE]\nenum = ["a", "b"]\nclient = true\n[schema.KEY]\npattern = "k-[0-9]+"\n'
    )
    assert (project.vault, project.name, project.environment("prod")) == (VAULT, "shop", "production")
    assert project.environment("staging") == "staging"
    assert project.rules["PORT"].default == "8080"
    assert not project.rules["PORT"].secret
    assert project.rules["MODE"].client
    assert not project.rules["MODE"].secret
    assert project.rules["KEY"].secret


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("colour = 1\n", 2, "unknown key 'colour'"),
        ("name = 5\n", 2, "expected name to be text"),
        ("name = \n", 2, "expected TOML"),
        ("[aliases]\nprod = 3\n", 3, "expected alias"),
        ('[aliases]\nprod = "no spaces"\n', 3, "expected alias"),
        ("[schema.PORT]\nrequird = true\n", 3, "unknown key 'requird'"),
        ('[schema.PORT]\n\nformat = "prt"\n', 4, "expected format"),
        ("[schema.PORT]\nrequired = 1\n", 3, "true or false"),
        ('[schema.PORT]\nformat = "port"\ndefault = "99999"\n', 4, "the default of [schema.PORT] is not a port"),
        ('[schema.MODE]\nenum = ["a"]\ndefault = ""\n', 4, "is empty"),
        ('[schema.KEY]\npattern = "("\n', 3, "regular expression"),
        ('[schema."9X"]\nrequired = true\n', 2, "variable's name"),
        ("[schema.A]\nsecret = true\nclient = true\n", 4, "both secret and client"),
        ('[schema.A]\nenum = ["a", 1]\n', 3, "list of texts"),
        ("[extra]\nx = 1\n", 2, "unknown key 'extra'"),
    ],
)
def test_a_malformed_file_is_told_with_its_line(text: str, line: int, words: str) -> None:
    """File, line and what was expected."""
    with pytest.raises(file.ProjectRefused, match=rf"^/project/keybaton\.toml:{line}: ") as refused:
        read(text)
    assert words in str(refused.value)


@pytest.mark.parametrize("data", [b"", b'vault = "xyz"\n', b"vault = 1\n", b"\xff\n", b"x" * 300_000])
def test_a_file_without_a_vault_is_refused(data: bytes) -> None:
    """No vault id, a wrong one, not text, oversize."""
    with pytest.raises(file.ProjectRefused):
        file.parse(PATH, data)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (HEAD + text).encode()))
@settings(max_examples=1000)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """The reader is total."""
    with contextlib.suppress(file.ProjectRefused):
        file.parse(PATH, data)


def test_the_nearest_file_above_is_found(tmp_path: Path) -> None:
    """As git finds its folder."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    file.write(tmp_path / "keybaton.toml", VAULT, "outer")
    assert file.find(inner) == tmp_path / "keybaton.toml"
    file.write(inner / "keybaton.toml", VAULT, "inner")
    assert file.find(inner) == inner / "keybaton.toml"


def test_a_written_file_is_read_back_and_never_replaced(tmp_path: Path) -> None:
    """The name survives quotes; a second write refuses and leaves no temporary file."""
    path = tmp_path / "keybaton.toml"
    file.write(path, VAULT, 'a "quoted" \\ name')
    assert file.read(path).name == 'a "quoted" \\ name'
    with pytest.raises(FileExistsError):
        file.write(path, VAULT, "other")
    assert [entry.name for entry in tmp_path.iterdir()] == ["keybaton.toml"]


@pytest.mark.parametrize(
    ("format_", "good", "bad"),
    [
        ("url", ["https://a.b/c?d=e", "postgres://u:p@h:5432/d", "http://[::1]:80/"], ["a.b", "http://", "http://a:99999", "h ttp://a"]),
        ("port", ["1", "65535", "080"], ["0", "65536", "-1", "8o", "", "٣"]),
        ("email", ["a@b.c", "a.b+c@d-e.f"], ["a", "@b", "a@", "a b@c", "a@-b"]),
        ("boolean", ["true", "FALSE", "1", "0", "yes", "no"], ["on", "2", ""]),
        ("integer", ["0", "-5", "+12"], ["1.0", "0x1", "", "١"]),
        ("hostname", ["localhost", "a.b.c", "x1-y"], ["-a", "a..b", "a_b", "", "x" * 64]),
        ("ip", ["127.0.0.1", "::1"], ["1.2.3", "256.0.0.1", "localhost"]),
    ],
)  # fmt: skip
def test_formats(format_: str, good: list[str], bad: list[str]) -> None:
    """Each format accepts what it says and nothing else."""
    accepts = schema.FORMATS[format_].accepts
    assert [value for value in good if not accepts(value)] == []
    assert [value for value in bad if accepts(value)] == []


def test_checks_stand_in_their_order() -> None:
    """Missing or empty first, then format, pattern, enumeration; one finding for each variable."""
    rules = read(
        '[schema.A]\nrequired = true\n[schema.B]\ndefault = "x"\n[schema.C]\nformat = "port"\npattern = "8.*"\nenum = ["80"]\n'
    ).rules
    checked = schema.check(rules, {"A": "", "B": "", "C": "no", "FREE": "x"})
    assert [str(finding) for finding in checked.findings] == [
        "A is required and empty",
        "C is not a port from 1 to 65535",
    ]
    assert checked.defaults == {"B": "x"}
    assert [f.problem for f in schema.check(rules, {"A": "1", "C": "90"}).findings] == [
        "does not match the pattern 8.*"
    ]
    assert [f.problem for f in schema.check(rules, {"A": "1", "C": "81"}).findings] == ["is not one of 80"]
    assert schema.check(rules, {"A": "1", "C": "80"}).findings == ()


def test_findings_show_only_values_that_are_no_secret() -> None:
    """A secret's value is in no text."""
    rules = read('[schema.A]\nformat = "port"\n[schema.B]\nformat = "port"\nsecret = false\n').rules
    shown = [str(finding) for finding in schema.check(rules, {"A": "hunter2", "B": "open"}).findings]
    assert shown == ["A is not a port from 1 to 65535", "B is not a port from 1 to 65535 (is 'open')"]


def test_the_help_names_every_key_and_every_format_of_a_schema() -> None:
    """It is where they are looked up."""
    assert check.help is not None
    words = set(re.findall(r"\w+", check.help))
    assert {*file._RULE_KEYS, *schema.FORMATS} <= words
