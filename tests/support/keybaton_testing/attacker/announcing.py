"""Programs that lie in datagrams: receivers that are not there, copies of the real one, nonces, questions and garbage."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from keybaton_core.announcements import DISCOVERY_PORT, format_offer, format_receiver, format_seek
from keybaton_testing.attacker.position import Position, Streams

BURST = 8
PAUSE = 0.008  # about 1,000 datagrams a second: enough to be heard first, and the network is still one
CLOSED_PORT = 9
NEIGHBOURS = 250
SILENT_PORTS = 40


async def _repeat(position: Position, make: Callable[[], tuple[bytes, str]]) -> None:
    while True:  # until the try ends
        for _ in range(BURST):
            datagram, source = make()
            position.shout(datagram, source)
        await asyncio.sleep(PAUSE)


async def announce_dead(position: Position) -> None:
    """Receivers where nobody listens, from every address of ours, each with a fingerprint of its own."""

    def make() -> tuple[bytes, str]:
        port = position.random.choice((CLOSED_PORT, position.random.randrange(1, 65536)))
        return format_receiver(port, position.random.randbytes(32), None), position.random.choice(position.addresses)

    await _repeat(position, make)


async def announce_spoofed(position: Position) -> None:
    """Receivers in the name of hosts that do not exist: connecting to them takes until the deadline."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        raw.setblocking(False)
        while True:  # until the try ends
            for _ in range(BURST):
                source = f"10.77.0.{position.random.randrange(200, NEIGHBOURS)}"
                datagram = format_receiver(CLOSED_PORT, position.random.randbytes(32), None)
                raw.sendto(_spoofed(source, position.broadcast, datagram), (position.broadcast, 0))
                position.did["datagrams"] += 1
            await asyncio.sleep(PAUSE)


def _spoofed(source: str, to: str, payload: bytes) -> bytes:
    udp = struct.pack("!4H", DISCOVERY_PORT, DISCOVERY_PORT, 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source) + socket.inet_aton(to)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses + udp


async def copy_fingerprint(position: Position) -> None:
    """The real receiver's fingerprint with addresses and ports of ours that are closed or show another certificate."""
    shown = await position.serve(_silent(position), position.certificates[0])
    target = await position.wait_target()

    def make() -> tuple[bytes, str]:
        port = position.random.choice((CLOSED_PORT, shown, position.random.randrange(1, 65536)))
        fingerprint = (position.target or target).fingerprint
        return format_receiver(port, fingerprint, None), position.random.choice(position.addresses)

    await _repeat(position, make)


async def crowd_out_fingerprint(position: Position) -> None:
    """The real receiver's fingerprint with many ports of ours that accept and say nothing, and at once when a sender asks."""
    ports = [await position.serve(_silent(position), None) for _ in range(SILENT_PORTS)]
    target = await position.wait_target()

    def make() -> tuple[bytes, str]:
        fingerprint = (position.target or target).fingerprint
        return format_receiver(position.random.choice(ports), fingerprint, None), position.random.choice(
            position.addresses
        )

    def burst() -> None:
        for _ in range(SILENT_PORTS):
            position.shout(*make())

    position.at_seek = burst
    await _repeat(position, make)


def _silent(position: Position) -> Callable[[Streams], Awaitable[None]]:
    async def handle(streams: Streams) -> None:
        position.did["connections"] += 1
        await streams[0].read()

    return handle


async def copy_nonce(position: Position) -> None:
    """Announcements that name the sender's offer, and offers and nonces of ours meant to make the real receiver name those."""
    strange = position.random.randbytes(16).hex()
    position.shout(format_offer(strange, "mallory"))

    def make() -> tuple[bytes, str]:
        source = position.random.choice(position.addresses)
        if position.random.randrange(2):
            return format_offer(strange, "mallory"), source
        nonce = position.offer.nonce if position.offer else strange
        return format_receiver(CLOSED_PORT, position.random.randbytes(32), nonce), source

    await _repeat(position, make)


async def flood(position: Position) -> None:
    """Questions, offers, other versions, and bytes that say nothing."""
    random = position.random

    def make() -> tuple[bytes, str]:
        datagram = random.choice((
            format_seek(random.randbytes(16).hex()),
            format_offer(random.randbytes(16).hex(), "\u202egnp.exe"),
            f"KEYBATON/2 RECV 1 {random.randbytes(32).hex()}".encode(),
            b"PSIE_RECV:1:" + random.randbytes(32).hex().encode(),
            b"KEYBATON/1 RECV 99999 " + random.randbytes(32).hex().encode(),
            random.randbytes(random.randrange(1400)),
            b"KEYBATON/1 " * 60,
            b"",
        ))  # fmt: skip
        return datagram, random.choice(position.addresses)

    await _repeat(position, make)
