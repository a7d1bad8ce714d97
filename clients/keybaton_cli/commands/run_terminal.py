"""`keybaton run --mask` on a terminal: the program gets a pseudo-terminal of its own, and its output passes through here.

Two processes stand between. This one moves bytes and has the person's terminal in raw mode, so that every key goes to the
program's terminal, which makes signals of Ctrl-C and Ctrl-Z there. A second one leads the program's session, so that the
program can be stopped (POSIX has no stop for a group without a parent in its session) and tells here when it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import tty
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from keybaton_cli.commands.run_mask import Channel, move
from keybaton_cli.relay import Signals, child

_REPORT = struct.Struct("ii")  # process id, wait status; the first one, of the start, has status _STARTED
_STARTED = -1
_TYPED_MAX = 65_536  # bytes typed ahead that the program has not read


def run_on_terminal(command: Sequence[bytes], environment: Mapping[bytes, bytes], secrets: Collection[str]) -> int:
    """Runs the program and returns its wait status."""
    keyboard = _keyboard()
    master, slave = os.openpty()
    if keyboard is not None:
        termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(keyboard))
    _copy_size(slave)
    errors = None if os.isatty(2) else os.pipe()
    reports = os.pipe()
    with Signals() as signals:
        if os.fork() == 0:
            for descriptor in (master, reports[0], *(errors[:1] if errors else ())):
                os.close(descriptor)
            _lead(command, environment, slave, errors[1] if errors else slave, reports[1])
        for descriptor in (slave, reports[1], *(errors[1:] if errors else ())):
            os.close(descriptor)
        signals.listen()
        channels = [Channel(master, 1, secrets), *([Channel(errors[0], 2, secrets)] if errors else [])]
        desk = _Desk(keyboard, channels, signals, reports[0])
        try:
            return desk.run()
        finally:
            desk.restore()


def _keyboard() -> int | None:
    """Where a person types: standard input, or the terminal itself when standard input is something else."""
    if os.isatty(0):
        return 0
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None


def _copy_size(target: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8)))


def _lead(
    command: Sequence[bytes], environment: Mapping[bytes, bytes], terminal: int, errors: int, reports: int
) -> NoReturn:
    """Leads the program's session and reports every change of its state."""
    try:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it gives the terminal away and does not get it back
        standard_input = terminal if os.isatty(0) else 0
        pid = os.fork()
        if pid == 0:

            def prepare() -> None:
                os.setpgid(0, 0)
                os.tcsetpgrp(terminal, os.getpgrp())
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                for descriptor, standard in ((standard_input, 0), (terminal, 1), (errors, 2)):
                    os.dup2(descriptor, standard)

            child(command, environment, prepare)
        os.write(reports, _REPORT.pack(pid, _STARTED))
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            os.write(reports, _REPORT.pack(pid, status))
            if not os.WIFSTOPPED(status):
                os._exit(0)
    finally:
        os._exit(1)


class _Desk:
    """The person's terminal and the program's, and what passes between them."""

    def __init__(self, keyboard: int | None, channels: Sequence[Channel], signals: Signals, reports: int) -> None:
        self._keyboard = keyboard
        self._channels = channels
        self._signals = signals
        self._reports = reports
        self._master = channels[0].source
        self._pid = 0
        self._typed = b""
        self._saved: list[Any] | None = None  # the terminal's modes while they are changed
        os.set_blocking(self._master, False)

    def run(self) -> int:
        """Until the program has ended; its wait status."""
        while True:
            self._take_terminal()
            listen = [self._signals.reader, self._reports]
            if self._keyboard is not None and self._saved is not None and len(self._typed) < _TYPED_MAX:
                listen.append(self._keyboard)
            ready = move(self._channels, listen)
            self._type(self._keyboard is not None and self._keyboard in ready)
            if self._signals.reader in ready:
                self._pass_on()
            if self._reports in ready:
                status = self._hear()
                if status is not None:
                    for channel in self._channels:
                        channel.end()
                    return status

    def restore(self) -> None:
        """Gives the terminal back as it was."""
        if self._keyboard is not None and self._saved is not None:
            if self._in_front():
                with contextlib.suppress(termios.error):
                    termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._saved)
            self._saved = None

    def _in_front(self) -> bool:
        """Whether this command has the terminal: only then may it change or read it."""
        try:
            return self._keyboard is not None and os.tcgetpgrp(self._keyboard) == os.getpgrp()
        except OSError:
            return False

    def _take_terminal(self) -> None:
        """Begins to read keys one by one, at the start and when the command has come to the front again."""
        if self._keyboard is None:
            return
        if not self._in_front():
            self._saved = None  # the shell has set modes of its own
        elif self._saved is None:
            self._saved = termios.tcgetattr(self._keyboard)
            tty.setraw(self._keyboard, termios.TCSADRAIN)
            _copy_size(self._master)

    def _type(self, more: bool) -> None:
        """Hands typed keys on."""
        if more and self._keyboard is not None:
            try:
                self._typed += os.read(self._keyboard, 4096)
            except OSError:
                self._keyboard = None
        if self._typed and self._channels[0].open and select.select([], [self._master], [], 0)[1]:
            with contextlib.suppress(OSError):
                self._typed = self._typed[os.write(self._master, self._typed) :]

    def _pass_on(self) -> None:
        for number, _ in self._signals.taken():
            if number == signal.SIGWINCH:
                _copy_size(self._master)  # the kernel tells the program
            elif number not in (signal.SIGCHLD, signal.SIGCONT) and self._pid:
                self._send(number)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _hear(self) -> int | None:
        """Takes one report. The wait status of a program that has ended."""
        report = os.read(self._reports, _REPORT.size)
        if len(report) < _REPORT.size:  # the leader was killed; the program's terminal is gone with it
            return signal.SIGKILL
        self._pid, status = _REPORT.unpack(report)
        if status == _STARTED:
            return None
        if not os.WIFSTOPPED(status):
            return int(status)
        self.restore()
        os.kill(0, signal.SIGTSTP)  # the whole job stops, as it would have
        self._take_terminal()
        self._send(signal.SIGCONT)
        return None
