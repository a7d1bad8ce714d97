"""The vault key and what is derived from it: sealing, keyed index tags and the keyed sum of rows. Knows no row format.

The keys lie in one secret that `wipe()` overwrites; ciphers are made for each use, so that none keeps a copy of a key.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keybaton_core.encoding import lv
from keybaton_core.labels import VAULT_GROUP_KEY, VAULT_INDEX_KEY, VAULT_LINK_KEY, VAULT_ROW_KEY, VAULT_SUM_KEY
from keybaton_core.secret import SecretBytes

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # NIST SP 800-38D, section 8.2.2: random nonces of 96 bits
TAG_BYTES: Final = 16  # of AES-GCM
INDEX_TAG_BYTES: Final = 16  # of HMAC-SHA256; the name is compared after opening, so a chance match is seen
SEALS_MAX: Final = 2**32  # NIST SP 800-38D, section 8.3: seals under one key with random nonces
SUM_BYTES: Final = 32


class SealBroken(Exception):
    """A seal did not open: another key, altered bytes, or bytes moved from another place."""


class KeysWiped(Exception):
    """The keys were dropped while an operation still ran."""


class VaultKeys:
    """The keys of one open vault."""

    __slots__ = ("_group", "_index", "_keys", "_link", "_row", "_sum", "_vault", "_wiped")

    def __init__(
        self, vault_key: SecretBytes, vault_id: bytes, hold: Callable[[SecretBytes], SecretBytes] = lambda keys: keys
    ) -> None:
        """`vault_key`: 32 bytes, copied. `vault_id`: the salt of HKDF-SHA256 (RFC 5869).

        `hold` may move the keys, 192 bytes, to where they are better kept.
        """
        if len(vault_key) != KEY_BYTES:
            raise ValueError("a vault key has 32 bytes")
        buffer = bytearray(vault_key.reveal_view())
        for label in (VAULT_ROW_KEY, VAULT_INDEX_KEY, VAULT_GROUP_KEY, VAULT_LINK_KEY, VAULT_SUM_KEY):
            buffer += HKDF(SHA256(), KEY_BYTES, salt=vault_id, info=label).derive(vault_key.reveal_view())
        self._keys = hold(SecretBytes.over(memoryview(buffer)))
        keys = self._keys.reveal_view()
        parts = [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]
        self._vault, self._row, self._index, self._group, self._link, self._sum = parts
        self._wiped = False

    @property
    def wiped(self) -> bool:
        """Whether `wipe` was called."""
        return self._wiped

    def wipe(self) -> None:
        """Overwrites every key; later calls raise KeysWiped."""
        self._wiped = True
        self._keys.wipe()

    def same_vault_key(self, vault_key: SecretBytes) -> bool:
        """Whether these keys come from `vault_key`."""
        return not self._wiped and hmac.compare_digest(self._vault, vault_key.reveal_view())

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Nonce, ciphertext and tag of AES-256-GCM. The caller draws a fresh nonce and counts seals up to SEALS_MAX."""
        if self._wiped:
            raise KeysWiped
        sealed = nonce + AESGCM(self._row).encrypt(nonce, plaintext, associated)
        if self._wiped:  # by another thread meanwhile: what is sealed under an overwritten key never leaves
            raise KeysWiped
        return sealed

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """What `seal` was given. Raises SealBroken, and KeysWiped."""
        return self._unsealed(self._cipher(), sealed, associated)

    def open_two(self, one: bytes, of_one: bytes, other: bytes, of_other: bytes) -> tuple[bytes, bytes]:
        """`open` of two seals, each with what it is associated with; one cipher for both, which is gone when this returns."""
        cipher = self._cipher()
        return self._unsealed(cipher, one, of_one), self._unsealed(cipher, other, of_other)

    def _cipher(self) -> AESGCM:
        if self._wiped:
            raise KeysWiped
        return AESGCM(self._row)

    def _unsealed(self, cipher: AESGCM, sealed: bytes, associated: bytes) -> bytes:
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise SealBroken
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except InvalidTag:
            if self._wiped:  # by another thread, after the cipher was asked for
                raise KeysWiped from None
            raise SealBroken from None

    def index_tag(self, kind: int, vault: str, environment: str, lookup_name: str) -> bytes:
        """The key under which an item is found by name: 16 bytes."""
        return self._tag(self._index, bytes([kind]), vault.encode(), environment.encode(), lookup_name.encode())

    def group_tag(self, kind: int, vault: str) -> bytes:
        """The key under which the items of one kind (and project vault) are listed: 16 bytes."""
        return self._tag(self._group, bytes([kind]), vault.encode())

    def link_tag(self, lookup_name: str) -> bytes:
        """The key under which the databases that name a secret are found: 16 bytes."""
        return self._tag(self._link, lookup_name.encode())

    def sum_term(self, content: bytes) -> int:
        """A row's share of the sum: additive over 2^256, so that it is updated without reading other rows.

        The multiset hash MSet-Add-Hash of Clarke, Devadas, van Dijk, Gassend, Suh (ASIACRYPT 2003), keyed; nobody without the
        key sees a term or the sum.
        """
        if self._wiped:
            raise KeysWiped
        return int.from_bytes(hmac.digest(self._sum, content, "sha256"))

    def _tag(self, key: memoryview, *parts: bytes) -> bytes:
        if self._wiped:
            raise KeysWiped
        return hmac.digest(key, lv(*parts), "sha256")[:INDEX_TAG_BYTES]
