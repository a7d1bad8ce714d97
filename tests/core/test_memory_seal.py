"""What is sealed in memory opens under its own key alone, and never again once the key is gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core.memory_seal import MemorySeal
from keybaton_core.secret import SecretBytes
from keybaton_core.vault_keys import KeysWiped, SealBroken

NONCE = bytes(12)


def seal_of(key: bytes = bytes(range(32))) -> MemorySeal:
    """Under that key."""
    return MemorySeal(SecretBytes(key))


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_is_sealed_opens_with_what_it_is_bound_to(plaintext: bytes, associated: bytes) -> None:
    """Not with anything else."""
    seal = seal_of()
    sealed = seal.seal(NONCE, plaintext, associated)
    assert seal.open(sealed, associated) == plaintext
    with pytest.raises(SealBroken):
        seal.open(sealed, associated + b"x")


@given(st.binary(max_size=60), st.integers(min_value=0))
def test_altered_or_foreign_bytes_do_not_open(plaintext: bytes, at: int) -> None:
    """Whichever bit was flipped, and whoever else sealed them."""
    seal = seal_of()
    sealed = bytearray(seal.seal(NONCE, plaintext, b""))
    sealed[at % len(sealed)] ^= 1
    for content in (bytes(sealed), seal_of(bytes(32)).seal(NONCE, plaintext, b"")):
        with pytest.raises(SealBroken):
            seal.open(content, b"")


def test_a_wiped_key_seals_and_opens_nothing() -> None:
    """Its bytes are overwritten."""
    key = SecretBytes(b"k" * 32)
    seal = MemorySeal(key)
    sealed = seal.seal(NONCE, b"text", b"")
    seal.wipe()
    assert key.reveal() == bytes(32)
    with pytest.raises(KeysWiped):
        seal.open(sealed, b"")
    with pytest.raises(KeysWiped):
        seal.seal(NONCE, b"text", b"")


def test_a_key_has_32_bytes() -> None:
    """Anything else is a mistake of the caller's."""
    with pytest.raises(ValueError, match="32"):
        MemorySeal(SecretBytes(b"short"))
