"""Keystore for unattended servers: the passphrase is a systemd credential, read afresh for each use.

systemd.exec(5), LoadCredential= and LoadCredentialEncrypted=: the service manager puts the file into $CREDENTIALS_DIRECTORY, a
folder that only the service's user can read. What the passphrase seals, and how, is another keystore's job.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyRecord, Keystore, KeystoreKind

CREDENTIAL_NAME: Final = "keybaton-passphrase"
CREDENTIAL_MAX_BYTES: Final = 1024  # the longest passphrase


class CredentialKeystore:
    """Hands the credential's content as the passphrase to `sealed`, a keystore of kind CREDENTIAL."""

    kind = KeystoreKind.CREDENTIAL

    def __init__(self, sealed: Keystore, environment: Mapping[str, str]) -> None:
        self._sealed = sealed
        self._folder = environment.get("CREDENTIALS_DIRECTORY", "")

    async def probe(self) -> str:
        """Reads the credential and does a round trip with it."""
        passphrase = await self._passphrase()
        try:
            record = await self._sealed.store("probe", SecretBytes(bytes(32)), passphrase)
            await self._sealed.load(record, passphrase)
        finally:
            passphrase.wipe()
        return self.describe(record)

    async def store(self, key_id: str, key: SecretBytes, passphrase: SecretBytes | None) -> KeyRecord:
        """The record with the key sealed under the credential. CREDENTIAL_ABSENT, PASSPHRASE_WEAK."""
        credential = await self._passphrase()
        try:
            return await self._sealed.store(key_id, key, credential)
        finally:
            credential.wipe()

    async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        """The key, opened by the credential; where none is there, by `passphrase`, so that a person can help out."""
        try:
            given = await self._passphrase()
        except KeybatonError:
            if passphrase is None:
                raise
            given = SecretBytes(passphrase.reveal())
        try:
            return await self._sealed.load(record, given)
        finally:
            given.wipe()

    async def remove(self, record: KeyRecord) -> None:
        """Nothing: the sealed key goes with the header that holds it."""
        await self._sealed.remove(record)

    def describe(self, record: KeyRecord) -> str:
        """The credential's name and the derivation."""
        return f"{CREDENTIAL_NAME}; {self._sealed.describe(record)}"

    async def _passphrase(self) -> SecretBytes:
        return await asyncio.to_thread(read_credential, self._folder)


def read_credential(folder: str) -> SecretBytes:
    """The first line of the credential. CREDENTIAL_ABSENT with the problem when it is not there or open to others."""
    if not folder:
        raise KeybatonError(Reason.CREDENTIAL_ABSENT, problem="CREDENTIALS_DIRECTORY is not set")
    path = Path(folder) / CREDENTIAL_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as failure:
        raise KeybatonError(Reason.CREDENTIAL_ABSENT, problem=failure.strerror or "cannot be read") from None
    try:
        _check_private(os.fstat(descriptor))
        buffer = bytearray(CREDENTIAL_MAX_BYTES + 1)
        size = os.readv(descriptor, [buffer])
    finally:
        os.close(descriptor)
    if size > CREDENTIAL_MAX_BYTES:
        raise KeybatonError(Reason.CREDENTIAL_ABSENT, problem=f"is longer than {CREDENTIAL_MAX_BYTES} bytes")
    end = buffer.find(b"\n", 0, size)
    credential = SecretBytes(memoryview(buffer)[: size if end < 0 else end])
    buffer[:] = bytes(len(buffer))
    return credential


def _check_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeybatonError(Reason.CREDENTIAL_ABSENT, problem="is not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise KeybatonError(Reason.CREDENTIAL_ABSENT, problem="belongs to another user")
    # A file of root's may show the group's read bit: it stands for the access list that lets this user in.
    forbidden = 0o077 if status.st_uid == os.geteuid() else 0o037
    if status.st_mode & forbidden:
        raise KeybatonError(Reason.CREDENTIAL_ABSENT, problem="can be read or changed by others")
