"""Starts the long-running programs of a test and ends every one of them: at the end, on failure, and when the test dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

STOP_SECONDS = 5.0  # after SIGTERM, before SIGKILL
POLL_SECONDS = 0.02


class Running:
    """One program in a session of its own; a context manager. Its output goes to `output`, a file, or nowhere.

    The kernel ends it when the test process dies (`setpriv --pdeathsig`), so that a crash leaves nothing behind.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        output: Path | None = None,
        cwd: Path | None = None,
    ) -> None:
        with contextlib.ExitStack() as stack:
            sink = stack.enter_context(output.open("ab")) if output else subprocess.DEVNULL
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                env=dict(env) if env is not None else None,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=cwd,
                start_new_session=True,
            )
        if stdin is not None:
            assert self.process.stdin is not None
            self.process.stdin.write(stdin)
            self.process.stdin.close()

    @property
    def pid(self) -> int:
        """The process id; `setpriv` has become the program itself."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Sends one signal to the program alone."""
        self.process.send_signal(number)

    def stop(self) -> None:
        """Ends the program and whatever it started in its session's process group."""
        for number in (signal.SIGCONT, signal.SIGTERM):
            self._signal_group(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self._signal_group(signal.SIGKILL)
        self.process.wait()

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 10.0) -> None:
    """Returns once `condition()` holds; AssertionError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        pause.wait(POLL_SECONDS)


def process_exists(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
