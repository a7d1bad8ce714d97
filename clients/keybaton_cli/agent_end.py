"""Ends the agent that runs: tells its process to end and waits until it has."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct

from keybaton_cli.failure import Failure
from keybaton_cli.framework import App
from keybaton_client.locate import socket_path
from keybaton_client.problem import NoAgentRuns

END_SECONDS = 25  # the agent gives itself 20, then the kernel ends it
_CONNECT_SECONDS = 2
_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid; as they were when the listener called listen(2)


def end_agent(app: App) -> int | None:
    """The id of the process that was ended; None where none runs. Failure DEADLINE_EXCEEDED when it goes on."""
    try:
        pid = app.client(start=False).agent.info().pid
    except NoAgentRuns:
        return None
    app.close()
    # Only what calls itself an agent and is the process that listens gets a signal.
    if pid != _listener(socket_path(os.environ, app.socket or "")):
        raise Failure("NO_AGENT", "The agent that answers is not a process of this user on this machine.")
    process = -1
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGTERM)
    if process < 0:
        return pid
    try:
        poller = select.poll()
        poller.register(process, select.POLLIN)
        if not poller.poll(END_SECONDS * 1000):
            raise Failure(
                "DEADLINE_EXCEEDED",
                f"The agent, process {pid}, has not ended within {END_SECONDS} seconds.",
                f"`kill -KILL {pid}` ends it; what it has confirmed is on the disk.",
            )
    finally:
        os.close(process)
    return pid


def _listener(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(path)
        except OSError as error:
            raise Failure("NO_AGENT", f"The agent cannot be told to end: {error.strerror or error}.") from None
        pid: int = _CREDENTIALS.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
    return pid
