"""One agent per user: the lock that is taken before the socket is bound, since a second bind would silently steal it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from keybatond.paths import FILE_MODE
from keybatond.refusal import StartRefused


class AlreadyRunning(StartRefused):
    """Another agent holds the lock; `pid` is what it wrote, or empty."""

    running = True

    def __init__(self, path: Path, pid: str) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"An agent is running already ({who} holds {path}).", "`keybaton status` asks it.")
        self.pid = pid


class VaultInUse(StartRefused):
    """An agent of another runtime folder holds the vault: it listens on a socket that this one's clients do not know."""

    def __init__(self, path: Path, pid: str) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"Another agent ({who}) has the vault beside {path} open, with another runtime folder.",
            "Stop it, or set XDG_RUNTIME_DIR as it was set there.",
        )


def lock_vault(path: Path) -> InstanceLock | None:
    """The lock beside the vault, which two agents of different runtime folders share. VaultInUse.

    None where nothing can be written: there is nothing to guard then.
    """
    try:
        return InstanceLock(path)
    except AlreadyRunning as other:
        raise VaultInUse(path, other.pid) from None
    except StartRefused as refused:
        cause = refused.__context__
        if isinstance(cause, OSError) and cause.errno in (errno.EROFS, errno.EACCES, errno.ENOSPC):
            return None
        raise


class InstanceLock:
    """An exclusive lock on a file, held until `release` or the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Takes the lock at once. AlreadyRunning, or StartRefused when the file cannot be used."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, FILE_MODE)
        except OSError as error:
            raise StartRefused(f"{path} cannot be opened: {error.strerror}.") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise AlreadyRunning(path, pid if pid.isdecimal() else "") from None
        except OSError as error:
            os.close(self._descriptor)
            raise StartRefused(f"{path} cannot be locked: {error.strerror}.") from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.fchmod(self._descriptor, FILE_MODE)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Lets the next agent start. The file stays: removing it would let two agents hold locks on different files."""
        os.close(self._descriptor)
