"""Messages of the SSH agent protocol (draft-miller-ssh-agent), as far as keys are listed and used: no key is added or removed.

Pure: a request is bytes in, an answer is bytes out. Whatever is not one of the two requests below is answered with FAILURE.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from keybaton_core.encoding import Malformed

MESSAGE_MAX: Final = 256 * 1024  # OpenSSH's own limit (AGENT_MAX_LEN)
LENGTH_SIZE: Final = 4
KEYS_MAX: Final = 128  # that one answer lists; servers give up after a handful of tries

REQUEST_IDENTITIES: Final = 11
IDENTITIES_ANSWER: Final = 12
SIGN_REQUEST: Final = 13
SIGN_RESPONSE: Final = 14

RSA_SHA2_256: Final = 0x02
RSA_SHA2_512: Final = 0x04

FAILURE: Final = b"\x05"


@dataclass(frozen=True)
class ListRequest:
    """Which keys are there?"""


@dataclass(frozen=True)
class SignRequest:
    """Sign `data` with the key whose public blob is `key`."""

    key: bytes
    data: bytes
    flags: int


@dataclass(frozen=True)
class Identity:
    """A public key as SSH writes it (RFC 4253, section 6.6) and a text for people."""

    key: bytes
    comment: str


def string(value: bytes) -> bytes:
    """RFC 4251, section 5: length in four bytes, then the bytes."""
    return len(value).to_bytes(LENGTH_SIZE, "big") + value


def framed(message: bytes) -> bytes:
    """A message as it stands on the stream."""
    return string(message)


def frame_size(head: bytes) -> int:
    """The length of the message that follows `head` (four bytes). Raises Malformed for 0 and over MESSAGE_MAX."""
    size = int.from_bytes(head, "big")
    if len(head) != LENGTH_SIZE or not 0 < size <= MESSAGE_MAX:
        raise Malformed("length", "is out of its limits")
    return size


def take_string(data: bytes) -> tuple[bytes, bytes]:
    """The string at the beginning of `data`, and what follows it. Raises Malformed."""
    size = int.from_bytes(data[:LENGTH_SIZE], "big")
    if len(data) < LENGTH_SIZE or size > len(data) - LENGTH_SIZE:
        raise Malformed("string", "is cut")
    return data[LENGTH_SIZE : LENGTH_SIZE + size], data[LENGTH_SIZE + size :]


def decode(message: bytes) -> ListRequest | SignRequest:
    """The request in one message (without its length). Raises Malformed for every other kind and for what does not fit."""
    if not 0 < len(message) <= MESSAGE_MAX:
        raise Malformed("message", "is empty or too long")
    kind, body = message[0], message[1:]
    if kind == REQUEST_IDENTITIES:
        if body:
            raise Malformed("request", "has something behind it")
        return ListRequest()
    if kind != SIGN_REQUEST:
        raise Malformed("request", "is of a kind that is not served")
    key, rest = take_string(body)
    data, flags = take_string(rest)
    if len(flags) != 4 or not key:
        raise Malformed("request", "is cut or has something behind it")
    return SignRequest(key, data, int.from_bytes(flags, "big"))


def identities(found: Iterable[Identity]) -> bytes:
    """The answer that lists keys, as many as fit."""
    body = b""
    count = 0
    for identity in found:
        entry = string(identity.key) + string(identity.comment.encode())
        if count == KEYS_MAX or len(body) + len(entry) + 5 > MESSAGE_MAX:
            break
        body += entry
        count += 1
    return bytes([IDENTITIES_ANSWER]) + count.to_bytes(4, "big") + body


def signed(signature: bytes) -> bytes:
    """The answer with a signature, itself in SSH's form (algorithm and bytes)."""
    return bytes([SIGN_RESPONSE]) + string(signature)
