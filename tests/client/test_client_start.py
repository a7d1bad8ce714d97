"""Locating and starting an agent is light enough for a hot command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import keybaton_client
from keybaton_client.locate import socket_path
from keybaton_client.problem import ClientError
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
