"""Keystore under a passphrase: the wrapping key lies sealed in the vault's own header. Leaves the sealing to `key_file`."""

from __future__ import annotations

import asyncio

from keybaton_core import key_file
from keybaton_core.key_file import Argon2Profile
from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Entropy, KeyRecord, KeystoreKind


class PassphraseKeystore:
    """Derives with Argon2id in a worker thread (0.2 s, without the interpreter's lock), one derivation at a time.

    The thread is bounded by the cap on parameters (some ten seconds), so it needs no deadline of its own.
    """

    def __init__(
        self,
        entropy: Entropy,
        *,
        kind: KeystoreKind = KeystoreKind.PASSPHRASE,
        profile: Argon2Profile = key_file.RFC_9106_LOW_MEMORY,
    ) -> None:
        self._entropy = entropy
        self._kind = kind
        self._profile = profile
        self._one = asyncio.Lock()

    @property
    def kind(self) -> KeystoreKind:
        """PASSPHRASE, or CREDENTIAL when it serves the credential's store."""
        return self._kind

    async def probe(self) -> str:
        """Seals and opens a throw-away key."""
        key, passphrase = SecretBytes(self._entropy.token(32)), SecretBytes(self._entropy.token(16).hex().encode())
        record = await self.store("probe", key, passphrase)
        if await self.load(record, passphrase) != key:
            raise KeybatonError(Reason.INTERNAL)
        return self.describe(record)

    async def store(self, key_id: str, key: SecretBytes, passphrase: SecretBytes | None) -> KeyRecord:
        """The record with the sealed key in it. PASSPHRASE_REQUIRED, PASSPHRASE_WEAK."""
        given = _required(passphrase)
        async with self._one:
            try:
                sealed = await asyncio.to_thread(
                    key_file.seal_key,
                    key,
                    given,
                    key_id,
                    profile=self._profile,
                    salt=self._entropy.token(key_file.SALT_BYTES),
                    nonce=self._entropy.token(key_file.NONCE_BYTES),
                )
            except key_file.PassphraseWeak as failure:
                raise KeybatonError(Reason.PASSPHRASE_WEAK, problem=failure.problem) from None
        return KeyRecord(self._kind, key_id, sealed)

    async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        """The key. PASSPHRASE_REQUIRED, WRONG_PASSPHRASE; VAULT_DAMAGED for a record that is none."""
        try:
            key_file.decode(record.parameters)  # first: a damaged record is not a matter of passphrases
            given = _required(passphrase)
            async with self._one:
                return await asyncio.to_thread(key_file.open_key, record.parameters, given, record.key_id)
        except key_file.KeyFileInvalid as failure:
            raise KeybatonError(Reason.VAULT_DAMAGED, problem=f"sealed key {failure}") from None
        except key_file.WrongPassphrase:
            raise KeybatonError(Reason.WRONG_PASSPHRASE) from None

    async def remove(self, record: KeyRecord) -> None:
        """Nothing: the sealed key goes with the header that holds it."""

    def describe(self, record: KeyRecord) -> str:
        """`Argon2id, 64 MiB, 3 passes`."""
        try:
            profile = key_file.decode(record.parameters).profile
        except key_file.KeyFileInvalid:
            return "unreadable"
        return f"Argon2id, {profile.memory_kib // 1024} MiB, {profile.passes} passes"


def _required(passphrase: SecretBytes | None) -> SecretBytes:
    if passphrase is None or len(passphrase) == 0:
        raise KeybatonError(Reason.PASSPHRASE_REQUIRED)
    return passphrase
