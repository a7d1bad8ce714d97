"""Wraps the vault key into its header and takes it out again. The header's bytes are vault_header.py's."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keybaton_core.secret import SecretBytes
from keybaton_core.vault_header import Header
from keybaton_core.vault_keys import KEY_BYTES, NONCE_BYTES, SealBroken


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
