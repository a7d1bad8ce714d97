"""Starts an agent when none listens, and waits until it does. Imports only `os` and built-in modules (hot path).

The child is `keybatond --detached`: it leaves our session and our descriptors, and says on its standard error, a pipe that
only we hold, "ready", "running" (another agent has the lock) or why it could not start; then it closes that pipe.
"""

# pathlib would cost more than the whole start of a hot command.
# ruff: noqa: PTH100, PTH120

from __future__ import annotations

import os
import select
import sys
import time
from _collections_abc import Mapping  # already loaded, unlike `collections`

from keybaton_client.locate import default_socket, listening, socket_path
from keybaton_client.problem import ClientError, NoAgentRuns

START_SECONDS = 15.0  # a cold start takes a tenth of a second; a loaded machine may be far slower
_POLL_SECONDS = 0.01
_REPORT_MAX_BYTES = 16 * 1024


def ensure_agent(
    env: Mapping[str, str], option: str = "", *, start: bool = True, timeout: float = START_SECONDS
) -> str:
    """Path of a socket on which an agent listens; starts one when there is none.

    `option` is the value of `--socket`. An agent is only started at its own place, never at a path from the option or
    from KEYBATON_SOCKET. ClientError NO_AGENT, or USAGE for a path that cannot be used.
    """
    path = socket_path(env, option)
    if listening(path):
        return path
    if not start or path != os.path.abspath(default_socket(env)):
        raise NoAgentRuns(f"No agent listens on {path}.", "Start one with `keybatond`.")
    _start(path, env, time.monotonic() + timeout)
    return path


def agent_command() -> str:
    """The `keybatond` that belongs to this program: beside its interpreter, or beside the running command.

    ClientError NO_AGENT when neither folder has it.
    """
    folders = [os.path.dirname(sys.executable), os.path.dirname(os.path.realpath(sys.argv[0]))]
    for folder in folders:
        candidate = f"{folder}/keybatond"
        if folder.startswith("/") and os.access(candidate, os.X_OK):
            return candidate
    raise ClientError(
        "NO_AGENT",
        "No agent listens, and `keybatond` is not installed beside this command.",
        "Start `keybatond` yourself, or install Keybaton again.",
    )


def _start(path: str, env: Mapping[str, str], deadline: float) -> None:
    report = _spawn(agent_command(), env, deadline)
    if report == "ready":
        return
    if report != "running":
        said, _, hint = report.partition("\nhint: ")
        raise ClientError(
            "NO_AGENT",
            f"The agent did not start: {said.rpartition(chr(10))[2] or 'it gave no reason'}",
            hint.partition("\n")[0]
            or ("" if said.startswith("keybatond: ") else "`keybatond --foreground` shows more."),
        )
    # Another client was quicker: its agent holds the lock and is about to listen.
    while not listening(path):
        if time.monotonic() > deadline:
            raise ClientError("NO_AGENT", "The agent did not start in time.", "`keybatond --foreground` shows more.")
        time.sleep(_POLL_SECONDS)


def _spawn(command: str, env: Mapping[str, str], deadline: float) -> str:
    """Runs the agent and returns what it says about its start."""
    while (null := os.open(os.devnull, os.O_RDWR)) < 3:
        pass  # a caller without standard descriptors: they must not become our pipe
    reading, writing = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, writing, 2),
        ]
        child = os.posix_spawn(command, [command, "--detached"], env, file_actions=actions, setsigmask=())
    except OSError as error:
        os.close(reading)
        raise ClientError("NO_AGENT", f"{command} cannot be run: {error.strerror}.") from None
    finally:
        os.close(writing)
        os.close(null)
    try:
        return _report(reading, deadline)
    finally:
        os.close(reading)
        _reap(child)


def _reap(child: int) -> None:
    """Collects the child, which forks the agent and exits; one that hangs before that is left to its parent's end."""
    try:
        os.waitpid(child, os.WNOHANG)
    except ChildProcessError:
        return  # the caller ignores SIGCHLD


def _report(descriptor: int, deadline: float) -> str:
    """What the agent wrote before it closed the pipe; empty when it said nothing or the deadline has passed."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    said = b""
    while len(said) < _REPORT_MAX_BYTES and poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        piece = os.read(descriptor, 4096)
        if not piece:
            break
        said += piece
    return said.decode(errors="replace").strip()
