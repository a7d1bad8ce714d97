"""The commands on secrets, databases and the vault, run in this process against a fake agent on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keybaton_api.agent.v1 import agent_pb2, common_pb2
from keybaton_cli.secret_types import LINKS, SECRET_TYPES
from keybaton_core.items import LINK_SLOTS
from keybaton_core.items import SECRET_TYPES as CORE_TYPES
from keybaton_testing.command_line import CommandLine, Result, descriptor
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


def test_values_are_masked_until_they_are_to_be_revealed(agent: FakeAgent, run: CommandLine) -> None:
    """Eight dots, whatever the value's length; fields that are no secret are shown."""
    agent.put_secret("s3", "s3-credentials", region="eu", accessKeyId="AK", secretAccessKey="hidden-one")
    masked = run("secrets", "view", "s3")
    assert "hidden-one" not in masked.out
    assert "•" * 8 in masked.out
    assert "eu" in masked.out
    assert "hidden-one" in run("secrets", "view", "s3", "--reveal").out
    fields = run("secrets", "view", "s3", "--json").document["fields"]
    assert fields == {"region": "eu", "accessKeyId": "AK", "secretAccessKey": "•" * 8}
    revealed = run("secrets", "view", "s3", "--json", "--reveal", "--field", "secretAccessKey").document["fields"]
    assert revealed == {"secretAccessKey": "hidden-one"}


def test_get_prints_the_bare_value(agent: FakeAgent, run: CommandLine) -> None:
    """The value and a newline, nothing else."""
    agent.put_secret("token", value="abc")
    assert run("get", "token") == Result(0, "abc\n", "")


def test_get_without_a_field_names_the_fields_there_are(agent: FakeAgent, run: CommandLine) -> None:
    """Several fields and none named: exit code 2."""
    agent.put_secret("site", "login", username="me", password="x")
    result = run("get", "site")
    assert result.code == 2
    assert "username" in result.err
    assert run("get", "site", "--field", "username").out == "me\n"
    assert run("get", "site", "--field", "none").code == 5
    assert run("get", "nothing").code == 5


def test_edit_changes_what_was_given_and_nothing_else(agent: FakeAgent, run: CommandLine) -> None:
    """Fields that no option names stay; a rename reads no standard input."""
    agent.put_secret("site", "login", username="me", password="x", url="https://a.example")
    assert run("secrets", "edit", "site", "--field-fd", f"password={descriptor(b'y')}").code == 0
    assert (agent.field("site", "username"), agent.field("site", "password")) == (b"me", b"y")
    assert run("secrets", "edit", "site", "--remove-field", "url").code == 0
    assert run("secrets", "edit", "site", "--rename", "page", stdin=b"").code == 0
    item = agent.current(common_pb2.ITEM_KIND_SECRET, "page")
    assert item is not None
    assert {field.key for field in item.secret.fields} == {"username", "password"}
    agent.put_secret("one", value="before")
    assert run("secrets", "edit", "one", stdin=b"after\n").code == 0
    assert agent.field("one", "value") == b"after"


def test_lists_are_in_the_order_of_names(agent: FakeAgent, run: CommandLine) -> None:
    """Whatever the order of storing, and whether letters are large or small."""
    for name in ("zoo", "Bank", "app", "bank"):
        agent.put_secret(name, value="v")
        agent.put_database(name, path="p")
    names = ["app", "Bank", "bank", "zoo"]
    assert [line.split()[0] for line in run("secrets", "list").out.splitlines()] == names
    assert [entry["name"] for entry in run("secrets", "list", "--json").document["secrets"]] == names
    assert [line.split()[0] for line in run("dbs", "list").out.splitlines()] == names


def test_an_empty_standard_input_changes_nothing(agent: FakeAgent, run: CommandLine) -> None:
    """So ends `pass show NAME | …` when pass has failed; a newline alone is an empty value that somebody wanted."""
    agent.put_secret("one", value="before")
    for arguments in (("edit", "one"), ("add", "two", "--type", "token")):
        result = run("secrets", *arguments, stdin=b"")
        assert result.code == 2
        assert "Standard input is empty, so nothing was stored." in result.err
    assert agent.field("one", "value") == b"before"
    assert agent.current(common_pb2.ITEM_KIND_SECRET, "two") is None
    assert run("secrets", "edit", "one", stdin=b"\n").code == 0
    assert agent.field("one", "value") == b""


@pytest.mark.parametrize("rename", [(), ("--rename", "other")])
def test_what_changed_meanwhile_is_not_overwritten(agent: FakeAgent, run: CommandLine, rename: tuple[str, ...]) -> None:
    """Another program's change between the reading and the storing: exit code 6, and it stays."""
    agent.put_secret("one", "login", username="me", password="before")

    def meanwhile(agent: FakeAgent) -> None:
        agent.put_secret("one", "login", username="me", password="theirs")

    agent.on_put = meanwhile
    assert run("secrets", "edit", "one", "--field", "username=you", *rename).code == 6
    assert agent.field("one", "password") == b"theirs"


def test_remove_says_what_still_links_to_it_and_undo_brings_it_back(agent: FakeAgent, run: CommandLine) -> None:
    """Nothing is lost by a removal."""
    agent.put_secret("s3", "s3-credentials", region="eu", accessKeyId="AK", secretAccessKey="x")
    agent.put_database("photos", path="s3:b", s3="s3")
    removed = run("secrets", "remove", "s3", "--yes")
    assert removed.code == 0
    assert "photos" in removed.err
    assert run("secrets", "view", "s3").code == 5
    assert "s3  (missing)" in run("dbs", "view", "photos").out
    refused = run("undo", "s3", "--version", "2")
    assert (refused.code, "s3 has no version 2" in refused.err) == (5, True)
    states = [entry["removed"] for entry in run("history", "s3", "--json").document["versions"]]
    assert states == [True, False]
    assert run("undo", "s3").code == 0
    assert "missing" not in run("dbs", "view", "photos").out
    assert run("get", "s3", "--field", "region").out == "eu\n"
    assert run("undo", "never").code == 5


def test_undo_says_which_version_came_back(agent: FakeAgent, run: CommandLine) -> None:
    """Without --version the newest older one that is no removal; with --json its number as well."""
    agent.put_secret("k", value="one")
    for value in (b"two", b"three"):
        run("secrets", "edit", "k", stdin=value)
    assert "k is back as it was: version 2 of " in run("undo", "k", "--yes").out
    assert agent.field("k", "value") == b"two"
    assert run("undo", "k", "--version", "1", "--yes", "--json").document["restoredVersion"] == 1
    assert agent.field("k", "value") == b"one"
    run("secrets", "remove", "k", "--yes")
    assert run("undo", "k", "--yes").out.endswith("(now version 7).\n")


def test_a_database_is_stored_and_shown_with_its_links(agent: FakeAgent, run: CommandLine) -> None:
    """The document is the one that scripts rely on; a link that is not set is null."""
    agent.put_secret("photos-s3", "s3-credentials", region="eu", accessKeyId="AK", secretAccessKey="x")
    added = run("dbs", "add", "photos", "--path", "s3:b:/p", "--description", "Mine", "--s3", "photos-s3")
    assert added.code == 0, added.err
    shown = run("dbs", "view", "photos", "--json").document
    assert {key: shown[key] for key in ("name", "description", "path", "origin", "links")} == {
        "name": "photos",
        "description": "Mine",
        "path": "s3:b:/p",
        "origin": "",
        "links": {"s3": "photos-s3", "encryptionKey": None, "geocodingKey": None},
    }
    assert "photos-s3" in run("dbs", "view", "photos").out
    assert run("dbs", "edit", "photos", "--path", "/elsewhere", "--s3", "").code == 0
    changed = run("dbs", "view", "photos", "--json").document
    assert (changed["path"], changed["links"]["s3"]) == ("/elsewhere", None)


def test_a_link_must_name_a_secret_of_the_right_type(agent: FakeAgent, run: CommandLine) -> None:
    """A missing one is exit code 5, one of another type 2; nothing is stored."""
    agent.put_secret("key", "api-key", apiKey="x")
    missing = run("dbs", "add", "photos", "--path", "p", "--s3", "missing")
    assert missing.code == 5
    assert "`keybaton secrets add missing --type s3-credentials` stores it." in missing.err
    spaced = run("dbs", "add", "photos", "--path", "p", "--s3", "not there")
    assert "`keybaton secrets add 'not there' --type s3-credentials` stores it." in spaced.err
    assert run("dbs", "add", "photos", "--path", "p", "--s3", "key").code == 2
    assert run("dbs", "list", "--json").document == {"databases": []}


def test_lists_are_lines_with_tabs_in_a_pipe(agent: FakeAgent, run: CommandLine) -> None:
    """Other programs read the names from the first column; there is no head."""
    agent.put_secret("b", value="x")
    agent.put_secret("a", "api-key", apiKey="x")
    result = run("secrets", "list")
    assert [line.split("\t")[:2] for line in result.out.splitlines()] == [["a", "api-key"], ["b", "plain"]]
    names = [entry["name"] for entry in run("secrets", "list", "--json", "--type", "plain").document["secrets"]]
    assert names == ["b"]


def test_a_name_cannot_steer_the_terminal(agent: FakeAgent, run: CommandLine) -> None:
    """Control characters of what is shown are replaced, escape sequences do nothing."""
    agent.put_secret("evil\x1b[2J", value="x")
    assert "\x1b" not in run("secrets", "list").out


def test_the_states_of_the_vault_have_exit_codes_of_their_own(agent: FakeAgent, run: CommandLine) -> None:
    """Locked is 4, a wrong passphrase as well; the right one opens."""
    agent.put_secret("token", value="abc")
    assert run("lock").code == 0
    assert run("get", "token").code == 4
    wrong = run("unlock", "--passphrase-fd", str(descriptor(b"wrong\n")), "--json")
    assert wrong.code == 4
    assert wrong.document["error"]["reason"] == "WRONG_PASSPHRASE"
    assert run("unlock").code == 2
    assert run("unlock", "--passphrase-fd", str(descriptor(b"open sesame\nmore"))).out == "Unlocked.\n"
    assert run("status", "--json").document["vault"] == "unlocked"


def test_init_never_steps_down_by_itself(agent: FakeAgent, run: CommandLine) -> None:
    """Without a keychain it fails and names the other ways; a passphrase is used only when it is asked for."""
    agent.info.vault_state = agent_pb2.VAULT_STATE_ABSENT
    failed = run("init")
    assert failed.code == 1
    assert "--keystore passphrase" in failed.err
    made = run("init", "--keystore", "passphrase", "--passphrase-fd", str(descriptor(b"long enough\n")), "--json")
    assert made.document["keystore"] == "passphrase"
    assert agent.passphrase == b"long enough"
    again = run("init", "--keystore", "passphrase", "--passphrase-fd", str(descriptor(b"x\n")))
    assert again.code == 6
    agent.info.problem = "The vault was written by a newer Keybaton."
    newer = run("init", "--keystore", "passphrase", "--passphrase-fd", str(descriptor(b"x\n")))
    assert newer.code == 6
    assert "newer Keybaton" in newer.err and "keybaton doctor" in newer.err


def test_check_lists_findings_and_fails(agent: FakeAgent, run: CommandLine) -> None:
    """A sound vault is exit code 0, damage 1."""
    assert run("vault", "check").out == "The vault is sound.\n"
    agent.vault_findings = ["row 3 does not open"]
    result = run("vault", "check", "--json")
    assert (result.code, result.document["sound"]) == (1, False)


def test_doctor_fails_on_errors_and_gives_hints(agent: FakeAgent, run: CommandLine) -> None:
    """The agent's findings follow the client's; one error is exit code 1."""
    assert run("doctor").code == 0
    agent.findings = [
        agent_pb2.Finding(level=agent_pb2.Finding.LEVEL_ERROR, topic="port", text="54321 is taken", hint="End it.")
    ]
    result = run("doctor")
    assert result.code == 1
    assert "hint: End it." in result.out


def test_usage_errors_are_documents_with_json(agent: FakeAgent, run: CommandLine) -> None:
    """Wherever --json stands, and for unknown commands and options too."""
    for arguments in (("secrets", "view", "--json"), ("--json", "nonsense"), ("get", "a", "--nonsense", "--json")):
        result = run(*arguments)
        assert result.code == 2
        assert result.document["error"]["reason"] == "USAGE"


def test_a_socket_where_nobody_listens_is_exit_code_3(run: CommandLine, tmp_path: Any) -> None:
    """An agent is never started at a path that an option names."""
    result = run("status", "--json", "--socket", str(tmp_path / "none.sock"))
    assert result.code == 3
    assert result.document["error"]["reason"] == "NO_AGENT"


def test_every_command_has_help_with_examples(run: CommandLine) -> None:
    """Walks the whole tree of commands."""
    import click

    from keybaton_cli.cli import cli

    def walk(group: click.Group, words: list[str]) -> Iterator[list[str]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            yield [*words, name]
            if isinstance(found, click.Group):
                yield from walk(found, [*words, name])

    for words in walk(cli, []):
        result = run(*words, "--help")
        assert result.code == 0, words
        assert "Examples:" in result.out, words
        assert "--json" in result.out, words
        assert "--socket" in result.out, words
