"""Masking of secrets in a stream: none survives however it is cut, and what holds none comes through byte for byte."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keybaton_cli.masking import MASK, Masker, base64_forms, forms
from keybaton_testing.fuzz import examples

MANY = examples(500)
alphabet = 'ab=/ "\\\né§+%'
secrets = st.lists(st.text(alphabet, min_size=4, max_size=9), min_size=1, max_size=4)
noise = st.text(alphabet, max_size=12)
lines = st.text("aY=Q \t\r\n", max_size=200).map(str.encode)


def masked(masker: Masker, pieces: list[bytes], flushes: list[bool] | None = None) -> bytes:
    """The whole output; after some pieces a pause."""
    out = b""
    for index, piece in enumerate(pieces):
        out += masker.feed(piece)
        if flushes and flushes[index % len(flushes)]:
            out += masker.flush()
    return out + masker.finish()


def wrapped(data: bytes, width: int, line_end: bytes) -> bytes:
    """In lines of `width` characters."""
    return line_end.join(data[start : start + width] for start in range(0, len(data), width))


LINE_ENDS = [b"\n", b"\r\n", b"\r\r\n", b"\n  ", b"\r\n\t"]


def unwrapped(data: bytes) -> bytes:
    """Without the line ends that stand between characters of base64."""
    return re.sub(rb"(?<=[A-Za-z0-9+/=_-])\r{0,2}\n[ \t]{0,40}(?=[A-Za-z0-9+/=_-])", b"", data)


def holds(data: bytes, secret: str) -> bool:
    """Whether a secret stands there in a form that is looked for."""
    in_lines = unwrapped(data)
    return any(form in data for form in forms(secret)) or any(form in in_lines for form in base64_forms(secret))


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
        | st.builds(wrapped, st.just(base64.b64encode(text)), st.integers(1, 20), st.sampled_from(LINE_ENDS))
    )
    pieces = cut(encoded, data.draw(st.lists(st.integers(0, 120), max_size=20)))
    flushes = data.draw(st.lists(st.booleans(), max_size=5))
    out = masked(Masker(given_secrets), pieces, flushes)
    for secret in given_secrets:
        assert not holds(out, secret)


@MANY
@given(secrets, st.data())
def test_the_pieces_do_not_matter(given_secrets: list[str], data: st.DataObject) -> None:
    """Without pauses the output is that of the whole stream at once."""
    text = "".join(data.draw(st.lists(noise | st.sampled_from(given_secrets), max_size=8))).encode()
    if data.draw(st.booleans()):
        text = wrapped(base64.b64encode(text), data.draw(st.integers(1, 20)), data.draw(st.sampled_from(LINE_ENDS)))
    pieces = cut(text, data.draw(st.lists(st.integers(0, 120), max_size=20)))
    assert masked(Masker(given_secrets), pieces) == masked(Masker(given_secrets), [text])


@MANY
@given(
    secrets,
    st.binary(max_size=200) | lines,
    st.lists(st.integers(0, 200), max_size=20),
    st.lists(st.booleans(), max_size=5),
)
def test_what_holds_no_secret_comes_through_unchanged(
    given_secrets: list[str], data: bytes, places: list[int], flushes: list[bool]
) -> None:
    """Byte for byte, whatever the bytes."""
    assume(not any(holds(data, secret) for secret in given_secrets))
    assert masked(Masker(given_secrets), cut(data, places), flushes) == data


SECRET = 'p4ss/w+rd "ö"\n???>>>~~~line'  # its base64 has characters of which the two alphabets have different ones


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


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize("width", [1, 5, 64, 76])
@pytest.mark.parametrize("before", range(3))
def test_base64_in_lines_is_found(line_end: bytes, width: int, before: int) -> None:
    """As `base64 -w` and `openssl` write it, and indented as in YAML; what stands around it stays."""
    secret = "correct horse battery staple, and some more to fill a line of base64 or two"
    text = (
        b"before, " * 1000
        + b"\n"
        + wrapped(base64.b64encode(b"x" * before + secret.encode() + b"yz"), width, line_end)
        + b"\nafter\n"
    )
    for pieces in ([text], [text[:-60], text[-60:]], [bytes([byte]) for byte in text]):
        out = masked(Masker([secret]), pieces)
        assert not holds(out, secret)
        assert out.count(MASK) == 1
        assert out.startswith(b"before, " * 1000 + b"\n")
        assert out.endswith(b"\nafter\n")


KEY_LINES = ["MIGHAgEAMBMGByqGSM49/AgEG", "wawIBAQQgevZzL1gdA", "fr8hb7zsL4"]
KEY = "-----BEGIN PRIVATE KEY-----\n{}\n{}\n  {}\r\nshort=\n========\n-----END PRIVATE KEY-----\n".format(*KEY_LINES)


@MANY
@given(st.lists(st.integers(0, 300), max_size=30), st.lists(st.booleans(), max_size=5), st.booleans())
def test_a_secret_of_several_lines_is_found_line_by_line(places: list[int], flushes: list[bool], as_json: bool) -> None:
    """Behind what a log puts before each, however the stream is cut. What is no secret in it stays: everybody's first line,
    what is too short, and marks alone."""
    shown = [json.dumps(line) if as_json else line for line in KEY.split("\n")]
    text = "".join(f"12:00:01 app: {line}\n" for line in shown).encode()
    whole = masked(Masker([KEY]), [text])
    assert whole.count(b"12:00:01 app: ") == len(shown)
    assert whole.count(MASK) == len(KEY_LINES)
    for stays in (b"-----BEGIN PRIVATE KEY-----", b"short=", b"========", b"-----END PRIVATE KEY-----"):
        assert stays in whole
    assert masked(Masker([KEY]), cut(text, places)) == whole
    paused = masked(Masker([KEY]), cut(text, places), flushes)
    assert not any(line.encode() in paused for line in KEY_LINES)


def test_a_secret_of_several_lines_in_one_piece_is_one_mask() -> None:
    """Its lines add nothing to it, and those of a secret of one line are not looked for in parts."""
    assert masked(Masker([KEY]), [b"<" + KEY.encode() + b">"]) == b"<" + MASK + b">"
    assert masked(Masker(["correct horse battery"]), [b"a horse battery"]) == b"a horse battery"


def test_line_ends_are_not_held_back_without_end() -> None:
    """An empty line, and one that is indented far, end what may have been a secret."""
    begun = base64.b64encode(b"hunter2")[:4]
    for rest in (b"\n\n", b"\r\r\r", b"\n" + b" " * 41):
        masker = Masker(["hunter2"])
        assert masker.feed(begun + rest) == begun + rest
        assert not masker.holds
    masker = Masker(["hunter2"])
    assert masker.feed(b"before, " * 1000 + begun + b"\r\n  ") == b"before, " * 1000
    assert masker.holds


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
