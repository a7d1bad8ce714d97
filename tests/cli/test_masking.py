"""Masking of secrets in a stream: none survives however it is cut, and what holds none comes through byte for byte."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_cli.masking import MASK, Masker, forms
from keybaton_testing.fuzz import examples

MANY = examples(500)
alphabet = 'ab=/ "\\\né§+%'
secrets = st.lists(st.text(alphabet, min_size=4, max_size=9), min_size=1, max_size=4)
noise = st.text(alphabet, max_size=12)


def masked(masker: Masker, pieces: list[bytes], flushes: list[bool] | None = None) -> bytes:
    """The whole output; after some pieces a pause."""
    out = b""
    for index, piece in enumerate(pieces):
        out += masker.feed(piece)
        if flushes and flushes[index % len(flushes)]:
            out += masker.flush()
    return out + masker.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The same bytes in pieces."""
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@MANY
@given(secrets, st.data())
def test_no_secret_survives_whatever_the_pieces(given_secrets: list[str], data: st.DataObject) -> None:
    """Secrets in a row, overlapping, in every form, cut anywhere, with pauses anywhere."""
    parts = data.draw(st.lists(noise | st.sampled_from(given_secrets), max_size=8))
    text = "".join(parts).encode()
    encoded = data.draw(
        st.sampled_from([text, base64.b64encode(text), quote(text).encode(), json.dumps(text.decode()).encode()])
    )
    pieces = cut(encoded, data.draw(st.lists(st.integers(0, 120), max_size=20)))
    flushes = data.draw(st.lists(st.booleans(), max_size=5))
    out = masked(Masker(given_secrets), pieces, flushes)
    for secret in given_secrets:
        for form in forms(secret):
            assert form not in out


@MANY
@given(secrets, st.data())
def test_the_pieces_do_not_matter(given_secrets: list[str], data: st.DataObject) -> None:
    """Without pauses the output is that of the whole stream at once."""
    text = "".join(data.draw(st.lists(noise | st.sampled_from(given_secrets), max_size=8))).encode()
    pieces = cut(text, data.draw(st.lists(st.integers(0, 120), max_size=20)))
    assert masked(Masker(given_secrets), pieces) == masked(Masker(given_secrets), [text])


@MANY
@given(
    secrets, st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=20), st.lists(st.booleans(), max_size=5)
)
def test_what_holds_no_secret_comes_through_unchanged(
    given_secrets: list[str], data: bytes, places: list[int], flushes: list[bool]
) -> None:
    """Byte for byte, whatever the bytes."""
    for secret in given_secrets:
        for form in forms(secret):
            if form in data:
                return
    assert masked(Masker(given_secrets), cut(data, places), flushes) == data


SECRET = 'p4ss/w+rd "ö"\nline'


@pytest.mark.parametrize(
    "text",
    [
        SECRET.encode(),
        base64.b64encode(SECRET.encode()),
        base64.b64encode(b"x" + SECRET.encode() + b"yz"),
        base64.b64encode(b"xx" + SECRET.encode()),
        base64.urlsafe_b64encode(b"??>" + SECRET.encode() + b"??>"),
        quote(SECRET).encode(),
        quote(SECRET, safe="").encode(),
        quote(SECRET, safe="").lower().encode(),
        quote_plus(SECRET).encode(),
        json.dumps({"a": SECRET}).encode(),
        json.dumps({"a": SECRET}, ensure_ascii=False).encode(),
        json.dumps({"a": SECRET}).replace("/", "\\/").encode(),
        SECRET.replace("\n", "\r\n").encode(),
    ],
)
def test_every_form_is_found(text: bytes) -> None:
    """One byte at a time, between other text."""
    out = masked(Masker([SECRET]), [bytes([byte]) for byte in b"before " + text + b" after"])
    assert MASK in out
    assert out.startswith(b"before ")
    assert out.endswith(b" after")
    assert b"p4ss" not in out


def test_what_cannot_begin_a_secret_is_not_held_back() -> None:
    """A prompt appears at once; what may be a beginning waits, and comes out on a pause."""
    masker = Masker(["hunter2"])
    assert masker.feed(b"login: ") == b"login: "
    assert not masker.holds
    assert masker.feed(b"say hu") == b"say "
    assert masker.holds
    assert masker.flush() == b"hu"
    assert not masker.holds
    assert masker.feed(b"nter2!") == MASK + b"!"


def test_a_longer_secret_hides_the_shorter_in_it() -> None:
    """Nothing of the longer one remains, and one mask stands for both."""
    for pieces in ([b"<abcdef>"], [b"<abcd", b"ef>"], [b"<ab", b"cdef", b">"]):
        assert masked(Masker(["abcd", "abcdef"]), pieces) == b"<" + MASK + b">"


def test_a_stream_of_nothing_but_a_secret_needs_no_room() -> None:
    """Overlapping secrets without an end are one mask, and what is kept does not grow."""
    masker = Masker(["aaaa"])
    out = b"".join(masker.feed(b"a" * 1000) for _ in range(100))
    assert len(masker._buffer) < 10
    assert out + masker.finish() == MASK


def test_short_values_are_left_alone() -> None:
    """They would be found everywhere."""
    assert masked(Masker(["abc", ""]), [b"abc"]) == b"abc"
