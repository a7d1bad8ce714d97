"""Photosphere's datagram, hash and request table, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_core.encoding import Malformed
from keybaton_core.payload import Payload
from keybaton_core.photosphere_wire import (
    HASH_PATH,
    PAYLOAD_PATH,
    REQUEST_BUDGET,
    Announcement,
    Answer,
    ReceiverTable,
    code_hash,
    format_announcement,
    parse_announcement,
    parse_hash_reply,
)

FINGERPRINT = bytes(range(32))
HEX = FINGERPRINT.hex().encode()
HASH_OF_4321 = "fe2592b42a727e977f055947385b709cc82b16b9a87f88c6abf3900d65d0cdc3"
DATABASE = {"type": "database", "name": "photos", "description": "", "path": "/p"}


def body(**members: object) -> bytes:
    return json.dumps({"codeHash": HASH_OF_4321, "payload": DATABASE, **members}).encode()


# --- discovery ---------------------------------------------------------------------------------------------------------


def test_an_announcement_is_exactly_prefix_port_and_fingerprint() -> None:
    """ASCII, no newline."""
    assert format_announcement(43210, FINGERPRINT) == b"PSIE_RECV:43210:" + HEX


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PSIE_RECV:",
        b"PSIE_RECV:1:",
        b"PSIE_RECV::" + HEX,
        b"PSIE_RECV:0:" + HEX,
        b"PSIE_RECV:65536:" + HEX,
        b"PSIE_RECV:99999:" + HEX,
        b"PSIE_RECV:01:" + HEX,
        b"PSIE_RECV:-1:" + HEX,
        b"PSIE_RECV:+1:" + HEX,
        b"PSIE_RECV: 1:" + HEX,
        b"PSIE_RECV:1_0:" + HEX,
        "PSIE_RECV:１:".encode() + HEX,
        b"PSIE_RECV:1:" + HEX.upper(),
        b"PSIE_RECV:1:" + HEX[:-1],
        b"PSIE_RECV:1:" + HEX + b"0",
        b"PSIE_RECV:1:" + HEX + b"\n",
        b"PSIE_RECV:1:" + HEX + b":more",
        b"PSIE_RECV:1:" + HEX[:-1] + b"g",
        b"PSIE_RECV:1:" + b":".join(HEX[i : i + 2] for i in range(0, 64, 2)),
        b" PSIE_RECV:1:" + HEX,
        b"psie_recv:1:" + HEX,
        b"KEYBATON/1 RECV 1 " + HEX,
        b"PSIE_RECV:1:" + HEX + b" " * 200,
        b"\0" * 300,
    ],
)
def test_what_is_not_exactly_an_announcement_is_nothing(data: bytes) -> None:
    """No exception, no leniency."""
    assert parse_announcement(data) is None


@settings(max_examples=1000)
@given(st.integers(1, 65535), st.binary(min_size=32, max_size=32))
def test_announcements_come_back_as_they_went(port: int, fingerprint: bytes) -> None:
    """Round trip, below 256 bytes."""
    data = format_announcement(port, fingerprint)
    assert len(data) <= 256
    assert parse_announcement(data) == Announcement(port, fingerprint)


@settings(max_examples=1000)
@given(st.binary(max_size=300) | st.binary(max_size=80).map(lambda tail: b"PSIE_RECV:" + tail))
def test_any_datagram_is_an_announcement_of_one_spelling_or_nothing(data: bytes) -> None:
    """What parses is what would be sent."""
    heard = parse_announcement(data)
    assert heard is None or format_announcement(heard.port, heard.fingerprint) == data


# --- the hash ----------------------------------------------------------------------------------------------------------


def test_the_hash_of_4321_is_the_known_one() -> None:
    """Lower-case SHA-256 of the code's UTF-8 bytes."""
    assert code_hash("4321") == HASH_OF_4321


@pytest.mark.parametrize(
    "reply",
    [b"", b"{}", b"[]", b'"x"', b'{"codeHash":1}', b'{"codeHash":"ABC"}', b'\xef\xbb\xbf{"codeHash":"' + HEX + b'"}',
     b'{"codeHash":"' + HEX.upper() + b'"}', b'{"codeHash":"' + HEX + b'","codeHash":"' + HEX + b'"}', b"\xff"],
)  # fmt: skip
def test_a_reply_without_a_hash_has_none(reply: bytes) -> None:
    """None, never an exception."""
    assert parse_hash_reply(reply) is None


def test_a_reply_may_hold_more_than_the_hash() -> None:
    """Only the hash counts."""
    assert parse_hash_reply(b'{"codeHash": "' + HEX + b'", "more": [1]}') == HEX.decode()


# --- the table ---------------------------------------------------------------------------------------------------------

NOT_FOUND = Answer(404, b'{"error":"Not found"}')
INVALID_JSON = Answer(400, b'{"error":"Invalid JSON"}')
INVALID_CODE = Answer(403, b'{"error":"Invalid pairing code"}')
TOO_MANY = Answer(429, b'{"error":"Too many requests"}')

REQUESTS: list[tuple[str, str, str | None, bytes, Answer]] = [
    ("GET", HASH_PATH, None, b"", Answer(200, b'{"codeHash":"' + HASH_OF_4321.encode() + b'"}')),
    ("GET", HASH_PATH, "", b"", NOT_FOUND),
    ("GET", HASH_PATH, "a=1", b"", NOT_FOUND),
    ("GET", HASH_PATH + "/", None, b"", NOT_FOUND),
    ("GET", HASH_PATH.upper(), None, b"", NOT_FOUND),
    ("GET", "/pairing%2Dcode-hash", None, b"", NOT_FOUND),
    ("GET", "/", None, b"", NOT_FOUND),
    ("GET", PAYLOAD_PATH, None, b"", NOT_FOUND),
    ("POST", HASH_PATH, None, body(), NOT_FOUND),
    ("HEAD", HASH_PATH, None, b"", NOT_FOUND),
    ("PUT", PAYLOAD_PATH, None, body(), NOT_FOUND),
    ("OPTIONS", "*", None, b"", NOT_FOUND),
    ("POST", PAYLOAD_PATH, "x", body(), NOT_FOUND),
    ("POST", PAYLOAD_PATH, None, b"", INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, b"{", INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, b"\xef\xbb\xbf" + body(), INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, body().decode().encode("utf-16"), INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, b"\xff" + body(), INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, body() + b"x", INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, b"NaN", INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, b"9" * 5000, INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, b"[" * 100_000, INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, b'{"codeHash":"a","codeHash":"b"}', INVALID_JSON),
    ("POST", PAYLOAD_PATH, None, b"{}", INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, b"null", INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, b"[]", INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, b'"x"', INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, body(codeHash=None), INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, body(codeHash=4321), INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, body(codeHash="4321"), INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, body(codeHash="\ud800"), INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, body(codeHash=HASH_OF_4321.upper()), INVALID_CODE),
    ("POST", PAYLOAD_PATH, None, body(codeHash=HASH_OF_4321 + " "), INVALID_CODE),
]


@pytest.mark.parametrize(("method", "path", "query", "sent", "expected"), REQUESTS)
def test_each_request_is_answered_as_the_table_says(
    method: str, path: str, query: str | None, sent: bytes, expected: Answer
) -> None:
    """Status and body byte for byte; each costs one of the budget."""
    table = ReceiverTable("4321")
    early = table.begin(method, path, query)
    assert (early if early is not None else table.finish(method, sent)) == expected
    assert table.left == REQUEST_BUDGET - 1
    assert not table.used_up


def test_the_right_hash_delivers_the_payload() -> None:
    """And nothing else does."""
    table = ReceiverTable("4321")
    assert table.begin("POST", PAYLOAD_PATH, None) is None
    assert isinstance(table.finish("POST", body()), Payload)


@pytest.mark.parametrize("sent", [{"codeHash": HASH_OF_4321}, {**json.loads(body()), "more": 1}])
def test_a_document_with_the_code_has_these_two_members_and_no_other(sent: dict[str, object]) -> None:
    """Whatever is added is no part of the format, and might be meant for another reader."""
    with pytest.raises(Malformed) as caught:
        ReceiverTable("4321").finish("POST", json.dumps(sent).encode())
    assert caught.value.field == "document"


@pytest.mark.parametrize("requests", range(len(REQUESTS)))
def test_the_sixth_request_of_any_kind_ends_the_receiver(requests: int) -> None:
    """429, and again for whatever comes after."""
    table = ReceiverTable("4321")
    for number in range(REQUEST_BUDGET):
        method, path, query, sent, expected = REQUESTS[(requests + number) % len(REQUESTS)]
        early = table.begin(method, path, query)
        assert (early if early is not None else table.finish(method, sent)) == expected
    assert (table.left, table.used_up) == (0, False)
    for method, path, query, _, _ in REQUESTS:
        assert table.begin(method, path, query) == TOO_MANY
        assert table.used_up


@settings(max_examples=1000)
@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_no_body_without_the_code_ever_becomes_a_payload(sent: bytes) -> None:
    """400 or 403; no exception."""
    table = ReceiverTable("4321")
    assert table.begin("POST", PAYLOAD_PATH, None) is None
    assert table.finish("POST", sent) in (INVALID_JSON, INVALID_CODE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=1000)
@given(JSON)
def test_any_payload_with_the_code_is_a_payload_or_malformed(value: object) -> None:
    """One error type."""
    table = ReceiverTable("4321")
    try:
        outcome = table.finish("POST", body(payload=value))
    except Malformed:
        return
    assert isinstance(outcome, Payload)
