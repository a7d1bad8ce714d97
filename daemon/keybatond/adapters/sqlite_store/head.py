"""A vault file's first bytes, read without SQLite, so that a foreign, damaged or newer file stays as it is."""

from __future__ import annotations

import os
import stat
import struct
import threading
from pathlib import Path
from typing import Final

from keybatond.adapters.sqlite_store.failures import damaged
from keybatond.adapters.sqlite_store.files import log_bytes
from keybatond.adapters.sqlite_store.schema import APPLICATION_ID, FORMAT, PAGE_BYTES
from keybatond.errors import KeybatonError, Reason

_LOG_MODE: Final = 2  # header bytes 18 and 19 of a file in WAL mode

# https://www.sqlite.org/fileformat.html, section 1.3
_HEAD: Final = struct.Struct(">16sHBB8xI24xII4xI")
_MAGIC: Final = b"SQLite format 3\0"
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def check_copy(path: Path) -> None:
    """Refuses what is no copy of a vault: VAULT_DAMAGED, VAULT_NEWER. For a file that SQLite does not have open; OSError."""
    descriptor = os.open(path, _FLAGS)
    try:
        _check(path, descriptor, own=False)
    finally:
        os.close(descriptor)


class OwnHead:
    """The same for this program's live file.

    The file stays open from the first look on. With the first descriptor of a file that a process closes, POSIX takes all locks
    of that process on it away, SQLite's too: another program that looks into the vault and leaves would think itself the last,
    and remove the log in which later writes are (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._lock = threading.Lock()  # whole files are looked at in threads

    def check(self) -> None:
        """Refuses a file that is no vault in log mode: VAULT_DAMAGED, VAULT_NEWER. OSError, FileNotFoundError among them."""
        with self._lock:
            if self._descriptor < 0 or not os.path.samestat(os.fstat(self._descriptor), self._path.lstat()):
                descriptor = os.open(self._path, _FLAGS | os.O_NOFOLLOW)
                self._close()
                self._descriptor = descriptor
            _check(self._path, self._descriptor, own=True)

    def close(self) -> None:
        """To be called when no connection to the file is left."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _check(path: Path, descriptor: int, *, own: bool) -> None:
    state = os.fstat(descriptor)
    head = os.pread(descriptor, _HEAD.size, 0)
    if not stat.S_ISREG(state.st_mode) or len(head) < _HEAD.size:
        raise damaged("too short")
    magic, page, written, read, pages, encoding, version, application = _HEAD.unpack(head)
    if magic != _MAGIC or application != APPLICATION_ID:
        raise damaged("not a vault")
    if version > FORMAT:
        raise KeybatonError(Reason.VAULT_NEWER, format=str(version), known=str(FORMAT))
    if version != FORMAT or page != PAGE_BYTES or encoding != 1:
        raise damaged("first page")
    if own and (written, read) != (_LOG_MODE, _LOG_MODE):
        raise damaged("first page")
    if log_bytes(path) == 0 and state.st_size != pages * PAGE_BYTES:  # with a log, the last pages may still be there
        raise damaged("length")
