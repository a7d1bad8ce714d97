"""The vault's files as the operating system sees them: what is there, what may be opened, new ones put in place at once."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from keybatond.adapters.sqlite_store.failures import translate
from keybatond.errors import KeybatonError, Reason
from keybatond.paths import FILE_MODE, FOLDER_MODE, OTHERS
from keybatond.ports import Exposed
from keybatond.vault_ports import SET_ASIDE

_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def log_of(path: Path) -> Path:
    """The write-ahead log beside a file."""
    return path.with_name(path.name + "-wal")


def index_of(path: Path) -> Path:
    """The log's index beside a file."""
    return path.with_name(path.name + "-shm")


def is_there(path: Path) -> bool:
    """Whether anything has this name, a dangling link too."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise translate(error) from None
    return True


def free_name(path: Path) -> Path:
    """`path`, or with a number behind it where that is taken."""
    tries = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in itertools.count(1))
    return next(candidate for candidate in tries if not is_there(candidate) and not is_there(log_of(candidate)))


def log_bytes(path: Path) -> int:
    """The length of the write-ahead log beside a file; 0 where there is none."""
    try:
        return log_of(path).lstat().st_size
    except FileNotFoundError:
        return 0


def check_own(path: Path, exposed: Callable[[Exposed], None]) -> None:
    """Refuses a vault file or companion that is another user's, a link or anything but a regular file, before SQLite follows it.

    One that others could open, such as a copy that was made without its mode, is closed to them, and `exposed` is told.
    Nobody else can put one there afterwards: the folder is the user's alone.
    """
    for part in (path, log_of(path), index_of(path)):
        try:
            state = part.lstat()
        except FileNotFoundError:
            continue
        mode = state.st_mode
        if not stat.S_ISREG(mode):
            what = next((words for kind, words in _KINDS.items() if stat.S_IFMT(mode) == kind), "a device")
            obstacle = f"{part} is {what}, and only a regular file is used"
            raise KeybatonError(Reason.STORAGE_FAILED, problem="not a regular file", obstacle=obstacle)
        if state.st_uid != os.geteuid():
            obstacle = f"{part} belongs to another user (number {state.st_uid})"
            raise KeybatonError(Reason.STORAGE_FAILED, problem="another user's", obstacle=obstacle)
        if mode & OTHERS:
            exposed(Exposed(str(part), stat.S_IMODE(mode), closed=_close_to_others(part)))


def _close_to_others(path: Path) -> bool:
    try:
        path.chmod(FILE_MODE)
    except OSError:  # a read-only disk
        return False
    return True


def make_folder(path: Path) -> None:
    """Makes the vault's folder, mode 0700; an existing one must be the user's own and is closed to others."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise KeybatonError(Reason.STORAGE_FAILED, problem="folder")
    if stat.S_IMODE(state.st_mode) != FOLDER_MODE:
        path.chmod(FOLDER_MODE)


def new_file(beside: Path) -> Path:
    """An empty file of mode 0600 with a temporary name in the folder of `beside`."""
    return make_empty(beside.with_name(f".{beside.name}.new-{os.urandom(8).hex()}"))


def make_empty(path: Path) -> Path:
    """`path`, made as an empty file of mode 0600; FileExistsError."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(path, flags, FILE_MODE))
    return path


def remove_leftovers(beside: Path) -> None:
    """Removes temporary files that a killed process left beside the vault."""
    for path in beside.parent.glob(f".{beside.name}.new-*"):
        path.unlink(missing_ok=True)


def undo_exchange(path: Path) -> None:
    """Takes back an `exchange` that was cut off before the new file came: else the vault has two names, and a log for each.

    A log that could not be folded is perhaps only beside the other name by now; what is in it belongs to the vault.
    """
    try:
        state = path.lstat()
    except FileNotFoundError:
        return
    if state.st_nlink == 1 or not stat.S_ISREG(state.st_mode):
        return
    others = [other for other in path.parent.glob(f"{path.name}{SET_ASIDE}*") if os.path.samestat(other.lstat(), state)]
    for aside in others:
        log, kept = log_of(path), log_of(aside)
        if is_there(kept):
            if not is_there(log):
                os.link(kept, log, follow_symlinks=False)
                sync_folder(path.parent)
            elif not os.path.samestat(log.lstat(), kept.lstat()):
                continue  # the vault has gone on without it: both stay for people to look at
        with contextlib.suppress(OSError):  # a second name alone loses nothing
            kept.unlink(missing_ok=True)
            aside.unlink()
            sync_folder(path.parent)


def discard(path: Path) -> None:
    """Removes a temporary file and its companions."""
    for part in (path, log_of(path), index_of(path), path.with_name(path.name + "-journal")):
        part.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Returns when the file's content is on the disk."""
    _sync(path, os.O_RDWR)


def sync_folder(path: Path) -> None:
    """Returns when the folder's names are on the disk."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(new: Path, final: Path) -> None:
    """Gives a complete file its name, durably, and never in place of another file (FileExistsError)."""
    sync_file(new)
    try:
        os.link(new, final, follow_symlinks=False)
        new.unlink()
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
            raise
        # A file system without hard links, such as FAT on a stick: claim the name, then take it.
        os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE))
        new.replace(final)
    sync_folder(final.parent)


def exchange(new: Path, current: Path, aside: Path) -> None:
    """Puts a complete file in the place of `current`, which is kept, with its log, as `aside`. Durable; FileExistsError.

    `current` exists at every instant, the old or the new one. A log that could not be folded into the old file is set aside and
    removed before the new file comes: else it would be replayed into that.
    """
    sync_file(new)
    os.link(current, aside, follow_symlinks=False)
    log = log_of(current)
    if log_bytes(current):
        os.link(log, log_of(aside), follow_symlinks=False)
    sync_folder(current.parent)
    log.unlink(missing_ok=True)
    index_of(current).unlink(missing_ok=True)
    sync_folder(current.parent)
    new.replace(current)
    sync_folder(current.parent)
