"""The datagrams of discovery: their format and one strict parser. What does not fit is nothing at all."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keybaton_core.names import DEVICE_NAME_MAX_BYTES, plain

DATAGRAM_MAX_BYTES = 512
DISCOVERY_PORT = 54321
NONCE_BYTES = 16

_PORT = r"([1-9][0-9]{0,4})"
_NONCE = r"([0-9a-f]{32})"
_RECV = re.compile(rf"KEYBATON/1 RECV {_PORT} ([0-9a-f]{{64}})(?: {_NONCE})?", re.ASCII)
_SEEK = re.compile(rf"KEYBATON/1 SEEK {_NONCE}", re.ASCII)
_OFFER = re.compile(rf"KEYBATON/1 OFFER {_NONCE} ((?:[0-9a-f]{{2}}){{1,{DEVICE_NAME_MAX_BYTES}}})", re.ASCII)
_OTHER = re.compile(r"KEYBATON/([1-9][0-9]{0,3}) RECV [!-~ ]*", re.ASCII)
_PHOTOSPHERE = re.compile(rf"PSIE_RECV:{_PORT}:[0-9a-f]{{64}}", re.ASCII)


@dataclass(frozen=True)
class Receiver:
    """A receiver serves on `port` of the datagram's source. `fingerprint` is 32 bytes, `nonce` 32 hexadecimal digits."""

    port: int
    fingerprint: bytes
    nonce: str | None = None


@dataclass(frozen=True)
class Seek:
    """A sender asks who is there."""

    nonce: str


@dataclass(frozen=True)
class Offer:
    """A sender has something to hand over. `name` is what it calls its device, made fit to show."""

    nonce: str
    name: str


@dataclass(frozen=True)
class ForeignReceiver:
    """A receiver that this protocol version cannot serve: another version of it, or Photosphere's (version 0)."""

    version: int


Announcement = Receiver | Seek | Offer | ForeignReceiver


def format_receiver(port: int, fingerprint: bytes, nonce: str | None) -> bytes:
    """RECV, at most 123 bytes."""
    return f"KEYBATON/1 RECV {port} {fingerprint.hex()}{' ' + nonce if nonce else ''}".encode("ascii")


def format_seek(nonce: str) -> bytes:
    """SEEK."""
    return f"KEYBATON/1 SEEK {nonce}".encode("ascii")


def format_offer(nonce: str, device_name: str) -> bytes:
    """OFFER; the name is cut to 64 bytes between characters."""
    name = plain(device_name).encode("utf-8")[:DEVICE_NAME_MAX_BYTES].decode("utf-8", "ignore") or "?"
    return f"KEYBATON/1 OFFER {nonce} {name.encode('utf-8').hex()}".encode("ascii")


def parse(data: bytes) -> Announcement | None:
    """What a datagram says, or None. Total."""
    if len(data) > DATAGRAM_MAX_BYTES or not data.isascii():
        return None
    text = data.decode("ascii")
    if found := _RECV.fullmatch(text):
        port = _port(found[1])
        return Receiver(port, bytes.fromhex(found[2]), found[3]) if port else None
    if found := _SEEK.fullmatch(text):
        return Seek(found[1])
    if found := _OFFER.fullmatch(text):
        return _offer(found[1], bytes.fromhex(found[2]))
    if (found := _OTHER.fullmatch(text)) and found[1] != "1":
        return ForeignReceiver(int(found[1]))
    if (found := _PHOTOSPHERE.fullmatch(text)) and _port(found[1]):
        return ForeignReceiver(0)
    return None


def _port(digits: str) -> int | None:
    port = int(digits)
    return port if port <= 65535 else None


def _offer(nonce: str, name: bytes) -> Offer | None:
    try:
        shown = plain(name.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    return Offer(nonce, shown) if shown else None
