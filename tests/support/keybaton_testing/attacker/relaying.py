"""Programs in the middle between sender and receiver: bytes passed on, altered or cut, or TLS ended on either side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from keybaton_core import handoff_messages as wire
from keybaton_testing.attacker.http import Message, read_message, request, response
from keybaton_testing.attacker.position import RELAY_PORT, Position, Program, Streams
from keybaton_testing.attacker.serving import POSERS, announce_servers

CHUNK = 65536
PIECES = 12  # of a whole share, as TCP brings them
Change = Callable[[bytes], bytes]


def relay_bytes(harm: Callable[[Position], Change] | None = None) -> Program:
    """Passes TLS on as it is, under the real fingerprint and an address of ours. `harm` makes, for one connection, what
    happens to each piece."""

    async def program(position: Position) -> None:
        async def handle(streams: Streams) -> None:
            target = await position.wait_target()
            position.did["connections"] += 1
            there = await position.dial(target, tls=False)
            change = harm(position) if harm is not None else lambda data: data
            pumps = [
                asyncio.ensure_future(_pump(position, *way, change)) for way in ((streams, there), (there, streams))
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for writer in (streams[1], there[1]):
                writer.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

        ports = [RELAY_PORT, await position.serve(handle, None), await position.serve(handle, None)]
        await position.serve(handle, None, port=RELAY_PORT)
        target = await position.wait_target()
        places = zip(ports, position.addresses, strict=False)
        await announce_servers(position, [(port, target.fingerprint, address) for port, address in places])

    return program


async def _pump(position: Position, source: Streams, sink: Streams, change: Change) -> None:
    while data := await source[0].read(CHUNK):
        position.see(data)
        sink[1].write(change(data))
        await sink[1].drain()


def flip_a_bit(position: Position) -> Change:
    """One bit of one piece: of the first, or of a later one up to the outcome's."""
    left = position.random.randrange(PIECES)

    def change(data: bytes) -> bytes:
        nonlocal left
        left -= 1
        if left != -1:
            return data
        position.did["altered"] += 1
        at = position.random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << position.random.randrange(8)]) + data[at + 1 :]

    return change


def cut(position: Position) -> Change:
    """Ends the connection instead of passing on one of its pieces."""
    left = position.random.randrange(PIECES)

    def change(data: bytes) -> bytes:
        nonlocal left
        left -= 1
        if left < 0:
            position.did["altered"] += 1
            raise ConnectionAbortedError
        return data

    return change


def relay_tls(change: Callable[[Position, Message], bytes] | None = None) -> Program:
    """Ends TLS with certificates of our own and speaks to the real receiver over TLS of our own; passes every message on.

    `change` may alter a body. What comes is kept, for replays.
    """

    async def program(position: Position) -> None:
        async def handle(streams: Streams) -> None:
            target = await position.wait_target()
            position.did["connections"] += 1
            there = await position.dial(target, source=position.random.choice(position.addresses))
            with contextlib.closing(there[1]):
                while True:  # until one side leaves or the try ends
                    await _pass_on(position, streams, there, change)

        ports = []
        for number, certificate in enumerate(position.certificates[:POSERS]):
            port = await position.serve(handle, certificate, port=RELAY_PORT if number == 0 else 0)
            ports.append((port, certificate.fingerprint, position.random.choice(position.addresses)))
        await announce_servers(position, ports)

    return program


async def _pass_on(
    position: Position, near: Streams, far: Streams, change: Callable[[Position, Message], bytes] | None
) -> None:
    asked = await read_message(position, near, seconds=65)
    position.recorded.append((asked.path, asked.body))
    del position.recorded[:-8]
    method = asked.line.split(" ")[0]
    body = change(position, asked) if change is not None and asked.body else asked.body
    far[1].write(request(method, asked.path, body if method == "POST" else None))
    answer = await read_message(position, far, seconds=65)
    if asked.path == wire.HANDSHAKE_PATH and answer.status == 200:
        position.did["answered"] += 1
        position.did["wrong"] += 1
    if asked.path == wire.PAYLOAD_PATH:
        position.did["payloads"] += 1
    body = change(position, answer) if change is not None else answer.body
    near[1].write(response(answer.status, body))


def alter_message(position: Position, message: Message) -> bytes:
    """One byte of the body, anywhere, or a field made empty."""
    if not message.body or position.random.randrange(2):
        return message.body
    position.did["altered"] += 1
    at = position.random.randrange(len(message.body))
    return message.body[:at] + bytes([position.random.randrange(256)]) + message.body[at + 1 :]
