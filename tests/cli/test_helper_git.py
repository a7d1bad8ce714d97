"""git's credential helper: its protocol, bad input, and a terminal behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_cli.helpers.git import parsed
from keybaton_cli.helpers.logins import escaped
from keybaton_cli.helpers.plain import INPUT_MAX
from keybaton_client.problem import ClientError
from keybaton_testing.helper_programs import GIT_QUERY, HINT, Helpers, unlocked_helpers
from keybaton_testing.trampoline import starting


@pytest.fixture
def helpers() -> Iterator[Helpers]:
    with unlocked_helpers() as made:
        yield made


def credential(**fields: str) -> bytes:
    """A request of git."""
    lines = {"protocol": "https", "host": "git.example", **fields}
    return "".join(f"{key}={value}\n" for key, value in lines.items()).encode() + b"\n"


def test_git_gets_back_what_it_stored_for_exactly_that_place(helpers: Helpers) -> None:
    """Another host, port, protocol, path or user is another place: nothing is said, and git goes on."""
    assert helpers.git("store", credential(username="ann", password="p w=1")).returncode == 0
    assert helpers.git("get", credential()).stdout == b"username=ann\npassword=p w=1\n"
    assert helpers.git("get", credential(username="ann")).stdout == b"username=ann\npassword=p w=1\n"
    for other in (
        {"host": "git.example:8443"},
        {"host": "evil.git.example"},
        {"host": "GIT.example"},
        {"protocol": "http"},
        {"path": "repo.git"},
        {"username": "bob"},
    ):
        done = helpers.git("get", credential(**other))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert helpers.names() == ["git:https://git.example"]
    assert {read.client for read in helpers.agent.reads} == {"git"}


def test_git_keeps_several_users_of_one_host(helpers: Helpers) -> None:
    """The first stays the one for requests without a user."""
    for user in ("ann", "bob c%d"):
        helpers.git("store", credential(username=user, password=f"of {user}"))
    assert helpers.names() == ["git:https://git.example", "git:https://git.example bob%20c%25d"]
    assert helpers.git("get", credential()).stdout == b"username=ann\npassword=of ann\n"
    assert helpers.git("get", credential(username="bob c%d")).stdout == b"username=bob c%d\npassword=of bob c%d\n"


def test_git_writes_only_what_has_changed(helpers: Helpers) -> None:
    """git hands each working login to its helpers again: no new version, no lost second factor."""
    helpers.agent.put_secret(
        "git:https://git.example", "login", username="ann", password="p", url="https://git.example", totp="seed"
    )
    helpers.git("store", credential(username="ann", password="p"))
    stored = helpers.agent.current(1, "git:https://git.example")
    assert stored is not None
    assert stored.version == 1
    helpers.git("store", credential(username="ann", password="q", password_expiry_utc="1", oauth_refresh_token="no"))
    stored = helpers.agent.current(1, "git:https://git.example")
    assert stored is not None
    assert stored.version == 2
    fields = {field.key: field.value for field in stored.secret.fields}
    assert fields == {"username": b"ann", "password": b"q", "url": b"https://git.example", "totp": b"seed"}


def test_git_erases_what_matches_and_nothing_else(helpers: Helpers) -> None:
    """A password that was changed meanwhile stays; without a user every login of the place goes."""
    for user in ("ann", "bob"):
        helpers.git("store", credential(username=user, password="p"))
    helpers.git("store", credential(host="git.example.org", username="ann", password="p"))
    helpers.git("erase", credential(username="ann", password="older"))
    assert len(helpers.names()) == 3
    helpers.git("erase", credential(username="bob", password="p"))
    assert helpers.names() == ["git:https://git.example", "git:https://git.example.org"]
    helpers.git("store", credential(username="bob", password="p"))
    assert helpers.git("erase", credential()).returncode == 0
    assert helpers.names() == ["git:https://git.example.org"]
    assert helpers.git("erase", credential()).returncode == 0


def test_a_login_that_says_another_place_is_not_used(helpers: Helpers) -> None:
    """Its name alone, which another device may have chosen, is not enough; one without a place was made by hand."""
    helpers.agent.put_secret("git:https://git.example", "login", username="a", password="p", url="https://bank.example")
    assert helpers.git("get", GIT_QUERY).stdout == b""
    helpers.agent.put_secret("git:https://git.example", "login", username="a", password="p")
    assert helpers.git("get", GIT_QUERY).stdout == b"username=a\npassword=p\n"
    helpers.agent.put_secret("git:https://git.example", "token", value="p")
    assert helpers.git("get", GIT_QUERY).stdout == b""


@pytest.mark.parametrize("name", ["git:https://git.example", "git:https://git.example b"])
def test_what_somebody_has_stored_by_hand_is_never_replaced(helpers: Helpers, name: str) -> None:
    """Neither a secret of another type nor a login of another place, though it has the name that the login would get."""
    helpers.agent.put_secret("git:https://git.example", "login", username="a", password="p", url="https://git.example")
    for kind, fields in (("token", {"value": "t"}), ("login", {"username": "b", "password": "x", "url": "https://b"})):
        helpers.agent.put_secret(name, kind, **fields)
        done = helpers.git("store", GIT_QUERY.strip() + b"\nusername=b\npassword=new\n\n")
        assert done.returncode == 1
        assert name.encode() in done.stderr
        assert {key: helpers.agent.field(name, key).decode() for key in fields} == fields


@pytest.mark.parametrize(
    "request_",
    [
        b"protocol=https\nhost=git.example\r\n\n",
        b"protocol=https\nhost=git.example\0\n\n",
        b"protocol=https\nhost=git.example\npath=a\rb\n\n",
        b"protocol=https\nhost=git.example\npath=a\0b\n\n",
        b"protocol=https\nhost=git.example\nhost=evil.example\n\n",
        b"protocol=https\nhost=git.example/evil\n\n",
        b"protocol=https\nhost=user@git.example\n\n",
        b"protocol=https\nhost=git.example\x1b[0m\n\n",
        b"protocol=ht tps\nhost=git.example\n\n",
        b"protocol=https\nhost=git.example\nno equals sign\n\n",
        b"protocol=https\nhost=git.example\n=x\n\n",
        b"protocol=https\nhost=\xff\n\n",
    ],
)
def test_git_requests_that_smell_are_refused(helpers: Helpers, request_: bytes) -> None:
    """No credential, a sentence for the person, and git is told to stop; nothing is stored or erased either."""
    helpers.agent.put_secret("git:https://git.example", "login", username="ann", password="p")
    done = helpers.git("get", request_)
    assert (done.returncode, done.stdout) == (1, b"quit=1\n")
    assert done.stderr.startswith(b"keybaton: The request was refused: ")
    for action in ("store", "erase"):
        done = helpers.git(action, request_.replace(b"\n\n", b"\nusername=ann\npassword=p\n\n"))
        assert (done.returncode, done.stdout) == (1, b"")
    assert helpers.names() == ["git:https://git.example"]


def test_git_is_never_given_a_value_with_a_line_break(helpers: Helpers) -> None:
    """It would read the rest as lines of the protocol."""
    for username, password in (("a\nhost=evil", "p"), ("a", "p\r"), ("a", "p\0")):
        helpers.agent.put_secret("git:https://git.example", "login", username=username, password=password)
        done = helpers.git("get", GIT_QUERY)
        assert (done.returncode, done.stdout) == (1, b"quit=1\n")
        assert password.strip().encode() + b"\n" not in done.stderr


def test_git_requests_over_the_limit_are_refused(helpers: Helpers) -> None:
    """And names that the vault has no room for are not found, and not stored."""
    done = helpers.git("get", b"protocol=https\nhost=git.example\nx=" + b"x" * INPUT_MAX)
    assert (done.returncode, done.stdout) == (1, b"quit=1\n")
    long = credential(path="x" * 300, username="a", password="p")
    assert helpers.git("get", long).returncode == 0
    done = helpers.git("store", long)
    assert done.returncode == 1
    assert b"longer than 256 bytes" in done.stderr


def test_git_requests_about_something_else_are_passed_over(helpers: Helpers) -> None:
    """A certificate's passphrase, an action of a later git, a store without a password."""
    for action, request_ in (
        ("get", b"protocol=cert\npath=/client.pem\n\n"),
        ("get", b""),
        ("approve", GIT_QUERY),
        ("store", credential(username="a")),
        ("store", credential(username="a", authtype="Bearer", credential="t")),
    ):
        done = helpers.git(action, request_)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert helpers.git("capability", b"").stdout == b"version 0\n"
    assert helpers.run("git").returncode == 2


@settings(max_examples=1000)
@given(st.binary(max_size=300))
def test_any_request_of_git_is_read_or_refused(data: bytes) -> None:
    """No other outcome; what is read holds no line break."""
    try:
        fields = parsed(data)
    except ClientError as error:
        assert error.reason == "INVALID_ARGUMENT"
        return
    assert not any(c in key + value for key, value in fields.items() for c in "\r\n\0")


@given(st.text(max_size=50), st.text(max_size=50))
def test_two_places_never_share_a_name(one: str, other: str) -> None:
    """Escaping loses nothing, and leaves neither a space nor what does not print."""
    try:
        names = [escaped(one), escaped(other)]
    except UnicodeEncodeError:
        return
    assert (names[0] == names[1]) == (one == other)
    assert all(name.isprintable() and " " not in name for name in names)


def test_git_may_still_ask_a_person_at_a_terminal(helpers: Helpers) -> None:
    """Where a terminal controls the process, a locked vault is only a hint."""
    helpers.lock()
    command = [*starting(), "helper", "git", "get"]
    pid, terminal = os.forkpty()
    if not pid:
        reading, writing = os.pipe()
        os.write(writing, GIT_QUERY)
        os.close(writing)
        os.dup2(reading, 0)
        os.execve(command[0], command, helpers.env)
    said = b""
    try:
        while piece := os.read(terminal, 1000):
            said += piece
    except OSError:
        pass  # how a terminal ends
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    assert HINT.encode() in said
    assert b"quit" not in said
