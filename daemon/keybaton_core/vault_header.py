"""The vault's header: who wraps the vault key, and the wrapped key itself. Public but for the key; leaves storing to the caller.

Layout: magic "KBVH" | version u8 = 1 | lv(vault id 16, keystore kind 1, key id 16, parameters, wrapped key 60). The wrapped key
is sealed by AES-256-GCM under the wrapping key: nonce 12, ciphertext 32, tag 16. Everything before it is associated data, so that
no part of a header can be exchanged for another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keybaton_core.encoding import lv
from keybaton_core.labels import VAULT_WRAP
from keybaton_core.secret import SecretBytes
from keybaton_core.vault_codec import VaultRowInvalid, split_lv
from keybaton_core.vault_keys import KEY_BYTES, NONCE_BYTES, TAG_BYTES, SealBroken

MAGIC: Final = b"KBVH"
VERSION: Final = 1
ID_BYTES: Final = 16
PARAMETERS_MAX_BYTES: Final = 4096
HEADER_MAX_BYTES: Final = 8192  # the parameters and some hundred bytes
_WRAPPED_BYTES: Final = NONCE_BYTES + KEY_BYTES + TAG_BYTES


class HeaderInvalid(ValueError):
    """The bytes are no header of a vault."""


class HeaderNewer(Exception):
    """The header is of a later version than this program knows."""


@dataclass(frozen=True)
class Header:
    """The parts of a header."""

    vault_id: bytes
    kind: int
    key_id: bytes
    parameters: bytes
    wrapped: bytes = b""

    def encode(self) -> bytes:
        """Its bytes."""
        parts = (self.vault_id, bytes([self.kind]), self.key_id, self.parameters, self.wrapped)
        return MAGIC + bytes([VERSION]) + lv(*parts)

    def associated(self) -> bytes:
        """What the seal of the wrapped key binds."""
        version = bytes([VERSION])
        return lv(VAULT_WRAP, version, self.vault_id, bytes([self.kind]), self.key_id, self.parameters)


def decode_header(data: bytes) -> Header:
    """The header of `data`. Raises HeaderInvalid or HeaderNewer."""
    if len(data) > HEADER_MAX_BYTES or data[:4] != MAGIC or len(data) < 5:
        raise HeaderInvalid("not a header")
    if data[4] > VERSION:
        raise HeaderNewer
    try:
        parts = split_lv(data, 5)
    except VaultRowInvalid as problem:
        raise HeaderInvalid(str(problem)) from None
    if data[4] != VERSION or len(parts) != 5:
        raise HeaderInvalid("not five parts of version 1")
    vault_id, kind, key_id, parameters, wrapped = parts
    if (len(vault_id), len(kind), len(key_id), len(wrapped)) != (ID_BYTES, 1, ID_BYTES, _WRAPPED_BYTES):
        raise HeaderInvalid("a part has a wrong length")
    if len(parameters) > PARAMETERS_MAX_BYTES:
        raise HeaderInvalid("parameters are too long")
    return Header(vault_id, kind[0], key_id, parameters, wrapped)


def wrap(header: Header, vault_key: SecretBytes, wrapping_key: SecretBytes, nonce: bytes) -> Header:
    """`header` with `vault_key` sealed under `wrapping_key`."""
    sealed = AESGCM(wrapping_key.reveal()).encrypt(nonce, vault_key.reveal(), header.associated())
    return Header(header.vault_id, header.kind, header.key_id, header.parameters, nonce + sealed)


def unwrap(header: Header, wrapping_key: SecretBytes) -> SecretBytes:
    """The vault key. Raises SealBroken when the wrapping key is another one or the header was altered."""
    if len(wrapping_key) != KEY_BYTES:
        raise SealBroken
    nonce, sealed = header.wrapped[:NONCE_BYTES], header.wrapped[NONCE_BYTES:]
    try:
        return SecretBytes(AESGCM(wrapping_key.reveal()).decrypt(nonce, sealed, header.associated()))
    except InvalidTag:
        raise SealBroken from None
