"""Locating and starting an agent is light enough for a hot command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import keybaton_client
from keybaton_client.locate import socket_path
from keybaton_client.problem import ClientError, NoAgentRuns
from keybaton_client.start import ensure_agent

# What Python itself has loaded under -IS, and these: nothing else may come in.
ALLOWED = {
    "__future__",
    "_socket",
    "select",
    "_stat",
    "stat",
    "genericpath",
    "os",
    "os.path",
    "posixpath",
    "_collections_abc",
}


def test_starting_an_agent_needs_no_heavy_module() -> None:
    """The loaded modules are compared with a list: steadier than any timing."""
    folder = str(Path(keybaton_client.__file__).parents[1])
    code = f"import sys; had = set(sys.modules); sys.path.insert(0, {folder!r}); import keybaton_client.start; "
    code += "print(*sorted(set(sys.modules) - had))"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True, timeout=30)
    loaded = {name for name in done.stdout.split() if not name.startswith("keybaton_client")}
    assert loaded <= ALLOWED


def test_the_option_goes_before_the_variable_and_that_before_the_default() -> None:
    """As everywhere on a command line."""
    env = {"KEYBATON_SOCKET": "/b.sock", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert socket_path(env, "/a.sock") == "/a.sock"
    assert socket_path(env) == "/b.sock"
    assert socket_path({"XDG_RUNTIME_DIR": "/run/user/7"}) == "/run/user/7/keybaton/agent.sock"


@pytest.mark.parametrize("by_option", [True, False])
def test_an_agent_is_never_started_at_a_place_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_option: bool
) -> None:
    """Whoever names a socket means the agent that is to be there: another one would have another vault."""
    monkeypatch.setattr("keybaton_client.start.agent_command", lambda: pytest.fail("an agent is started"))
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "KEYBATON_SOCKET": "" if by_option else str(tmp_path / "s")}
    with pytest.raises(NoAgentRuns, match="No agent listens on"):
        ensure_agent(env, str(tmp_path / "s") if by_option else "")
    with pytest.raises(NoAgentRuns):
        ensure_agent({"XDG_RUNTIME_DIR": str(tmp_path)}, start=False)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_is_no_socket_is_named_and_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Something else in the socket's place is for a person to look at."""
    place = tmp_path / "keybaton" / "agent.sock"
    place.parent.mkdir()
    make(place)
    with pytest.raises(ClientError, match="is not a socket") as caught:
        ensure_agent({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert caught.value.reason == "NO_AGENT"
    assert place.exists()


_MORE = "`keybatond --foreground` shows more."


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("keybatond: no.\nhint: Do that.\n", "The agent did not start: keybatond: no.", "Do that."),
        ("keybatond: no.\n", "The agent did not start: keybatond: no.", ""),
        ("Traceback\n  line\nOSError: no\n", "The agent did not start: OSError: no", _MORE),
        ("", "The agent did not start: it gave no reason", _MORE),
    ],
)
def test_why_an_agent_did_not_start_is_told_with_its_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, message: str, hint: str
) -> None:
    """The reason is not lost to the hint behind it; the agent's log is pointed to where it said nothing of its own."""
    program = tmp_path / "keybatond"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{said}' >&2\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr("keybaton_client.start.agent_command", lambda: str(program))
    with pytest.raises(ClientError) as caught:
        ensure_agent({"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert (caught.value.message, caught.value.hint) == (message, hint)
