"""`keybaton secrets add`: where its values come from, and what is refused; against a fake agent on a real socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from keybaton_cli.secret_types import LINKS, SECRET_TYPES
from keybaton_core.items import LINK_SLOTS
from keybaton_core.items import SECRET_TYPES as CORE_TYPES
from keybaton_testing.command_line import CommandLine, descriptor
from keybaton_testing.fake_agent import FakeAgent


def test_the_types_of_secrets_are_those_of_the_agent() -> None:
    """The client's copy of the table must name the same types, fields and rules as the core's."""
    ours = {name: [(s.name, s.required, s.binary, s.hidden) for s in specs] for name, specs in SECRET_TYPES.items()}
    theirs = {name: [(s.name, s.required, s.binary, s.hidden) for s in specs] for name, specs in CORE_TYPES.items()}
    assert ours == theirs
    assert {slot: wanted for slot, _, wanted, _ in LINKS} == dict(LINK_SLOTS)


def test_a_secret_with_one_field_takes_its_value_from_standard_input(agent: FakeAgent, run: CommandLine) -> None:
    """One final newline is dropped, not more."""
    result = run("secrets", "add", "note", "--type", "note", stdin=b"two\nlines\n\n")
    assert (result.code, result.out) == (0, "Stored note.\n")
    assert agent.field("note", "value") == b"two\nlines\n"


def test_fields_come_from_descriptors(agent: FakeAgent, run: CommandLine) -> None:
    """Each --field-fd reads one descriptor to its end."""
    user, secret = descriptor(b"me\n"), descriptor(b"s3cret")
    result = run(
        "secrets",
        "add",
        "site",
        "--type",
        "login",
        "--field-fd",
        f"username={user}",
        "--field-fd",
        f"password={secret}",
    )
    assert result.code == 0
    assert "warning" not in result.err
    assert agent.field("site", "username") == b"me"
    assert agent.field("site", "password") == b"s3cret"


def test_a_value_on_the_command_line_is_taken_with_a_warning(agent: FakeAgent, run: CommandLine) -> None:
    """Other programs could have read it: stderr says so."""
    result = run("secrets", "add", "key", "--type", "api-key", "--field", "apiKey=abc=d")
    assert result.code == 0
    assert "--field-fd" in result.err
    assert agent.field("key", "apiKey") == b"abc=d"


def test_a_field_that_a_type_does_not_have_is_named(run: CommandLine) -> None:
    """Beside those that it needs: `user` for `username` is easily typed."""
    failed = run("secrets", "add", "site", "--type", "login", "--field", "user=me")
    assert failed.code == 2
    assert "login needs: username, password; it has no field user." in failed.err


def test_the_warning_is_for_secret_fields_alone(agent: FakeAgent, run: CommandLine) -> None:
    """A region on the command line is nothing to warn of."""
    fields = ("--field", "region=eu", "--field", "accessKeyId=AK", "--field-fd", f"secretAccessKey={descriptor(b'x')}")
    assert run("secrets", "add", "cloud", "--type", "s3-credentials", *fields).err == ""
    assert run("secrets", "edit", "cloud", "--field", "region=us").err == ""
    assert "warning" in run("secrets", "edit", "cloud", "--field", "secretAccessKey=seen").err


def test_values_come_from_files(agent: FakeAgent, run: CommandLine, tmp_path: Path) -> None:
    """A file as it is, with its name; of text without its final newline; --field-file for one field of several."""
    path = tmp_path / "id.bin"
    path.write_bytes(b"\0\xff\n")
    assert run("secrets", "add", "blob", "--type", "file", "--file", str(path)).code == 0
    assert (agent.field("blob", "name"), agent.field("blob", "content")) == (b"id.bin", b"\0\xff\n")
    path.write_bytes(b"other\n")
    assert run("secrets", "edit", "blob", "--file", str(path)).code == 0
    assert (agent.field("blob", "name"), agent.field("blob", "content")) == (b"id.bin", b"other\n")
    named = ("--file", str(path), "--field", "name=mine")
    assert run("secrets", "add", "named", "--type", "file", *named).err == ""
    assert agent.field("named", "name") == b"mine"
    assert run("secrets", "add", "phrase", "--type", "token", "--file", str(path)).code == 0
    assert agent.field("phrase", "value") == b"other"
    login = ("--field", "username=me", "--field-file", f"password={path}")
    assert run("secrets", "add", "site", "--type", "login", *login).code == 0
    assert agent.field("site", "password") == b"other"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--type", "login", "--file", "/dev/null"), 2, "username, password"),
        (("--type", "login", "--field-file", "password"), 2, "KEY=PATH"),
        (("--type", "token", "--file", "/does/not/exist"), 1, "No such file"),
        (("--type", "token", "--file", "/"), 1, "/ cannot be read: Is a directory"),
        (("--type", "token", "--file", "/dev/null", "--field-file", "value=/dev/null"), 2, "twice"),
    ],
)
def test_a_file_that_does_not_fit_is_told(
    agent: FakeAgent, run: CommandLine, arguments: tuple[str, ...], code: int, told: str
) -> None:
    """Nothing is stored."""
    result = run("secrets", "add", "new", *arguments)
    assert result.code == code
    assert told in result.err
    assert agent.items == {}


def test_a_key_that_is_no_pem_is_stored_with_a_warning(agent: FakeAgent, run: CommandLine) -> None:
    """No error, as the agent takes any text; a block is taken without a word."""
    result = run("secrets", "add", "odd", "--type", "encryption-key", "--field-fd", f"privateKeyPem={descriptor(b'x')}")
    assert result.code == 0
    assert "no PEM block" in result.err
    pem = descriptor(b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n")
    assert run("secrets", "add", "key", "--type", "encryption-key", "--field-fd", f"privateKeyPem={pem}").err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--type", "plain"), "value"),
        (("--type", "login", "--field", "username=me"), "password"),
        ((), "--type"),
        (("--type", "nonsense"), "nonsense"),
        (("--type", "plain", "--field", "novalue"), "KEY=VALUE"),
        (("--type", "plain", "--field-fd", "value=999"), "999"),
        (("--type", "plain", "--field-fd", "value=99999999999999999999"), "--field-fd takes KEY=N"),
        (("--type", "plain", "--field", "value=a", "--field", "value=b"), "twice"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(
    agent: FakeAgent, run: CommandLine, arguments: tuple[str, ...], told: str
) -> None:
    """Without a terminal nothing is asked: exit code 2, what is missing is named, and nothing is stored."""
    result = run("secrets", "add", "new", *arguments)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert agent.items == {}


def test_a_name_that_is_taken_is_a_conflict(agent: FakeAgent, run: CommandLine) -> None:
    """Exit code 6, and with --json the error is a document on stdout."""
    agent.put_secret("here", value="old")
    result = run("secrets", "add", "here", "--type", "plain", "--json", stdin=b"new")
    assert result.code == 6
    assert result.document["error"]["reason"] == "NAME_TAKEN"
    assert agent.field("here", "value") == b"old"
