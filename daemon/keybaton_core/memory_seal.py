"""Seals what a process keeps in its memory for a while, under a key that no file holds and that goes with what it seals."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keybaton_core.secret import SecretBytes
from keybaton_core.vault_keys import KEY_BYTES, NONCE_BYTES, KeysWiped, SealBroken


class MemorySeal:
    """AES-256-GCM under one key. The cipher is made for each use, so that none keeps a copy of the key."""

    __slots__ = ("_key", "_wiped")

    def __init__(self, key: SecretBytes) -> None:
        """`key`: 32 random bytes that are used for nothing else. They are the seal's to wipe."""
        if len(key) != KEY_BYTES:
            raise ValueError("a key has 32 bytes")
        self._key = key
        self._wiped = False

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Nonce, ciphertext and tag. The caller draws 12 fresh random bytes as the nonce. Raises KeysWiped."""
        return nonce + self._cipher().encrypt(nonce, plaintext, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """What `seal` was given. Raises SealBroken, and KeysWiped."""
        try:
            return self._cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except InvalidTag:
            raise SealBroken from None

    def wipe(self) -> None:
        """Overwrites the key: what was sealed under it stays sealed for ever."""
        self._wiped = True
        self._key.wipe()

    def _cipher(self) -> AESGCM:
        if self._wiped:
            raise KeysWiped
        return AESGCM(self._key.reveal_view())
