"""Programs that pose as receivers: they stall at every step, answer nonsense, offer older protocols, or guess the code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from keybaton_core import handoff_messages as wire
from keybaton_core.announcements import format_receiver
from keybaton_core.cpace import calculate_generator, multiply
from keybaton_core.handoff_keys import HandoffKeys, Transcript, channel_identifier
from keybaton_core.handoff_messages import Refusal
from keybaton_testing.attacker.certificate import Certificate
from keybaton_testing.attacker.http import Message, read_message, response
from keybaton_testing.attacker.position import RELAY_PORT, Position, Streams

ANNOUNCE_PAUSE = 0.01
IMPOSTORS = 24
POSERS = 8  # that guess; a sender tests three
SILENCE = 120.0  # longer than a share lasts
_PHOTOSPHERE = {"/pairing-code-hash": b'{"codeHash":"' + b"0" * 64 + b'"}', "/share-payload": b'{"success":true}'}

Answer = Callable[[Position, Streams, Message], Awaitable[None]]


async def announce_servers(position: Position, ports: list[tuple[int, bytes, str]]) -> None:
    """Announces (port, fingerprint, address) without an end."""
    while True:  # until the try ends
        for port, fingerprint, address in ports:
            position.shout(format_receiver(port, fingerprint, None), address)
        await asyncio.sleep(ANNOUNCE_PAUSE)


def _refusal(refusal: Refusal) -> bytes:
    return response(wire.STATUS[refusal], wire.encode_refusal(refusal))


async def _silent(position: Position, streams: Streams, message: Message) -> None:
    await asyncio.sleep(SILENCE)


def _say(data: bytes, *, close: bool = False) -> Answer:
    async def answer(position: Position, streams: Streams, message: Message) -> None:
        streams[1].write(data)
        if close:
            await streams[1].drain()
            streams[1].close()

    return answer


async def _trickle(position: Position, streams: Streams, message: Message) -> None:
    for byte in response(200, b'{"state":"ready"}'):
        streams[1].write(bytes([byte]))
        await asyncio.sleep(0.4)


async def _ready_for_ever(position: Position, streams: Streams, message: Message) -> None:
    ready = message.path == wire.READY_PATH
    streams[1].write(response(200, wire.encode_state("ready")) if ready else _refusal(Refusal.CODE_NEEDED))


async def _hold(position: Position, streams: Streams, message: Message) -> None:
    if message.path == wire.READY_PATH:
        await asyncio.sleep(SILENCE)
    streams[1].write(_refusal(Refusal.CODE_NEEDED))


async def _reflect(position: Position, streams: Streams, message: Message) -> None:
    """The sender's own values as ours."""
    asked = wire.decode_handshake_request(message.body)
    mirrored = wire.HandshakeReply(asked.ya, asked.ada, bytes(32))
    streams[1].write(response(200, wire.encode_handshake_reply(mirrored)))


# What an impostor does with a request; each is one step at which it fails the protocol. None of them tests a guess.
NONSENSE: dict[str, Answer] = {
    "silent": _silent,
    "half a head": _say(b"HTTP/1.1 200 OK\r\nContent-"),
    "half a body": _say(response(200, b"{" + b" " * 500)[:200]),
    "byte by byte": _trickle,
    "no HTTP": _say(b"SSH-2.0-x\r\n\r\n" * 20),
    "endless head": _say(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000),
    "endless body": _say(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + b" " * 500000),
    "no JSON": _say(response(200, b"\xff\x00{{{{")),
    "deep JSON": _say(response(200, b"[" * 16000)),
    "closes": _say(b"", close=True),
    "code needed": _hold,
    "ready for ever": _ready_for_ever,
    "busy": _say(_refusal(Refusal.BUSY)),
    "other version": _say(_refusal(Refusal.WRONG_VERSION)),
    "ended": _say(_refusal(Refusal.ENDED)),
    "payload refused": _say(_refusal(Refusal.PAYLOAD_INVALID)),
    "saved": _say(response(200, b'{"state":"saved","receipt":"' + b"A" * 43 + b'"}')),
    "review": _say(response(200, wire.encode_state("review"))),
    "redirect": _say(b"HTTP/1.1 302 X\r\nLocation: https://10.77.0.1/\r\nContent-Length: 0\r\n\r\n"),
    "interim for ever": _say(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000),
}


async def stall(position: Position) -> None:
    """Receivers of our own at every step: plain TCP that says nothing, TLS that says nothing, and each kind of nonsense."""

    async def tcp(streams: Streams) -> None:
        position.did["connections"] += 1
        await streams[0].read()

    quiet = await position.serve(tcp, None)
    ports = [(quiet, position.random.randbytes(32), address) for address in position.addresses]
    for certificate in position.certificates[:IMPOSTORS]:
        answer = NONSENSE[position.random.choice(sorted(NONSENSE))]
        address = position.random.choice(position.addresses)
        ports.append((await serve_answers(position, answer, certificate), certificate.fingerprint, address))
    position.random.shuffle(ports)
    await announce_servers(position, ports)


async def crowd_sender(position: Position) -> None:
    """More receivers than a sender has connections for, each of which seems to be about to shake hands for ever."""
    ports = []
    for number, certificate in enumerate(position.certificates):
        port = await serve_answers(position, _ready_for_ever, certificate)
        ports.append((port, certificate.fingerprint, position.addresses[number % len(position.addresses)]))
    await announce_servers(position, ports)


async def serve_answers(position: Position, answer: Answer, certificate: Certificate, *, port: int = 0) -> int:
    """A receiver that treats every request with `answer`."""

    async def handle(streams: Streams) -> None:
        position.did["connections"] += 1
        while True:  # until the connection or the try ends
            message = await read_message(position, streams, seconds=30)
            _count(position, message)
            await answer(position, streams, message)

    return await position.serve(handle, certificate, port=port)


def _count(position: Position, message: Message) -> None:
    path = message.path.partition("?")[0]
    if path in _PHOTOSPHERE:
        position.did["downgrades"] += 1
    elif path == wire.HANDSHAKE_PATH:
        position.did["handshakes"] += 1
    elif path == wire.END_PATH and message.body == wire.encode_end("wrong-code"):
        position.did["wrong proofs noticed"] += 1


async def downgrade(position: Position) -> None:
    """Receivers that speak only what is older: Photosphere's protocol, another version, no suite in common, TLS 1.2."""

    async def old(position: Position, streams: Streams, message: Message) -> None:
        given = _PHOTOSPHERE.get(message.path)
        if given is not None:
            streams[1].write(response(200, given))
            return
        replies = [
            _refusal(Refusal.WRONG_VERSION),
            _refusal(Refusal.UNKNOWN),
            *(
                response(
                    200, wire.encode_handshake_reply(wire.HandshakeReply(bytes([9]) + bytes(31), hello, bytes(32)))
                )
                for hello in (b'{"version":0,"name":"x","suites":[]}', b'{"version":1,"name":"x","suites":["NULL"]}')
            ),
        ]
        streams[1].write(position.random.choice(replies))

    async def tls12(streams: Streams) -> None:
        position.did["downgrades"] += 1  # a TLS 1.2 connection was accepted
        await streams[0].read()

    ports = []
    for number, certificate in enumerate(position.certificates[:POSERS]):
        if number % 2:
            port = await position.serve(tls12, Certificate(certificate.old, certificate.old, certificate.fingerprint))
        else:
            port = await serve_answers(position, old, certificate)
        ports.append((port, certificate.fingerprint, position.random.choice(position.addresses)))
    while True:  # until the try ends
        for port, fingerprint, address in ports:
            position.shout(format_receiver(port, fingerprint, None), address)
            position.shout(f"PSIE_RECV:{port}:{fingerprint.hex()}".encode(), address)
            position.shout(f"KEYBATON/2 RECV {port} {fingerprint.hex()}".encode(), address)
        await asyncio.sleep(ANNOUNCE_PAUSE)


async def guess_as_receiver(position: Position) -> None:
    """Receivers of our own that prove a guessed code, each certificate another; what a sender then sends is opened."""
    ports = []
    for number, certificate in enumerate(position.certificates[:POSERS]):
        port = await position.serve(
            _guessing(position, certificate), certificate, port=RELAY_PORT if number == 0 else 0
        )
        ports.append((port, certificate.fingerprint, position.random.choice(position.addresses)))
    await announce_servers(position, ports)


def _guessing(position: Position, certificate: Certificate) -> Callable[[Streams], Awaitable[None]]:
    async def handle(streams: Streams) -> None:
        position.did["connections"] += 1
        keys: HandoffKeys | None = None
        while True:  # until the connection or the try ends
            message = await read_message(position, streams, seconds=30)
            _count(position, message)
            if message.path == wire.HANDSHAKE_PATH:
                keys, reply = _prove(position, certificate.fingerprint, message.body)
                streams[1].write(response(200, reply))
            elif message.path == wire.PAYLOAD_PATH and keys is not None:
                sealed = wire.decode_payload_request(message.body).sealed
                position.learned.append(keys.open(sealed).reveal())
                streams[1].write(response(200, wire.encode_state("review")))
            else:
                streams[1].write(response(200, wire.encode_state("again")))

    return handle


def _prove(position: Position, fingerprint: bytes, body: bytes) -> tuple[HandoffKeys, bytes]:
    asked = wire.decode_handshake_request(body)
    scalar, hello = position.random.randbytes(32), wire.encode_hello("bob")
    ci = channel_identifier(fingerprint)
    yb = multiply(scalar, calculate_generator(position.next_guess().encode(), ci, asked.sid))
    keys = HandoffKeys(Transcript(ci, asked.sid, asked.ya, asked.ada, yb, hello), scalar, asked.ya)
    return keys, wire.encode_handshake_reply(wire.HandshakeReply(yb, hello, keys.mac_b()))
