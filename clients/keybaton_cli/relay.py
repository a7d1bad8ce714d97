"""Runs a program as a child in place of this command: passes signals on, and ends as the program ends.

For the forms of `keybaton run` that have to stay around. Signals that a person's terminal sends reach the program by
themselves, as it is in the same process group; those that another process sends to this command are passed on.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from keybaton_client.problem import ClientError
from keybaton_hot.executing import become

PASSED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGCONT,
    }
)
FROM_TERMINAL = 128
_NOT_STARTED = 1


def child(command: Sequence[bytes], environment: Mapping[bytes, bytes], prepare: Callable[[], None]) -> NoReturn:
    """What a forked child does: `prepare`, default signals, and the program. Never returns to the caller's code."""
    try:
        prepare()
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        become(list(command), environment)
    except ClientError as error:
        os.write(2, f"error: {error.message}\n".encode())
    except BaseException:
        os.write(2, b"error: The program could not be started.\n")
    finally:
        os._exit(_NOT_STARTED)


class Signals:
    """Signals of PASSED_ON, and SIGCHLD, as bytes in a pipe: a context manager, to be entered before the fork.

    A byte is the signal's number, with FROM_TERMINAL added when a terminal sent it, to the program's group too.
    """

    def __enter__(self) -> Signals:
        # The caller may have chosen to ignore some (`nohup`): those stay ignored, here and in the program.
        self._numbers = {number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN}
        self._numbers.add(signal.SIGCHLD)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        self.reader, self._writer = os.pipe()
        return self

    def listen(self) -> None:
        """Begins to take signals; after the fork, since a thread does not live on in a child."""
        threading.Thread(target=self._take, name="signals", daemon=True).start()

    def _take(self) -> None:
        while True:
            info = signal.sigwaitinfo(self._numbers)
            with contextlib.suppress(OSError):
                os.write(self._writer, bytes([info.si_signo | (FROM_TERMINAL if info.si_code > 0 else 0)]))

    def taken(self) -> list[tuple[int, bool]]:
        """Those that have come: number, and whether a terminal sent it."""
        return [(byte & ~FROM_TERMINAL, byte >= FROM_TERMINAL) for byte in os.read(self.reader, 256)]

    def __exit__(self, *_: object) -> None:
        """They stay blocked: the command ends now, as `end_as` says."""


def pass_on(signals: Signals, pid: int) -> int | None:
    """Sends the program what has come, but for what a terminal sent to both; its wait status once it has ended."""
    for number, from_terminal in signals.taken():
        if number == signal.SIGCHLD:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status
        elif not from_terminal:
            os.kill(pid, number)  # it has not been waited for, so the id is its own
    return None


def run_child(command: Sequence[bytes], environment: Mapping[bytes, bytes]) -> int:
    """Runs the program with this command's own terminal and streams; its wait status."""
    with Signals() as signals:
        pid = os.fork()
        if pid == 0:
            child(command, environment, lambda: None)
        signals.listen()
        while True:
            status = pass_on(signals, pid)
            if status is not None:
                return status


def end_as(status: int) -> int:
    """The exit code for a wait status; a signal that ended the program ends this process too."""
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program's own core, if any, is the one of use
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return 128 + number
