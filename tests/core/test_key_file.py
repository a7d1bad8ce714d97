"""Keys sealed under a passphrase: round trip, floor and cap, a decoder that is total."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_core import key_file
from keybaton_core.key_file import (
    CAP,
    FLOOR,
    RECORD_BYTES,
    Argon2Profile,
    KeyFileInvalid,
    PassphraseWeak,
    WrongPassphrase,
)
from keybaton_core.secret import SecretBytes

KEY = SecretBytes(bytes(range(32)))
WORDS = SecretBytes(b"correct horse battery")
KEY_ID = "0123456789abcdef" * 2
SALT, NONCE = b"salt" * 4, b"nonce-nonce-"
GOLDEN = (
    "0100010000030473616c7473616c7473616c7473616c746e6f6e63652d6e6f6e63652de41f1bce906b8455bce9d3bb78a25a"
    "20e6e7637f1c008ad7d8cf46e5b3cb47ba9d1b423c1c664b5c78088e87a607ca02"
)


def sealed(passphrase: SecretBytes = WORDS, profile: Argon2Profile = FLOOR) -> bytes:
    return key_file.seal_key(KEY, passphrase, KEY_ID, profile=profile, salt=SALT, nonce=NONCE)


def test_a_sealed_key_opens_with_its_passphrase_and_no_other() -> None:
    """Round trip; another passphrase, or another key's id, opens nothing."""
    record = sealed()
    assert len(record) == RECORD_BYTES
    assert key_file.open_key(record, WORDS, KEY_ID) == KEY
    with pytest.raises(WrongPassphrase):
        key_file.open_key(record, SecretBytes(b"correct horse batteries"), KEY_ID)
    with pytest.raises(WrongPassphrase):
        key_file.open_key(record, WORDS, "f" * 32)


def test_the_record_is_what_it_was_when_the_format_was_made() -> None:
    """A golden record of the recommended profile: it must open for ever."""
    assert sealed(profile=key_file.RFC_9106_LOW_MEMORY).hex() == GOLDEN
    assert key_file.open_key(bytes.fromhex(GOLDEN), WORDS, KEY_ID) == KEY


def test_no_flipped_bit_opens() -> None:
    """Each byte changed: refused as invalid, or as another passphrase."""
    record = sealed()
    for position in range(len(record)):
        altered = bytearray(record)
        altered[position] ^= 1
        with pytest.raises((KeyFileInvalid, WrongPassphrase)):
            key_file.open_key(bytes(altered), WORDS, KEY_ID)


@pytest.mark.parametrize(
    "profile",
    [
        Argon2Profile(FLOOR.memory_kib - 1, 2, 1),
        Argon2Profile(FLOOR.memory_kib, 1, 1),
        Argon2Profile(FLOOR.memory_kib, 2, 0),
        Argon2Profile(CAP.memory_kib + 1, 2, 1),
        Argon2Profile(2**32 - 1, 255, 255),
        Argon2Profile(FLOOR.memory_kib, CAP.passes + 1, 1),
        Argon2Profile(FLOOR.memory_kib, 2, CAP.lanes + 1),
    ],
)
def test_parameters_below_the_floor_or_above_the_cap_are_refused_before_any_work(profile: Argon2Profile) -> None:
    """A weakened record is not opened, a costly one does not stall: neither is even derived, nor made."""
    head = key_file._head(profile, SALT)
    start = time.process_time()
    with pytest.raises(KeyFileInvalid):
        key_file.open_key(head + NONCE + bytes(48), WORDS, KEY_ID)
    with pytest.raises(KeyFileInvalid):
        sealed(profile=profile)
    assert time.process_time() - start < 0.02


@settings(max_examples=2000)
@given(st.one_of(st.binary(max_size=2 * RECORD_BYTES), st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES)))
def test_the_decoder_takes_any_bytes(data: bytes) -> None:
    """A record in one spelling, or KeyFileInvalid; never anything else."""
    try:
        record = key_file.decode(data)
    except KeyFileInvalid:
        return
    assert key_file.encode(record) == data


@settings(max_examples=1000)
@given(
    memory=st.integers(FLOOR.memory_kib, CAP.memory_kib),
    passes=st.integers(FLOOR.passes, CAP.passes),
    lanes=st.integers(FLOOR.lanes, CAP.lanes),
    salt=st.binary(min_size=16, max_size=16),
    nonce=st.binary(min_size=12, max_size=12),
    rest=st.binary(min_size=48, max_size=48),
    cut=st.integers(0, RECORD_BYTES - 1),
)
def test_every_record_within_the_range_survives_and_none_cut_short(
    memory: int, passes: int, lanes: int, salt: bytes, nonce: bytes, rest: bytes, cut: int
) -> None:
    """encode and decode are inverse; every shorter input is refused."""
    record = key_file.SealedKey(Argon2Profile(memory, passes, lanes), salt, nonce, rest)
    data = key_file.encode(record)
    assert key_file.decode(data) == record
    with pytest.raises(KeyFileInvalid):
        key_file.decode(data[:cut])


@pytest.mark.parametrize("weak", [b"", b"seven77", "sieben\u00e4".encode(), b"x" * 1025, b"\xff" * 12])
def test_a_weak_passphrase_seals_nothing_and_opens_nothing(weak: bytes) -> None:
    """Fewer than 8 characters (not bytes), more than 1,024 bytes, no text."""
    with pytest.raises(PassphraseWeak) as caught:
        sealed(SecretBytes(weak))
    assert not weak or weak.decode(errors="replace") not in str(caught.value)
    with pytest.raises(WrongPassphrase):
        key_file.open_key(sealed(), SecretBytes(weak), KEY_ID)


@pytest.mark.parametrize("strong", [b"eight888", "sieben\u00e4\u00e4".encode(), b"x" * 1024])
def test_the_shortest_and_the_longest_passphrase_are_taken(strong: bytes) -> None:
    """8 characters and 1,024 bytes."""
    assert key_file.open_key(sealed(SecretBytes(strong)), SecretBytes(strong), KEY_ID)


def test_an_accent_typed_in_two_ways_is_the_same_passphrase() -> None:
    """NFC and NFD of one text open each other's records."""
    assert (
        key_file.open_key(
            sealed(SecretBytes("p\u00e4ssw\u00f6rter".encode())), SecretBytes("pa\u0308sswo\u0308rter".encode()), KEY_ID
        )
        == KEY
    )


def test_a_key_of_another_length_is_a_mistake_of_the_caller() -> None:
    """ValueError for a key, salt or nonce of the wrong size."""
    with pytest.raises(ValueError, match="32, 16 and 12"):
        key_file.seal_key(SecretBytes(b"short"), WORDS, KEY_ID, profile=FLOOR, salt=SALT, nonce=NONCE)
