"""What all credential helpers do alike: a locked vault, an agent that hangs or is not there, usage, what is loaded."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_cli.helpers import NAMES
from keybaton_cli.helpers.plain import document
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.helper_programs import GIT_QUERY, HINT, Helpers, unlocked_helpers
from keybaton_testing.trampoline import MAIN, SECONDS, loaded, starting

BIN = MAIN.with_name("bin")
AT_ONCE = 1.0  # what an answer may take of the helper's own, on top of the start of Python


@pytest.fixture
def helpers() -> Iterator[Helpers]:
    with unlocked_helpers() as made:
        yield made


def requests() -> list[tuple[tuple[str, ...], bytes]]:
    """One read by each helper."""
    return [
        (("git", "get"), GIT_QUERY),
        (("docker", "get"), b"registry.example"),
        (("docker", "list"), b""),
        (("aws", "name"), b""),
        (("kubectl", "name"), b""),
    ]


@pytest.mark.parametrize(("arguments", "stdin"), requests())
def test_a_locked_vault_is_said_at_once_with_what_to_do(
    helpers: Helpers, arguments: tuple[str, ...], stdin: bytes
) -> None:
    """On the channel that the caller shows to the person; git, which nobody could answer, is told to stop."""
    helpers.lock()
    started = time.monotonic()
    done = helpers.run(*arguments, stdin=stdin)
    assert time.monotonic() - started < AT_ONCE
    assert done.returncode in (1, 4)
    assert HINT in (done.stdout if arguments[0] == "docker" else done.stderr).decode()
    assert done.stdout == b"quit=1\n" or arguments[0] != "git"


def test_a_vault_that_was_never_made_does_not_keep_git_from_asking(helpers: Helpers) -> None:
    """The helper may have been set up before there is a vault: git goes on to whom it asks next."""
    helpers.make_absent()
    done = helpers.git("get", GIT_QUERY)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"keybaton init" in done.stderr


@pytest.mark.parametrize(("arguments", "stdin"), requests())
def test_an_agent_that_hangs_is_left_within_a_second(
    helpers: Helpers, arguments: tuple[str, ...], stdin: bytes
) -> None:
    """A socket that takes the call and says nothing."""
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/s")
        silent.listen()
        started = time.monotonic()
        done = helpers.run(*arguments, stdin=stdin, KEYBATON_SOCKET=f"{folder}/s")
        assert time.monotonic() - started < 0.9 + AT_ONCE
    assert done.returncode in (1, 8)
    assert b"did not answer in time" in done.stdout + done.stderr


@pytest.mark.parametrize(("arguments", "stdin"), requests())
def test_without_an_agent_the_caller_is_told(helpers: Helpers, arguments: tuple[str, ...], stdin: bytes) -> None:
    """A named socket on which nobody listens: none is started there."""
    done = helpers.run(*arguments, stdin=stdin, KEYBATON_SOCKET="/nowhere/s")
    assert done.returncode in (1, 3)
    assert b"No agent listens on /nowhere/s." in done.stdout + done.stderr


def test_a_caller_that_leaves_is_no_traceback(helpers: Helpers) -> None:
    """docker and kubectl close their pipes when they are interrupted."""
    helpers.agent.put_secret("cluster", "token", value="t")
    reading, writing = os.pipe()
    os.close(reading)
    command = [*starting(), "helper", "kubectl", "cluster"]
    done = subprocess.run(command, env=helpers.env, stdout=writing, stderr=subprocess.PIPE, timeout=SECONDS)
    os.close(writing)
    assert done.returncode in (1, -signal.SIGPIPE)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_helper_tells_how_it_is_called(helpers: Helpers, name: str) -> None:
    """In one form: on standard output when it was asked, else as a usage error."""
    asked = helpers.run(name, "--help")
    assert asked.returncode == 0
    assert asked.stdout.startswith(b"usage: ")
    assert f"`keybaton setup {name}".encode() in asked.stdout
    wrong = helpers.run(name)
    assert wrong.returncode == 2
    assert asked.stdout.splitlines()[0] in wrong.stderr


def test_an_unknown_helper_is_a_usage_error(helpers: Helpers) -> None:
    """So are arguments that are no text."""
    for arguments in ((), ("svn",)):
        assert helpers.run(*arguments).returncode == 2
    command = [*starting(), "helper", "aws", b"\xff"]
    assert subprocess.run(command, env=helpers.env, capture_output=True, timeout=SECONDS).returncode == 2


def test_each_helper_has_a_name_in_the_trampoline() -> None:
    """The links beside `keybaton`, and what the script makes of their names."""
    script = (BIN / "keybaton").read_text()
    links = sorted(path.name for path in BIN.iterdir() if path.is_symlink())
    assert len(links) == len(NAMES)
    for name in NAMES:
        assert f"set -- helper {name} " in script
    assert all(f"    {link}) " in script and os.readlink(BIN / link) == "keybaton" for link in links)


_SLOW = ("re", "json", "os", "click", "argparse", "asyncio", "grpc", "google", "typing", "subprocess", "site")


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [(("git", "get"), GIT_QUERY), (("docker", "get"), b"r"), (("aws", "s3"), b""), (("kubectl", "t"), b"")],
)
def test_a_read_loads_nothing_that_starts_slowly(helpers: Helpers, arguments: tuple[str, ...], stdin: bytes) -> None:
    """Only what is built in, and ours."""
    helpers.agent.put_secret("git:https://git.example", "login", username="a", password="p")
    helpers.agent.put_secret("docker:r", "login", username="a", password="p")
    helpers.agent.put_secret("s3", "s3-credentials", region="r", accessKeyId="a", secretAccessKey="s")
    helpers.agent.put_secret("t", "token", value="t")
    modules, printed = loaded("helper", *arguments, env=helpers.env, stdin=stdin)
    assert printed
    assert not modules & set(_SLOW)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20) | st.integers()))
def test_json_without_the_module_is_json(values: dict[str, object]) -> None:
    """Read back by the module."""
    assert json.loads(document({**values, "inner": values})) == {**values, "inner": values}
