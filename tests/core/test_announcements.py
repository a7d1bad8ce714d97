"""Discovery datagrams: what is written is read, and everything else is nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core.announcements import (
    DATAGRAM_MAX_BYTES,
    ForeignReceiver,
    Offer,
    Receiver,
    Seek,
    format_offer,
    format_receiver,
    format_seek,
    parse,
)
from keybaton_core.names import plain
from keybaton_testing.fuzz import examples

MANY = examples(1000)
NONCE = "0123456789abcdef" * 2
FINGERPRINT = bytes(range(32))
nonces = st.binary(min_size=16, max_size=16).map(bytes.hex)


@MANY
@given(st.integers(1, 65535), st.binary(min_size=32, max_size=32), st.none() | nonces)
def test_a_receiver_round_trips(port: int, fingerprint: bytes, nonce: str | None) -> None:
    """Port, certificate and offer are read as they were written, within the size of a datagram."""
    datagram = format_receiver(port, fingerprint, nonce)
    assert len(datagram) <= DATAGRAM_MAX_BYTES
    assert parse(datagram) == Receiver(port, fingerprint, nonce)


@MANY
@given(nonces, st.text(max_size=200))
def test_offers_and_questions_round_trip_whatever_the_device_is_called(nonce: str, name: str) -> None:
    """Any device name fits; what is read of it has no control characters."""
    assert parse(format_seek(nonce)) == Seek(nonce)
    datagram = format_offer(nonce, name)
    offer = parse(datagram)
    assert len(datagram) <= DATAGRAM_MAX_BYTES
    assert isinstance(offer, Offer) and offer.nonce == nonce
    assert offer.name == plain(offer.name)


@MANY
@given(
    st.one_of(
        st.binary(max_size=600),
        st.builds(
            lambda text, cut, put: text[:cut] + put + text[cut:],
            st.sampled_from([format_receiver(7, FINGERPRINT, NONCE), format_seek(NONCE), format_offer(NONCE, "a")]),
            st.integers(0, 130),
            st.binary(min_size=1, max_size=3),
        ),
    )
)
def test_any_bytes_are_something_or_nothing(data: bytes) -> None:
    """The parser never raises, and what it takes for a receiver is written that way and no other."""
    heard = parse(data)
    if isinstance(heard, Receiver):
        assert format_receiver(heard.port, heard.fingerprint, heard.nonce) == data


@pytest.mark.parametrize("cut", [*range(86), *range(87, 119)])
def test_a_cut_receiver_is_nothing(cut: int) -> None:
    """No beginning of an announcement is another one, but for the whole of one without an offer (86 bytes)."""
    assert parse(format_receiver(54321, FINGERPRINT, NONCE)[:cut]) is None


@pytest.mark.parametrize(
    "datagram",
    [
        b"KEYBATON/1 RECV 0 " + b"a" * 64,
        b"KEYBATON/1 RECV 65536 " + b"a" * 64,
        b"KEYBATON/1 RECV 080 " + b"a" * 64,
        b"KEYBATON/1 RECV 80 " + b"A" * 64,
        b"KEYBATON/1 RECV 80 " + b"a" * 63,
        b"KEYBATON/1 RECV 80 " + b"a" * 64 + b"\n",
        b"KEYBATON/1 RECV 80 " + b"a" * 64 + b" ",
        b"KEYBATON/1 RECV 80 " + b"a" * 64 + b" " + b"a" * 32 + b" x",
        b"KEYBATON/1 RECV \xd9\xa3 " + b"a" * 64,
        b"keybaton/1 RECV 80 " + b"a" * 64,
        b"KEYBATON/1 OFFER " + b"a" * 32 + b" ff",
        b"KEYBATON/1 OFFER " + b"a" * 32 + b" 1b",
        b"KEYBATON/1 OFFER " + b"a" * 32 + b" " + b"61" * 65,
        b"PSIE_RECV:0:" + b"a" * 64,
    ],
)
def test_a_near_miss_is_nothing(datagram: bytes) -> None:
    """Ports out of range or spelled otherwise, wrong case, extra bytes, names that are no text."""
    assert parse(datagram) is None


def test_foreign_receivers_are_known_by_their_version() -> None:
    """So that a sender can say why nobody fits: another version, or Photosphere alone."""
    assert parse(b"KEYBATON/2 RECV what ever comes") == ForeignReceiver(2)
    assert parse(b"PSIE_RECV:4000:" + b"a" * 64) == ForeignReceiver(0)


def test_a_datagram_over_the_limit_is_nothing() -> None:
    """The longest that is looked at, and one byte more."""
    longest = b"KEYBATON/2 RECV ".ljust(DATAGRAM_MAX_BYTES, b"x")
    assert parse(longest) == ForeignReceiver(2)
    assert parse(longest + b"x") is None
