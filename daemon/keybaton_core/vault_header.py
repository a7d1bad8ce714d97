"""The vault's header: who wraps the vault key, and the wrapped key itself. Public but for the key.

Leaves wrapping to vault_wrap.py, which needs cryptography, and storing to the caller.

Layout: magic "KBVH" | version u8 = 1 | lv(vault id 16, keystore kind 1, key id 16, parameters, wrapped key 60). The wrapped key
is sealed by AES-256-GCM under the wrapping key: nonce 12, ciphertext 32, tag 16. Everything before it is associated data, so that
no part of a header can be exchanged for another's.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from keybaton_core.encoding import lv
from keybaton_core.labels import VAULT_WRAP
from keybaton_core.vault_parts import VaultRowInvalid, split_lv

MAGIC: Final = b"KBVH"
VERSION: Final = 1
ID_BYTES: Final = 16
PARAMETERS_MAX_BYTES: Final = 4096
HEADER_MAX_BYTES: Final = 8192  # the parameters and some hundred bytes
_WRAPPED_BYTES: Final = 60  # nonce, key and tag, as above


class HeaderInvalid(ValueError):
    """The bytes are no header of a vault."""


class HeaderNewer(Exception):
    """The header is of a later version than this program knows."""


class Header(NamedTuple):
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
