"""KeyJournal in one small file beside the vault: replaced as a whole, durable, mode 0600."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from keybatond.errors import storage_failure
from keybatond.paths import FILE_MODE
from keybatond.ports import KeyChange, KeyRecord, KeystoreKind

BYTES_MAX: Final = 4096
KEY_ID_BYTES: Final = 16


class KeyJournalFile:
    """One journal at `path`, in a folder that is there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pending(self) -> KeyChange | None:
        """What was begun and not ended. A file that is not as this class writes it says nothing."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return _decoded(os.read(descriptor, BYTES_MAX))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        finally:
            os.close(descriptor)

    async def begin(self, change: KeyChange) -> None:
        """Durable when it returns."""
        await _in_thread(lambda: self._write(_encoded(change)))

    async def end(self) -> None:
        """Nothing is pending any more."""
        await _in_thread(self._remove)

    def _write(self, content: bytes) -> None:
        new = self._path.with_name(f".{self._path.name}.new")
        new.unlink(missing_ok=True)  # of a killed process
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(new, flags, FILE_MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        self._sync_folder()

    def _remove(self) -> None:
        try:
            self._path.unlink()
        except FileNotFoundError:
            return
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


async def _in_thread(work: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(work)
    except OSError as error:
        raise storage_failure(error) from None


def _encoded(change: KeyChange) -> bytes:
    import json  # seldom needed: not at the agent's start

    old = None if change.old is None else _record_to(change.old)
    return json.dumps({"new": _record_to(change.new), "old": old, "drops_old": change.drops_old}).encode()


def _decoded(content: bytes) -> KeyChange:
    import json

    found = json.loads(content)
    old = None if found["old"] is None else _record_from(found["old"])
    return KeyChange(_record_from(found["new"]), old, found["drops_old"] is True)


def _record_to(record: KeyRecord) -> list[int | str]:
    return [int(record.kind), record.key_id, record.parameters.hex()]


def _record_from(found: list[int | str]) -> KeyRecord:
    kind, key_id, parameters = found
    if not isinstance(key_id, str) or not isinstance(parameters, str) or len(bytes.fromhex(key_id)) != KEY_ID_BYTES:
        raise ValueError("not a record")
    return KeyRecord(KeystoreKind(int(kind)), key_id, bytes.fromhex(parameters))
