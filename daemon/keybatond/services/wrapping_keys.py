"""Makes, stores, reads back and discards wrapping keys in their keystores. When each of it happens is `custody`'s job.

A keychain is no part of the vault's transaction, and cannot be searched for keys that nothing needs: other vaults' keys, those of
replaced ones too, lie in it. So what is about to be stored or removed is written down first, and an agent that was killed in
between leaves a note by which the next one finds the key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Entropy, KeyChange, KeyJournal, KeyRecord, Keystore, KeystoreKind, Log

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

    def __init__(
        self, keystores: Mapping[KeystoreKind, Keystore], journal: KeyJournal, entropy: Entropy, log: Log
    ) -> None:
        self._keystores = keystores
        self._journal = journal
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

    async def new(
        self, kind: KeystoreKind, passphrase: SecretBytes | None, old: KeyRecord | None, *, drops_old: bool = False
    ) -> tuple[KeyRecord, SecretBytes]:
        """A new key, stored and read back before a vault depends on it. KEYCHAIN_REFUSED when it reads back differently.

        `old` is what the vault's header names now, and `drops_old` whether the caller will `drop` that key.
        """
        keystore = self.keystore(kind)
        key, key_id = self.fresh()
        await self._journal.begin(KeyChange(KeyRecord(kind, key_id, b""), _noted(old), drops_old))
        record = await keystore.store(key_id, key, passphrase)
        try:
            with wiped(await keystore.load(record, passphrase)) as stored:
                if stored != key:
                    raise KeybatonError(Reason.KEYCHAIN_REFUSED)
        except Exception:
            key.wipe()
            await self.drop(record)
            raise
        if old is None:
            # The note ends here: were it found beside no vault later on, nobody could tell a vault that was never made from
            # one that was moved away, and needs its key.
            await self.kept()
        return record, key

    async def drop(self, record: KeyRecord) -> None:
        """Removes a key that nothing needs, which ends the change. Failing leaves key and note there, and is logged."""
        try:
            await self.keystore(record.kind).remove(record)
        except KeybatonError as failure:
            self._log.event("unneeded key left", keystore=record.kind.name.lower(), reason=failure.reason.value)
        else:
            await self.kept()

    async def kept(self) -> None:
        """Ends the change with every key left where it is."""
        try:
            await self._journal.end()
        except KeybatonError as failure:  # what it says is looked at again, and found done
            self._log.event("note of keys left", reason=failure.reason.value)

    async def settle(self, named: KeyRecord | None) -> None:
        """Removes what a change that was cut off has left. `named`: the key in the vault's header; None: there is no vault."""
        change = self._journal.pending()
        if change is None:
            return
        if named is not None and named.key_id == change.new.key_id:
            unneeded = change.old if change.drops_old else None
        elif (named and named.key_id) == (change.old and change.old.key_id):
            unneeded = change.new
        else:
            unneeded = None  # another vault than the one it was about
        if unneeded is None:
            await self.kept()
        else:
            self._log.event("unneeded key found", keystore=unneeded.kind.name.lower())
            await self.drop(unneeded)


def _noted(record: KeyRecord | None) -> KeyRecord | None:
    """As much of it as its removal needs: a key that is sealed under a passphrase is in no second place."""
    return record if record is None or record.kind is KeystoreKind.KEYCHAIN else record._replace(parameters=b"")
