"""From SQLite's and the operating system's errors to the domain's."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final

from keybatond.errors import KeybatonError, Reason, storage_failure

# https://www.sqlite.org/rescode.html. SQLITE_ERROR, _CONSTRAINT, _MISMATCH and _TOOBIG come only from a file that is not as this
# program wrote it, since its statements and values are fixed.
_PRIMARY: Final = {
    sqlite3.SQLITE_FULL: Reason.STORAGE_FULL,
    sqlite3.SQLITE_READONLY: Reason.STORAGE_READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Reason.STORAGE_READ_ONLY,
    sqlite3.SQLITE_PERM: Reason.STORAGE_READ_ONLY,
    sqlite3.SQLITE_CORRUPT: Reason.VAULT_DAMAGED,
    sqlite3.SQLITE_NOTADB: Reason.VAULT_DAMAGED,
    sqlite3.SQLITE_ERROR: Reason.VAULT_DAMAGED,
    sqlite3.SQLITE_CONSTRAINT: Reason.VAULT_DAMAGED,
    sqlite3.SQLITE_MISMATCH: Reason.VAULT_DAMAGED,
    sqlite3.SQLITE_TOOBIG: Reason.VAULT_DAMAGED,
}
_EXTENDED: Final = {
    sqlite3.SQLITE_IOERR_SHMSIZE: Reason.STORAGE_FULL,  # no room for the log's index
    sqlite3.SQLITE_IOERR_CORRUPTFS: Reason.VAULT_DAMAGED,
}


def translate(error: sqlite3.Error | OSError) -> KeybatonError:
    """The domain's error for one of the technology's; `problem` names the code and never quotes a row."""
    if isinstance(error, OSError):
        return storage_failure(error)
    number = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    reason = _EXTENDED.get(number) or _PRIMARY.get(number & 0xFF, Reason.STORAGE_FAILED)
    return KeybatonError(reason, problem=getattr(error, "sqlite_errorname", type(error).__name__))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raises the domain's error for any of SQLite's or the operating system's."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise translate(error) from None


def damaged(problem: str) -> KeybatonError:
    """The error for a file that is not as this program wrote it."""
    return KeybatonError(Reason.VAULT_DAMAGED, problem=problem)
