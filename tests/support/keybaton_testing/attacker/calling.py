"""Programs that come to the real receiver: they crowd its connections, send nonsense, guess the code, or replay the past."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

from keybaton_core import handoff_messages as wire
from keybaton_core.cpace import calculate_generator, multiply
from keybaton_core.handoff_keys import HandoffKeys, Transcript, channel_identifier
from keybaton_core.handoff_payload import encode_payload
from keybaton_core.items import SecretBody
from keybaton_core.payload import Payload, SecretPart
from keybaton_core.secret import SecretBytes
from keybaton_testing.attacker.http import Message, ask, read_message, request
from keybaton_testing.attacker.position import Position, Streams, Target
from keybaton_testing.attacker.serving import guess_as_receiver

PLANTED = "planted-by-mallory"  # the name under which a delivered payload would be saved
CALLERS = 96
KNOCKERS = 10
WORKERS = 6


async def _keep_calling(position: Position, call: object) -> None:
    """Runs `call` (a function of position, target and source address) from every address at once, again and again."""
    target = await position.wait_target()

    async def caller(source: str) -> None:
        while True:  # until the try ends
            try:
                await call(position, position.target or target, source)  # type: ignore[operator]
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                position.did["turned away"] += 1
            await asyncio.sleep(0.02)

    for number in range(CALLERS):
        position.start(caller(position.addresses[number % len(position.addresses)]))
    await asyncio.sleep(600)


async def half_open(position: Position) -> None:
    """Connections that stop half way: after TCP, within TLS, within the head, within the body."""

    async def call(position: Position, target: Target, source: str) -> None:
        step = position.random.randrange(6)
        streams = await position.dial(target, source=source, tls=step >= 2)
        position.did["connections"] += 1
        if step == 1:
            streams[1].write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + position.random.randbytes(40))
        elif step == 3:
            streams[1].write(b"POST /v1/handshake HTTP/1.1\r\nHost: x\r\nContent-Le")
        elif step == 4:
            streams[1].write(request("POST", wire.HANDSHAKE_PATH, b"{" + b" " * 900)[:-700])
        elif step == 5:
            streams[1].write(request("GET", wire.READY_PATH))
        await streams[0].read()
        streams[1].transport.abort()

    await _keep_calling(position, call)


async def crowd_receiver(position: Position) -> None:
    """From more hosts than the receiver has connections for: requests that never end, and ever new connections."""

    async def call(position: Position, target: Target, source: str) -> None:
        streams = await position.dial(target, source=source)
        position.did["connections"] += 1
        streams[1].write(request("POST", wire.HANDSHAKE_PATH, b" " * 900)[:-900])
        for _ in range(20):
            streams[1].write(b" ")
            await streams[1].drain()
            await asyncio.sleep(0.5)
        streams[1].transport.abort()

    target = await position.wait_target()

    async def knock(source: str) -> None:
        while True:  # until the try ends
            with contextlib.suppress(OSError, TimeoutError):
                streams = await position.dial(position.target or target, source=source, tls=False)
                await asyncio.sleep(0.05)
                streams[1].transport.abort()

    for source in position.addresses[:KNOCKERS]:
        position.start(knock(source))
    await _keep_calling(position, call)


async def nonsense(position: Position) -> None:
    """Requests that have no place: unknown, malformed, out of turn, of low order, ends that nobody asked for."""
    random = position.random

    async def call(position: Position, target: Target, source: str) -> None:
        def handshake(point: bytes, hello: bytes) -> bytes:
            message = wire.HandshakeRequest(random.randbytes(16), point, hello)
            return request("POST", wire.HANDSHAKE_PATH, wire.encode_handshake_request(message))

        hello = wire.encode_hello("mallory")
        sid = wire.format_sid_query(random.randbytes(16))
        payload = wire.encode_payload_request(wire.PayloadRequest(random.randbytes(32), random.randbytes(200)))
        sent = random.choice((
            handshake(bytes(32), hello),
            handshake(b"\x01" + bytes(31), hello),
            handshake((2**255 - 19).to_bytes(32, "little"), hello),
            handshake(random.randbytes(32), b'{"version":1,"name":"x","suites":[]}'),
            handshake(random.randbytes(32), b"{}"),
            request("POST", wire.HANDSHAKE_PATH, b"[]"),
            request("POST", wire.HANDSHAKE_PATH, b"{" * 10000),
            request("POST", wire.PAYLOAD_PATH, payload),
            request("GET", f"{wire.OUTCOME_PATH}?{sid}"),
            request("POST", wire.END_PATH, wire.encode_end("wrong-code")),
            request("POST", wire.END_PATH, wire.encode_end("cancelled")),
            request("POST", f"{wire.END_PATH}?{sid}", wire.encode_end("cancelled")),
            request("GET", "/pairing-code-hash"),
            request("POST", "/share-payload", b"{}"),
            request("GET", "/../../etc/passwd"),
            b"POST /v1/handshake HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET /v1/ready HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
            b"X" * 9000,
        ))  # fmt: skip
        streams = await position.dial(target, source=source)
        streams[1].write(sent)
        position.did["requests"] += 1
        await read_message(position, streams, seconds=2)
        streams[1].transport.abort()

    await _keep_calling(position, call)


async def guess_as_sender(position: Position) -> None:
    """Guesses at the receiver, several at once, each told from right by its proof; a right one delivers a payload of ours."""
    target = await position.wait_target()

    async def worker(number: int) -> None:
        source = position.addresses[number % len(position.addresses)]
        while not position.did["ended"]:
            try:
                if await guess_once(position, position.target or target, source):
                    position.did["delivered"] += 1
                    return
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                await asyncio.sleep(0.05)

    for number in range(WORKERS):
        position.start(worker(number))
    await asyncio.sleep(600)


async def guess_once(position: Position, target: Target, source: str) -> bool:
    """One guess over one connection; whether it was right and the payload was taken."""
    streams = await position.dial(target, source=source)
    keys, reply = await _handshake(position, streams)
    if keys is None:
        position.did["refused"] += 1
        streams[1].transport.abort()
        await asyncio.sleep(0.02)
        return False
    position.did["answered"] += 1
    sent = position.random.randrange(4)
    if not keys.proves_receiver(reply.mac_b):
        position.did["wrong"] += 1
        if sent == 0:  # a receiver has to count all of these alike
            streams[1].transport.abort()
        elif sent == 1:
            await ask(position, streams, "POST", wire.END_PATH, wire.encode_end("wrong-code"))
        elif sent == 2:
            await ask(position, streams, "POST", wire.END_PATH, wire.encode_end("cancelled"))
        else:
            await _deliver(position, streams, keys)
        return False
    return (await _deliver(position, streams, keys)).status == 200


async def _handshake(position: Position, streams: Streams) -> tuple[HandoffKeys | None, wire.HandshakeReply]:
    ci = channel_identifier(_fingerprint(streams))
    sid, scalar, hello = position.random.randbytes(16), position.random.randbytes(32), wire.encode_hello("alice")
    ya = multiply(scalar, calculate_generator(position.next_guess().encode(), ci, sid))
    body = wire.encode_handshake_request(wire.HandshakeRequest(sid, ya, hello))
    answer = await ask(position, streams, "POST", wire.HANDSHAKE_PATH, body)
    if answer.status != 200:
        return None, wire.HandshakeReply(b"", b"", b"")
    reply = wire.decode_handshake_reply(answer.body)
    return HandoffKeys(Transcript(ci, sid, ya, hello, reply.yb, reply.adb), scalar, reply.yb), reply


async def _deliver(position: Position, streams: Streams, keys: HandoffKeys) -> Message:
    secret = SecretBody("plain", {"value": SecretBytes.from_text("mallory's")})
    plaintext = encode_payload(Payload(None, (SecretPart("0", PLANTED, secret),)))
    body = wire.encode_payload_request(wire.PayloadRequest(keys.mac_a(), keys.seal(plaintext)))
    return await ask(position, streams, "POST", wire.PAYLOAD_PATH, body)


def _fingerprint(streams: Streams) -> bytes:
    tls = streams[1].get_extra_info("ssl_object")
    return hashlib.sha256(tls.getpeercert(binary_form=True)).digest()


async def replay(position: Position) -> None:
    """What honest senders have sent in earlier tries, message by message, to this receiver, and outcomes it never had."""

    whole = position.random.randrange(2)  # a handshake that is answered costs the receiver a guess

    async def call(position: Position, target: Target, source: str) -> None:
        streams = await position.dial(target, source=source)
        for path, body in position.recorded:
            if path == wire.HANDSHAKE_PATH and not whole:
                continue
            answer = await ask(position, streams, "POST" if body else "GET", path, body or None)
            position.did["replayed"] += 1
            if path == wire.HANDSHAKE_PATH and answer.status == 200:
                position.did["answered"] += 1
                position.did["wrong"] += 1
        streams[1].transport.abort()

    await _keep_calling(position, call)


async def spend_then_pose(position: Position) -> None:
    """Spends the receiver's guesses before the sender comes, and poses as the receiver from then on."""
    target = await position.wait_target()
    for number in range(4):
        with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            await guess_once(position, target, position.addresses[number])
    await guess_as_receiver(position)
