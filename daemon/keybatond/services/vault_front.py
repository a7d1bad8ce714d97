"""The vault as it looks from outside, without any key: enough to say that it is locked. All else is handed to the vault itself.

The vault with its ciphers and rows is made when keys come into play: an agent that starts answers without it, a fifth sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from keybaton_core.secret import SecretBytes
from keybaton_core.vault_header import Header, HeaderInvalid, HeaderNewer, decode_header
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyOpener, KeyRecord, KeystoreKind, Progress
from keybatond.vault_ports import VaultStore

if TYPE_CHECKING:
    from keybatond.services.vault import VaultService
    from keybatond.services.vault_types import RestoreResult


class VaultHeader(NamedTuple):
    """What the vault's file says of itself without any key."""

    record: KeyRecord
    vault_id: str  # 32 hexadecimal digits


def header_in(store: VaultStore) -> VaultHeader | None:
    """What the file says; None where there is no vault. VAULT_DAMAGED, VAULT_NEWER, STORAGE_*."""
    if not store.exists():
        return None
    header = decoded(store.reader().header())
    return VaultHeader(record_of(header), header.vault_id.hex())


def decoded(content: bytes) -> Header:
    """The header in `content`. VAULT_DAMAGED, VAULT_NEWER."""
    try:
        header = decode_header(content)
        KeystoreKind(header.kind)
    except HeaderInvalid:
        raise KeybatonError(Reason.VAULT_DAMAGED, problem="header") from None
    except (HeaderNewer, ValueError):
        raise KeybatonError(Reason.VAULT_NEWER) from None
    return header


def record_of(header: Header) -> KeyRecord:
    """What it says of the wrapping key."""
    return KeyRecord(KeystoreKind(header.kind), header.key_id.hex(), header.parameters)


class VaultFront:
    """Stands before one vault, for those who ask about it more often than about its items. Methods as VaultService has them."""

    def __init__(self, store: VaultStore, make: Callable[[], VaultService]) -> None:
        """`make`: the vault on the same store."""
        self._store = store
        self._make = make
        self._made: VaultService | None = None

    @property
    def vault(self) -> VaultService:
        """The vault itself."""
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def is_open(self) -> bool:
        """Whether the keys are in memory."""
        return self._made is not None and self._made.is_open

    def header(self) -> VaultHeader | None:
        """As `header_in`."""
        return header_in(self._store)

    def count(self) -> int:
        """How many items there are. VAULT_LOCKED."""
        return self.vault.count()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` after each change of items; returns what ends that."""
        return self._store.subscribe(callback)

    def close(self) -> None:
        """Locks."""
        if self._made is not None:
            self._made.close()

    async def wiped(self) -> None:
        """After `close`: returns when the keys are overwritten."""
        if self._made is not None:
            await self._made.wiped()

    async def shutdown(self) -> None:
        """Locks and closes the file; for the end of the process."""
        if self._made is not None:
            await self._made.shutdown()
        else:
            await self._store.close()

    async def create(self, record: KeyRecord, wrapping_key: SecretBytes) -> None:
        """Makes an empty vault and opens it."""
        await self.vault.create(record, wrapping_key)

    async def open(self, wrapping_key: SecretBytes) -> None:
        """Unlocks."""
        await self.vault.open(wrapping_key)

    async def rekey(self, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> None:
        """New keys for every row."""
        await self.vault.rekey(record, wrapping_key, progress)

    async def backup(self, path: str, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> int:
        """Writes a copy; how many items it has."""
        return await self.vault.backup(path, record, wrapping_key, progress)

    async def restore(
        self,
        path: str,
        opener: KeyOpener,
        record: KeyRecord,
        wrapping_key: SecretBytes,
        progress: Progress,
        *,
        replace: bool,
    ) -> RestoreResult:
        """Puts a backup in the vault's place."""
        return await self.vault.restore(path, opener, record, wrapping_key, progress, replace=replace)
