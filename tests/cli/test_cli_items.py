"""What is stored: shown, edited, listed, removed, brought back, and databases with their links; against a fake agent."""

from __future__ import annotations

import pytest

from keybaton_api.agent.v1 import common_pb2
from keybaton_testing.command_line import CommandLine, Result, descriptor
from keybaton_testing.fake_agent import FakeAgent


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
    assert "`keybaton undo s3` brings it back." in removed.err
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


@pytest.mark.parametrize("command", ["view", "edit", "remove"])
def test_what_is_not_there_is_told_as_what_it_would_be(agent: FakeAgent, run: CommandLine, command: str) -> None:
    """With the nearest name of its own kind, and the list of that kind."""
    agent.put_secret("photos-s3", value="x")
    agent.put_database("photos", path="s3:b")
    options = {"view": (), "edit": ("--rename", "n"), "remove": ("--yes",)}[command]
    for noun, name, told, listing in (
        (
            "secrets",
            "photo-s3",
            "There is no secret named photo-s3; the nearest is photos-s3.",
            "`keybaton secrets list`",
        ),
        ("dbs", "photo", "There is no database named photo; the nearest is photos.", "`keybaton dbs list`"),
        ("dbs", "unlike", "There is no database named unlike.", "`keybaton dbs list`"),
    ):
        failed = run(noun, command, name, *options, "--json")
        assert (failed.code, failed.document["error"]["reason"]) == (5, "NOT_FOUND")
        assert failed.document["error"]["message"] == told
        assert listing in failed.document["error"]["hint"]


def test_a_value_that_is_not_there_is_told_with_the_nearest_name(agent: FakeAgent, run: CommandLine) -> None:
    """Of secrets alone, whose values these are."""
    agent.put_secret("github-token", value="x")
    agent.put_database("github-tokens", path="s3:b")
    failed = run("get", "gihub-tokens", "--json")
    assert (failed.code, failed.document["error"]["reason"]) == (5, "NOT_FOUND")
    assert failed.document["error"]["message"] == "There is no secret named gihub-tokens; the nearest is github-token."


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
