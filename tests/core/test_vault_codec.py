"""Bytes inside the vault's seals: every item survives, every garbage is refused in one way."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core.encoding import lv
from keybaton_core.items import (
    LINK_SLOTS,
    SECRET_TYPES,
    Body,
    DatabaseBody,
    EnvBody,
    ItemKind,
    ItemRef,
    ProjectBody,
    SecretBody,
)
from keybaton_core.secret import SecretBytes
from keybaton_core.vault_codec import (
    Summary,
    decode_body,
    decode_summary,
    encode_body,
    encode_summary,
)
from keybaton_core.vault_header import (
    HEADER_MAX_BYTES,
    Header,
    HeaderInvalid,
    HeaderNewer,
    decode_header,
)
from keybaton_core.vault_keys import SealBroken
from keybaton_core.vault_parts import ROW_MAX_BYTES, VaultRowInvalid, split_lv
from keybaton_core.vault_rows import Totals, decode_totals
from keybaton_core.vault_wrap import unwrap, wrap
from keybaton_testing.fuzz import examples

MANY = examples(1000)

texts = st.text(st.characters(codec="utf-8"), max_size=40)
values = st.binary(max_size=300).map(SecretBytes)
secrets = st.sampled_from(sorted(SECRET_TYPES)).flatmap(
    lambda name: st.dictionaries(st.sampled_from([spec.name for spec in SECRET_TYPES[name]]), values).map(
        lambda fields: SecretBody(name, fields)
    )
)
databases = st.builds(DatabaseBody, texts, texts, texts, st.dictionaries(st.sampled_from(sorted(LINK_SLOTS)), texts))
projects = st.builds(ProjectBody, texts, st.lists(texts, max_size=8).map(tuple))
bodies: st.SearchStrategy[Body] = st.one_of(secrets, databases, projects, st.builds(EnvBody, values))
kinds = st.sampled_from(sorted(ItemKind))
summaries = st.builds(
    Summary, st.builds(ItemRef, kinds, texts, texts, texts), texts, st.integers(0, 2**64 - 1), st.booleans()
)


@MANY
@given(bodies)
def test_every_body_survives(body: Body) -> None:
    """Encoded and decoded, it is equal."""
    assert decode_body(encode_body(body)) == body


@MANY
@given(summaries)
def test_every_summary_survives(summary: Summary) -> None:
    """Encoded and decoded, it is equal."""
    assert decode_summary(encode_summary(summary)) == summary


def mangled(encoded: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Right bytes cut, lengthened or with a byte changed."""

    def change(data: bytes, at: int, byte: int, how: int) -> bytes:
        at %= len(data)
        return (data[:at], data + bytes([byte]), data[:at] + bytes([byte]) + data[at + 1 :])[how]

    return st.builds(change, encoded, st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 2))


@MANY
@given(st.one_of(st.binary(max_size=200), mangled(bodies.map(encode_body))))
def test_a_body_has_one_spelling(data: bytes) -> None:
    """Whatever is accepted encodes to the same bytes again; all else is VaultRowInvalid."""
    try:
        body = decode_body(data)
    except VaultRowInvalid:
        return
    assert encode_body(body) == data


def test_a_field_that_stands_twice_is_refused() -> None:
    """Which of two values counted would be anybody's guess; so would their order."""
    field, other = lv(b"password", b"one"), lv(b"username", b"two")
    head = encode_body(SecretBody("login", {}))
    assert decode_body(head + field + other) == SecretBody(
        "login", {"password": SecretBytes(b"one"), "username": SecretBytes(b"two")}
    )
    for twice in (field + field, other + field):
        with pytest.raises(VaultRowInvalid):
            decode_body(head + twice)


@MANY
@given(st.one_of(st.binary(max_size=200), mangled(summaries.map(encode_summary))))
def test_a_summary_has_one_spelling(data: bytes) -> None:
    """Whatever is accepted encodes to the same bytes again; all else is VaultRowInvalid."""
    try:
        summary = decode_summary(data)
    except VaultRowInvalid:
        return
    assert encode_summary(summary) == data


@pytest.mark.parametrize(
    "data",
    [b"\x80\x00", b"\x80", b"\x05abc", b"\xff\xff\xff\xff\x01", b"\x81\x80\x80\x80\x00", bytes(ROW_MAX_BYTES + 1)],
)
def test_lengths_that_are_long_winded_cut_or_too_large_are_refused(data: bytes) -> None:
    """Limits come before any part is read."""
    with pytest.raises(VaultRowInvalid):
        split_lv(data)


def test_a_row_has_only_so_many_parts() -> None:
    """As many as were asked for, and none more."""
    assert split_lv(lv(b"a", b"", b"b"), most=3) == [b"a", b"", b"b"]
    with pytest.raises(VaultRowInvalid):
        split_lv(lv(b"a", b"", b"b", b""), most=3)


HEADER = Header(bytes(16), 2, bytes(range(16)), b"parameters")
WRAPPED = wrap(HEADER, SecretBytes(b"v" * 32), SecretBytes(b"w" * 32), bytes(12))


def test_a_header_gives_the_vault_key_to_the_wrapping_key_alone() -> None:
    """And survives its bytes."""
    header = decode_header(WRAPPED.encode())
    assert header == WRAPPED
    assert unwrap(header, SecretBytes(b"w" * 32)).reveal() == b"v" * 32
    for wrong in (b"x" * 32, b"w" * 31):
        with pytest.raises(SealBroken):
            unwrap(header, SecretBytes(wrong))


@pytest.mark.parametrize("offset", range(len(WRAPPED.encode())))
def test_no_bit_of_a_header_can_be_changed(offset: int) -> None:
    """Each flip is seen before or by the unwrapping: parts cannot be exchanged between headers."""
    data = bytearray(WRAPPED.encode())
    data[offset] ^= 1
    with pytest.raises((HeaderInvalid, HeaderNewer, SealBroken)):
        unwrap(decode_header(bytes(data)), SecretBytes(b"w" * 32))


@MANY
@given(st.one_of(st.binary(max_size=200), mangled(st.just(WRAPPED.encode()))))
def test_a_header_decodes_or_is_invalid(data: bytes) -> None:
    """Nothing else is raised; one spelling."""
    try:
        header = decode_header(data)
    except (HeaderInvalid, HeaderNewer):
        return
    assert header.encode() == data


def test_headers_beyond_their_limits_are_refused() -> None:
    """Parameters above 4 KiB, a whole header above 8 KiB, a later version."""
    long = Header(HEADER.vault_id, 2, HEADER.key_id, bytes(4097), WRAPPED.wrapped)
    for data in (long.encode(), bytes(HEADER_MAX_BYTES + 1)):
        with pytest.raises(HeaderInvalid):
            decode_header(data)
    with pytest.raises(HeaderNewer):
        decode_header(b"KBVH\x02" + WRAPPED.encode()[5:])


def test_totals_survive_and_refuse_other_lengths() -> None:
    """The sum wraps around at 2^256."""
    totals = Totals(1, 2, 3, 4, 5, 2**256 - 1)
    assert decode_totals(totals.encode()) == totals
    assert totals.plus(2).sum == 1
    assert totals.plus(2).minus(2) == totals
    for data in (b"", totals.encode()[:-1], totals.encode() + b"\0", b"\x02" + totals.encode()[1:]):
        with pytest.raises(VaultRowInvalid):
            decode_totals(data)
    assert struct.calcsize(">BQQQQQ32s") == len(totals.encode())
