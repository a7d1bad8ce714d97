"""`keybaton run --mount FILE`: variables as a `.env` that is never a file: a FIFO, which each reader gets served from here.

The FIFO is there only while the program runs. Each reader gets a FIFO of its own: as soon as one has opened it, a fresh one
takes its place, so that nobody reads the text twice or shares it with another (but for two that open it within some
milliseconds). A reader counts once everything was handed over; after the agreed number nothing more is served.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import stat
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from keybaton_cli.dotenv import writing
from keybaton_cli.failure import Failure

READS_DEFAULT = 16  # a few per start; tools that watch the file open it again and again
READS_MAX = 100_000
POLL_SECONDS = 0.02
READER_SECONDS = 10.0  # for one reader to take everything; who has stopped reading does not keep the next from it


@contextmanager
def mounted(values: Mapping[str, str], path: str, reads: int) -> Iterator[None]:
    """The FIFO, served by a process of its own while the body runs. Failure FILE_EXISTS, INVALID_ARGUMENT, STORAGE_FAILED."""
    try:
        data = writing.dotenv(values).encode()
    except writing.CannotCarry as refused:
        raise Failure("INVALID_ARGUMENT", f"A .env cannot carry it: {refused}.", refused.hint) from None
    place = Path(path)
    try:
        os.mkfifo(place, 0o600)
    except FileExistsError:
        raise Failure(
            "FILE_EXISTS",
            f"{path} exists.",
            "--mount makes it and removes it: name another place, or delete a file that has been imported.",
        ) from None
    except OSError as error:
        raise Failure("STORAGE_FAILED", f"{path} cannot be made: {error.strerror}.") from None
    try:
        place.chmod(0o600)
        alive, ours = os.pipe()  # closes when this command ends, in whatever way
        server = os.fork()
        if server == 0:
            _serve(data, place, reads, alive, ours)
        os.close(alive)
        try:
            yield
        finally:
            os.close(ours)
            os.waitpid(server, 0)
    finally:
        _remove(place)


def _serve(data: bytes, place: Path, reads: int, alive: int, ours: int) -> None:
    """The serving process: it outlives a command that was killed just long enough to remove the FIFO."""
    try:
        os.setsid()  # no signal of the terminal ends it before the command has ended
        os.close(ours)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # the caller's pipes are the program's alone
            os.dup2(nothing, descriptor)
        _Server(data, place, reads, alive).run()
    finally:
        _remove(place)
        os._exit(0)


def _remove(place: Path) -> None:
    """Removes the FIFO, if it is one of this user's that bears the name. Whoever is just opening it reads nothing."""
    with contextlib.suppress(OSError):
        found = place.lstat()
        if stat.S_ISFIFO(found.st_mode) and found.st_uid == os.getuid():
            # Both ends: it never blocks, and a reader that waits for a writer would otherwise wait for ever.
            writer = os.open(place, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            place.unlink()
            os.close(writer)


class _Server:
    """Hands the text to one reader after the other."""

    def __init__(self, data: bytes, place: Path, reads: int, alive: int) -> None:
        self._data = data
        self._place = place
        self._reads = reads
        self._alive = alive

    def run(self) -> None:
        """Until the readers are used up or the command has ended."""
        while self._reads and not self._over(POLL_SECONDS):
            writer = self._reader_came()
            if writer is not None:
                self._renew()
                self._reads -= self._hand_over(writer)

    def _over(self, seconds: float) -> bool:
        return bool(select.select([self._alive], [], [], seconds)[0])

    def _reader_came(self) -> int | None:
        """A descriptor to write to, when somebody has the FIFO open for reading."""
        try:
            return os.open(self._place, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            self._reads = 0  # gone, or something else in its place
            return None

    def _renew(self) -> None:
        """Puts a fresh FIFO in the place of the one that has a reader now."""
        fresh = self._place.with_name(f".{self._place.name}.{os.getpid()}")
        os.mkfifo(fresh, 0o600)
        fresh.chmod(0o600)
        fresh.replace(self._place)

    def _hand_over(self, writer: int) -> int:
        """Writes everything and waits until it has been read; 1 when that was done."""
        left = memoryview(self._data)
        deadline = time.monotonic() + READER_SECONDS
        try:
            while not self._over(0 if left else POLL_SECONDS / 4) and time.monotonic() < deadline:
                if not left and not _unread(writer):
                    return 1
                if left and select.select([], [writer], [], POLL_SECONDS)[1]:
                    left = left[os.write(writer, left) :]
        except OSError:  # the reader has left in the middle
            pass
        finally:
            os.close(writer)
        return 0


def _unread(writer: int) -> int:
    """Bytes that lie in the FIFO."""
    size = array.array("i", [0])
    fcntl.ioctl(writer, termios.FIONREAD, size)
    return size[0]
