"""The HTTP bodies of the handoff: one encoder and one total decoder for each. They say nothing of when they may be sent."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from keybaton_core.cpace import POINT_BYTES
from keybaton_core.encoding import Fields, Malformed, decode_object, encode_object, from_base64url, to_base64url
from keybaton_core.handoff_keys import MAC_BYTES, SID_BYTES, TAG_BYTES
from keybaton_core.names import DEVICE_NAME_MAX_BYTES, plain
from keybaton_core.payload import PAYLOAD_MAX_BYTES

READY_PATH = "/v1/ready"
HANDSHAKE_PATH = "/v1/handshake"
PAYLOAD_PATH = "/v1/payload"
OUTCOME_PATH = "/v1/outcome"
END_PATH = "/v1/end"

VERSION = 1
SUITE = "CPace-X25519-SHA512+AES-256-GCM"
BODY_MAX_BYTES = 16 * 1024
PAYLOAD_BODY_MAX_BYTES = 1536 * 1024  # base64 of the largest payload and its frame
HELLO_MAX_BYTES = 1024
_SEALED_MAX_BYTES = PAYLOAD_MAX_BYTES + TAG_BYTES


class Refusal(enum.Enum):
    """Why a receiver does not do what it was asked. A hint: before the handshake anybody may say it."""

    CODE_NEEDED = "code-needed"
    BUSY = "busy"
    OUT_OF_TURN = "out-of-turn"
    WRONG_VERSION = "wrong-version"
    MALFORMED = "malformed"
    NOT_PROVED = "not-proved"
    PAYLOAD_INVALID = "payload-invalid"
    PAYLOAD_TOO_LARGE = "payload-too-large"
    UNKNOWN = "unknown"
    ENDED = "ended"
    GUESSES_USED_UP = "guesses-used-up"


STATUS: dict[Refusal, int] = {
    Refusal.CODE_NEEDED: 409,
    Refusal.BUSY: 409,
    Refusal.OUT_OF_TURN: 409,
    Refusal.WRONG_VERSION: 409,
    Refusal.MALFORMED: 400,
    Refusal.NOT_PROVED: 403,
    Refusal.PAYLOAD_INVALID: 422,
    Refusal.PAYLOAD_TOO_LARGE: 413,
    Refusal.UNKNOWN: 404,
    Refusal.ENDED: 410,
    Refusal.GUESSES_USED_UP: 410,
}

# Why a payload that had arrived was not saved after all; a part of the session's closed list of reasons.
FAILURES = frozenset({"cancelled", "conflict", "expired", "locked", "payload-invalid", "storage"})
CONFLICTS = frozenset({"", "reused", "replaced", "renamed"})


class WrongVersion(ValueError):
    """The other side speaks another version of the protocol, or no suite that we know."""


@dataclass(frozen=True)
class HandshakeRequest:
    """The sender's first message. `ada` is its hello, byte for byte."""

    sid: bytes
    ya: bytes
    ada: bytes


@dataclass(frozen=True)
class HandshakeReply:
    """The receiver's answer and its proof."""

    yb: bytes
    adb: bytes
    mac_b: bytes


@dataclass(frozen=True)
class PayloadRequest:
    """The sender's proof and the sealed payload."""

    mac_a: bytes
    sealed: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of the payload. `detail`: of saved the conflict's solution, of failed the reason; else empty."""

    state: str  # "review", "saved", "declined", "failed"
    detail: str = ""

    def receipt_text(self) -> str:
        """What the receipt vouches for."""
        return f"{self.state}:{self.detail}" if self.detail else self.state


def encode_hello(name: str) -> bytes:
    """ADa or ADb of this device."""
    shown = plain(name).encode("utf-8")[:DEVICE_NAME_MAX_BYTES].decode("utf-8", "ignore")
    return encode_object({"version": VERSION, "name": shown, "suites": [SUITE]})


def decode_hello(data: bytes) -> str:
    """The other device's name, made fit to show. Fields to come are ignored. Raises Malformed or WrongVersion."""
    fields = Fields(decode_object(data, HELLO_MAX_BYTES), "hello.")
    if fields.integer("version", 0, 2**31) != VERSION:
        raise WrongVersion("another version")
    name = fields.text("name", DEVICE_NAME_MAX_BYTES)
    if SUITE not in fields.texts("suites", 16, 64):
        raise WrongVersion("no suite in common")
    return plain(name)


def encode_handshake_request(message: HandshakeRequest) -> bytes:
    return encode_object(
        {"sid": to_base64url(message.sid), "Ya": to_base64url(message.ya), "ADa": to_base64url(message.ada)}
    )


def decode_handshake_request(data: bytes) -> HandshakeRequest:
    """Raises Malformed."""
    fields = Fields(decode_object(data, BODY_MAX_BYTES)).only("sid", "Ya", "ADa")
    return HandshakeRequest(
        fields.binary("sid", SID_BYTES, SID_BYTES),
        fields.binary("Ya", POINT_BYTES, POINT_BYTES),
        fields.binary("ADa", 1, HELLO_MAX_BYTES),
    )


def encode_handshake_reply(message: HandshakeReply) -> bytes:
    return encode_object(
        {"Yb": to_base64url(message.yb), "ADb": to_base64url(message.adb), "mac_b": to_base64url(message.mac_b)}
    )


def decode_handshake_reply(data: bytes) -> HandshakeReply:
    """Raises Malformed."""
    fields = Fields(decode_object(data, BODY_MAX_BYTES)).only("Yb", "ADb", "mac_b")
    return HandshakeReply(
        fields.binary("Yb", POINT_BYTES, POINT_BYTES),
        fields.binary("ADb", 1, HELLO_MAX_BYTES),
        fields.binary("mac_b", MAC_BYTES, MAC_BYTES),
    )


def encode_payload_request(message: PayloadRequest) -> bytes:
    return encode_object({"mac_a": to_base64url(message.mac_a), "sealed": to_base64url(message.sealed)})


def decode_payload_request(data: bytes) -> PayloadRequest:
    """Raises Malformed."""
    fields = Fields(decode_object(data, PAYLOAD_BODY_MAX_BYTES)).only("mac_a", "sealed")
    return PayloadRequest(
        fields.binary("mac_a", MAC_BYTES, MAC_BYTES), fields.binary("sealed", TAG_BYTES, _SEALED_MAX_BYTES)
    )


def encode_state(state: str) -> bytes:
    """The answer of ready, payload and end: one word."""
    return encode_object({"state": state})


def decode_state(data: bytes, *allowed: str) -> str:
    """One of the words allowed here. Raises Malformed."""
    state = Fields(decode_object(data, BODY_MAX_BYTES)).only("state").text("state", 32)
    if state not in allowed:
        raise Malformed("state", "is not one of " + ", ".join(allowed))
    return state


def encode_outcome(outcome: Outcome, receipt: bytes | None) -> bytes:
    """`receipt` is None exactly while the review goes on."""
    value = {"state": outcome.state}
    if outcome.detail:
        value["detail"] = outcome.detail
    if receipt is not None:
        value["receipt"] = to_base64url(receipt)
    return encode_object(value)


def decode_outcome(data: bytes) -> tuple[Outcome, bytes]:
    """The outcome and its receipt (empty during review). Raises Malformed."""
    fields = Fields(decode_object(data, BODY_MAX_BYTES)).only("state", "detail", "receipt")
    state = fields.text("state", 16)
    details = {"review": {""}, "saved": CONFLICTS, "declined": {""}, "failed": FAILURES}.get(state)
    if details is None:
        raise Malformed("state", "is not one of review, saved, declined, failed")
    detail = fields.text("detail", 32) if "detail" in fields else ""
    if detail not in details or ("detail" in fields and not detail):
        raise Malformed("detail", "does not belong to this state")
    if state == "review":
        if "receipt" in fields:
            raise Malformed("receipt", "comes before there is an outcome")
        return Outcome(state), b""
    return Outcome(state, detail), fields.binary("receipt", MAC_BYTES, MAC_BYTES)


def encode_end(reason: str) -> bytes:
    return encode_object({"reason": reason})


def decode_end(data: bytes) -> str:
    """ "wrong-code" or "cancelled". Raises Malformed."""
    reason = Fields(decode_object(data, BODY_MAX_BYTES)).only("reason").text("reason", 32)
    if reason not in ("wrong-code", "cancelled"):
        raise Malformed("reason", "is not one of wrong-code, cancelled")
    return reason


def encode_refusal(refusal: Refusal, field: str = "") -> bytes:
    """`field` names the part of a payload that was refused."""
    return encode_object({"error": refusal.value, "field": field} if field else {"error": refusal.value})


def decode_refusal(status: int, data: bytes) -> Refusal:
    """Why the receiver refused. Raises Malformed when the words and the status do not fit each other."""
    fields = Fields(decode_object(data, BODY_MAX_BYTES))
    word = fields.text("error", 32)
    for refusal in Refusal:
        if refusal.value == word and STATUS[refusal] == status:
            return refusal
    raise Malformed("error", "is not a refusal of this protocol")


def format_sid_query(sid: bytes) -> str:
    """The query of an outcome request."""
    return "sid=" + to_base64url(sid)


def parse_sid_query(query: str) -> bytes:
    """The session id that an outcome request names. Raises Malformed."""
    name, _, value = query.partition("=")
    if name != "sid" or len(value) > 2 * SID_BYTES:
        raise Malformed("sid", "is missing")
    sid = from_base64url(value, "sid")
    if len(sid) != SID_BYTES:
        raise Malformed("sid", f"is not {SID_BYTES} bytes long")
    return sid
