"""The HTTP bodies of a handoff: round trips, and total decoders."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core import handoff_messages as wire
from keybaton_core.encoding import Malformed, encode_object, to_base64url
from keybaton_core.handoff_messages import Outcome, Refusal
from keybaton_core.names import plain
from keybaton_testing.fuzz import examples

MANY = examples(1000)


def exactly(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


hellos = st.binary(min_size=1, max_size=100)
handshakes = st.builds(wire.HandshakeRequest, exactly(16), exactly(32), hellos)
replies = st.builds(wire.HandshakeReply, exactly(32), hellos, exactly(32))
payloads = st.builds(wire.PayloadRequest, exactly(32), st.binary(min_size=16, max_size=400))
outcomes = st.sampled_from(
    [Outcome("saved", detail) for detail in sorted(wire.CONFLICTS)]
    + [Outcome("declined")]
    + [Outcome("failed", detail) for detail in sorted(wire.FAILURES)]
)


@MANY
@given(handshakes, replies, payloads)
def test_requests_and_replies_round_trip(
    handshake: wire.HandshakeRequest, reply: wire.HandshakeReply, payload: wire.PayloadRequest
) -> None:
    """What one side writes the other reads."""
    assert wire.decode_handshake_request(wire.encode_handshake_request(handshake)) == handshake
    assert wire.decode_handshake_reply(wire.encode_handshake_reply(reply)) == reply
    assert wire.decode_payload_request(wire.encode_payload_request(payload)) == payload


@MANY
@given(outcomes, exactly(32), exactly(16))
def test_outcomes_and_their_questions_round_trip(outcome: Outcome, receipt: bytes, sid: bytes) -> None:
    """Every outcome of the closed list, with its receipt, and the session it belongs to."""
    assert wire.decode_outcome(wire.encode_outcome(outcome, receipt)) == (outcome, receipt)
    assert wire.parse_sid_query(wire.format_sid_query(sid)) == sid


@MANY
@given(st.text(max_size=100))
def test_a_hello_round_trips_whatever_the_device_is_called(name: str) -> None:
    """Any device name fits, and what is read of it is fit to show."""
    hello = wire.encode_hello(name)
    assert len(hello) <= wire.HELLO_MAX_BYTES
    read = wire.decode_hello(hello)
    assert len(read.encode()) <= 64
    assert read == plain(read)


def test_a_hello_may_gain_fields_and_suites() -> None:
    """A later minor change of the hello is no other version."""
    hello = {"version": 1, "name": "x", "suites": ["new", wire.SUITE], "later": {"a": 1}}
    assert wire.decode_hello(encode_object(hello)) == "x"


@pytest.mark.parametrize("change", [{"version": 2}, {"suites": []}, {"suites": ["other"]}])
def test_another_version_is_told_from_garbage(change: dict[str, object]) -> None:
    """Another version number, or no suite in common, is WrongVersion and not Malformed."""
    with pytest.raises(wire.WrongVersion):
        wire.decode_hello(encode_object({"version": 1, "name": "x", "suites": [wire.SUITE], **change}))


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refusal_is_known_by_word_and_status(refusal: Refusal) -> None:
    """Each refusal round-trips with its own status and is refused with another."""
    body = wire.encode_refusal(refusal)
    assert wire.decode_refusal(wire.STATUS[refusal], body) is refusal
    with pytest.raises(Malformed):
        wire.decode_refusal(418, body)


DECODERS: list[Callable[[bytes], object]] = [
    wire.decode_handshake_request,
    wire.decode_handshake_reply,
    wire.decode_payload_request,
    wire.decode_outcome,
    wire.decode_end,
    wire.decode_hello,
    lambda data: wire.decode_state(data, "ready"),
    lambda data: wire.decode_refusal(409, data),
]

NAMES = ["sid", "Ya", "ADa", "Yb", "ADb", "mac_b", "mac_a", "sealed", "state", "detail", "receipt", "reason", "error"]
values = st.one_of(
    st.none(),
    st.integers(),
    st.booleans(),
    st.lists(st.text(max_size=3), max_size=3),
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.binary(max_size=40).map(to_base64url),
    st.sampled_from(["saved", "review", "declined", "failed", "ready", "cancelled", "busy", ""]),
)
near = st.dictionaries(st.sampled_from([*NAMES, "version", "name", "suites", "x"]), values, max_size=5).map(
    encode_object
)
cut = st.tuples(
    st.one_of(
        handshakes.map(wire.encode_handshake_request),
        replies.map(wire.encode_handshake_reply),
        payloads.map(wire.encode_payload_request),
    ),
    st.integers(0, 700),
).map(lambda pair: pair[0][: pair[1]])


@examples(3000)
@given(st.one_of(st.binary(max_size=300), near, cut))
def test_every_decoder_is_total(data: bytes) -> None:
    """Garbage, near misses and cut messages: a value, Malformed or WrongVersion, never another error."""
    for decode in DECODERS:
        with contextlib.suppress(Malformed, wire.WrongVersion):
            decode(data)


@MANY
@given(st.text(max_size=60))
def test_a_query_names_a_session_or_is_malformed(query: str) -> None:
    """Any query string; what is accepted is spelled in one way."""
    try:
        sid = wire.parse_sid_query(query)
    except Malformed:
        return
    assert wire.format_sid_query(sid) == query


@pytest.mark.parametrize(
    "body",
    [
        {"state": "saved", "detail": "", "receipt": to_base64url(bytes(32))},
        {"state": "saved"},
        {"state": "saved", "detail": "storage", "receipt": to_base64url(bytes(32))},
        {"state": "review", "receipt": to_base64url(bytes(32))},
        {"state": "failed", "receipt": to_base64url(bytes(32))},
        {"state": "lost", "receipt": to_base64url(bytes(32))},
        {"state": "declined", "receipt": to_base64url(bytes(31))},
    ],
)
def test_an_outcome_without_its_parts_is_malformed(body: dict[str, object]) -> None:
    """No receipt, a receipt too early, a detail of another state, an empty one."""
    with pytest.raises(Malformed):
        wire.decode_outcome(encode_object(body))


def test_bodies_over_their_caps_are_refused() -> None:
    """16 KiB for everything but the payload."""
    with pytest.raises(Malformed):
        wire.decode_end(b'{"reason":"cancelled"' + b" " * wire.BODY_MAX_BYTES + b"}")
