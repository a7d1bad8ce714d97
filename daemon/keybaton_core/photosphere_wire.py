"""Photosphere's wire: its announcement, its code hash, and the receiver's table of requests with their budget. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import NoReturn

from keybaton_core.encoding import Malformed, encode_object
from keybaton_core.payload import PAYLOAD_MAX_BYTES, Payload
from keybaton_core.photosphere_payload import decode_payload, encode_payload

COMMON_NAME = "Photosphere LAN Share"
ANNOUNCEMENT_MAX_BYTES = 256
HASH_PATH = "/pairing-code-hash"
PAYLOAD_PATH = "/share-payload"
BODY_MAX_BYTES = PAYLOAD_MAX_BYTES  # real receivers have no limit
REQUEST_BUDGET = 5  # served requests of any kind, over all connections

_ANNOUNCEMENT = re.compile(rb"PSIE_RECV:([1-9][0-9]{0,4}):([0-9a-f]{64})")
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


# --- discovery ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Announcement:
    """A receiver serves on `port` of the datagram's source and shows the certificate of `fingerprint` (32 bytes)."""

    port: int
    fingerprint: bytes


def format_announcement(port: int, fingerprint: bytes) -> bytes:
    """The datagram, without a newline."""
    return f"PSIE_RECV:{port}:{fingerprint.hex()}".encode("ascii")


def parse_announcement(data: bytes) -> Announcement | None:
    """What a datagram announces; None for all that is not exactly an announcement."""
    if len(data) > ANNOUNCEMENT_MAX_BYTES:
        return None
    match = _ANNOUNCEMENT.fullmatch(data)
    if match is None or int(match[1]) > 65535:
        return None
    return Announcement(int(match[1]), bytes.fromhex(match[2].decode("ascii")))


# --- the code ----------------------------------------------------------------------------------------------------------


def code_hash(code: str) -> str:
    """Lower-case hexadecimal SHA-256 of the code's UTF-8 bytes, without salt: whoever sees it has the code."""
    return hashlib.sha256(code.encode("utf-8")).hexdigest()


def parse_hash_reply(body: bytes) -> str | None:
    """The hash in a receiver's answer, or None."""
    try:
        value = _parse_json(body)
    except Malformed:
        return None
    found = value.get("codeHash") if isinstance(value, dict) else None
    return found if isinstance(found, str) and _HASH.fullmatch(found) else None


def format_share(code: str, payload: Payload) -> bytes:
    """The body of the sender's POST. Raises Malformed for what the format cannot carry."""
    return encode_object({"codeHash": code_hash(code), "payload": encode_payload(payload)})


def _parse_json(data: bytes) -> object:
    """A JSON text (RFC 8259) in UTF-8 without BOM, no member twice, no NaN. Raises Malformed."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):  # bad UTF-8, a BOM, a number of thousands of digits, nesting without end
        raise Malformed("document", "is not JSON") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError("no JSON")


# --- the receiver ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """Status and body as they go out."""

    status: int
    body: bytes


NOT_FOUND = Answer(404, b'{"error":"Not found"}')
INVALID_JSON = Answer(400, b'{"error":"Invalid JSON"}')
INVALID_CODE = Answer(403, b'{"error":"Invalid pairing code"}')
TOO_MANY = Answer(429, b'{"error":"Too many requests"}')
SUCCESS = Answer(200, b'{"success":true}')
# Beyond the real receiver's own words, which has none for these; a real sender takes any of them as a failure.
TOO_LARGE = Answer(413, b'{"error":"Payload too large"}')
INVALID_PAYLOAD = Answer(400, b'{"error":"Invalid payload"}')
DECLINED = Answer(409, b'{"error":"Declined"}')
NOT_SAVED = Answer(500, b'{"error":"Not saved"}')


class ReceiverTable:
    """The receiver's answers. Each request is counted once, by `begin`, before its body is read."""

    def __init__(self, code: str) -> None:
        self._hash = code_hash(code)
        self._served = 0
        self.used_up = False  # a request came after the last that is served: the receiver ends
        self.hash_given = False  # somebody has asked for the hash

    @property
    def left(self) -> int:
        """Requests that will still be served."""
        return max(0, REQUEST_BUDGET - self._served)

    def begin(self, method: str, path: str, query: str | None) -> Answer | None:
        """The answer that needs no body, or None when the body is to be read and given to `finish`."""
        if self._served >= REQUEST_BUDGET:
            self.used_up = True
            return TOO_MANY
        self._served += 1
        if query is not None or (method, path) not in {("GET", HASH_PATH), ("POST", PAYLOAD_PATH)}:
            return NOT_FOUND
        return None

    def finish(self, method: str, body: bytes) -> Answer | Payload:
        """The answer to a request that `begin` let through; a Payload when it is what the sender shares.

        Raises Malformed for a payload that came with the right code and breaks the format.
        """
        if method == "GET":
            self.hash_given = True
            return Answer(200, encode_object({"codeHash": self._hash}))
        try:
            value = _parse_json(body)
        except Malformed:
            return INVALID_JSON
        members = value if isinstance(value, dict) else {}
        given = members.get("codeHash")
        if not isinstance(given, str) or not _same(given, self._hash):
            return INVALID_CODE
        if set(members) != {"codeHash", "payload"}:
            raise Malformed("document", "has other members than codeHash and payload")
        return decode_payload(members["payload"])


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("ascii"))
