"""The vault as custody sees it, over a disk that outlives it: which key opens it is all that it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyOpener, KeyRecord, Progress


@dataclass(frozen=True)
class CustodyHeader:
    """What lies on the disk: the record, and the key that opens (a real vault keeps a sealed one)."""

    record: KeyRecord
    key: bytes


@dataclass
class CustodyDisk:
    """Files of a machine that lost its power."""

    vault: CustodyHeader | None = None
    problem: Reason | None = None
    backups: dict[str, CustodyHeader] = field(default_factory=dict)
    set_aside: list[CustodyHeader | None] = field(default_factory=list)


@dataclass(frozen=True)
class CustodyRestored:
    """The outcome of a restore."""

    items: int
    set_aside: str


class CustodyVault:
    """Fake of VaultService for custody's tests. `step` is called before and after each commit."""

    def __init__(self, disk: CustodyDisk, step: Callable[[str], None] = lambda _: None) -> None:
        self.disk = disk
        self._step = step
        self._open = False
        self.failure: KeybatonError | None = None
        self.close_failure: Exception | None = None
        self.writes_end = asyncio.Event()  # of those that were on their way when it was closed
        self.writes_end.set()

    @property
    def is_open(self) -> bool:
        return self._open

    def header(self) -> CustodyHeader | None:
        if self.disk.problem is not None:
            raise KeybatonError(self.disk.problem)
        return self.disk.vault

    async def create(self, record: KeyRecord, wrapping_key: SecretBytes) -> None:
        if self.header() is not None:
            raise KeybatonError(Reason.VAULT_EXISTS)
        self._commit(CustodyHeader(record, wrapping_key.reveal()))
        self._open = True

    async def open(self, wrapping_key: SecretBytes) -> None:
        if self.failure is not None:
            raise self.failure
        header = self.header()
        assert header is not None
        if header.key != wrapping_key.reveal():
            raise KeybatonError(Reason.WRONG_KEY)
        self._open = True

    def close(self) -> None:
        self._open = False
        if self.close_failure is not None:
            raise self.close_failure

    async def wiped(self) -> None:
        await self.writes_end.wait()

    async def rekey(self, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> None:
        progress(1, 1)
        self._commit(CustodyHeader(record, wrapping_key.reveal()))

    async def backup(self, path: str, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> int:
        self.disk.backups[path] = CustodyHeader(record, wrapping_key.reveal())
        return 3

    async def restore(
        self,
        path: str,
        opener: KeyOpener,
        record: KeyRecord,
        wrapping_key: SecretBytes,
        progress: Progress,
        *,
        replace: bool,
    ) -> CustodyRestored:
        if path not in self.disk.backups:
            raise KeybatonError(Reason.FILE_UNREADABLE)
        backup = self.disk.backups[path]
        if (await opener(backup.record)).reveal() != backup.key:
            raise KeybatonError(Reason.WRONG_KEY)
        self.disk.set_aside.append(self.disk.vault)
        self.disk.problem = None
        self._open = False
        self._commit(CustodyHeader(record, wrapping_key.reveal()))
        return CustodyRestored(3, "vault.db.replaced")

    def _commit(self, header: CustodyHeader) -> None:
        if self.failure is not None:
            raise self.failure
        self._step("before commit")
        self.disk.vault = header
        self._step("after commit")
