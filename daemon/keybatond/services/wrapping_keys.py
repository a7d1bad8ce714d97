"""Makes, stores, reads back and discards wrapping keys in their keystores. When each of it happens is `custody`'s job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Entropy, KeyRecord, Keystore, KeystoreKind, Log

WRAPPING_KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 16


@contextlib.contextmanager
def wiped(key: SecretBytes) -> Iterator[SecretBytes]:
    """Wipes `key` at the end of the block."""
    try:
        yield key
    finally:
        key.wipe()


class WrappingKeys:
    """Wrapping keys over the keystores that this machine can have."""

    def __init__(self, keystores: Mapping[KeystoreKind, Keystore], entropy: Entropy, log: Log) -> None:
        self._keystores = keystores
        self._entropy = entropy
        self._log = log

    def keystore(self, kind: KeystoreKind) -> Keystore:
        """The keystore of that kind, never another. KEYCHAIN_UNAVAILABLE when this machine has none."""
        keystore = self._keystores.get(kind)
        if keystore is None:
            raise KeybatonError(Reason.KEYCHAIN_UNAVAILABLE)
        return keystore

    def describe(self, record: KeyRecord) -> str:
        """Where the key lives, for people; empty for a kind that this machine does not have."""
        keystore = self._keystores.get(record.kind)
        return keystore.describe(record) if keystore is not None else ""

    def fresh(self) -> tuple[SecretBytes, str]:
        """A new key and its id, not stored."""
        return SecretBytes(self._entropy.token(WRAPPING_KEY_BYTES)), self._entropy.token(KEY_ID_BYTES).hex()

    async def new(self, kind: KeystoreKind, passphrase: SecretBytes | None) -> tuple[KeyRecord, SecretBytes]:
        """A new key, stored and read back before a vault depends on it. KEYCHAIN_REFUSED when it reads back differently."""
        keystore = self.keystore(kind)
        key, key_id = self.fresh()
        record = await keystore.store(key_id, key, passphrase)
        try:
            with wiped(await keystore.load(record, passphrase)) as stored:
                if stored != key:
                    raise KeybatonError(Reason.KEYCHAIN_REFUSED)
        except Exception:
            key.wipe()
            await self.discard(record)
            raise
        return record, key

    async def discard(self, record: KeyRecord) -> None:
        """Removes a key that nothing needs. Failing leaves it there, which harms nothing, and is logged."""
        try:
            await self.keystore(record.kind).remove(record)
        except KeybatonError as failure:
            self._log.event("unneeded key left", keystore=record.kind.name.lower(), reason=failure.reason.value)
