"""A third host that attacks handoffs: false receivers, relays, and half-done handshakes. It knows all but the code."""

from __future__ import annotations

import asyncio
import random

from keybaton_core import handoff_messages as wire
from keybaton_core.announcements import Receiver, format_receiver, parse
from keybaton_core.cpace import calculate_generator, multiply
from keybaton_core.encoding import Malformed
from keybaton_core.handoff_keys import HandoffKeys, Transcript, channel_identifier
from keybaton_testing.fake_network import FakeConnection, FakeEndpoint, FakeHost, FakeNetwork, FakeServer
from keybatond.errors import ShareFailed
from keybatond.network_ports import Address, RequestHead, Response


class Rogue:
    """A RequestHandler that answers as `manner` says; `loot` collects every payload that a sender gives away."""

    def __init__(self, attacker: Attacker, manner: str) -> None:
        self._attacker = attacker
        self._manner = manner
        self.fingerprint = b""

    def body_limit(self, head: RequestHead) -> int | Response:
        return 10_000_000

    def too_large(self, head: RequestHead) -> Response:
        return Response(413, b"")

    def disconnected(self, connection: int) -> None:
        """Nothing is kept for a connection."""

    async def respond(self, head: RequestHead, body: bytes) -> Response:
        attacker = self._attacker
        if head.path == wire.PAYLOAD_PATH:
            attacker.loot.append(body)
        match self._manner:
            case "stall":
                await attacker.network.clock.sleep(1000)
            case "code-needed" if head.path == wire.HANDSHAKE_PATH:
                return Response(409, wire.encode_refusal(wire.Refusal.CODE_NEEDED))
            case "code-needed":
                return Response(200, wire.encode_state("code-needed"))
            case "guess" if head.path == wire.HANDSHAKE_PATH:
                return attacker.guess_as_receiver(body, self.fingerprint)
            case "relay":
                return await attacker.relay(head, body)
        chance = attacker.chance
        return Response(chance.choice([200, 404, 409, 500]), chance.choice([b"", b"{}", b"[", chance.randbytes(50)]))


class Attacker:
    """Everything is drawn from `chance`, so that a try can be repeated."""

    def __init__(self, network: FakeNetwork, chance: random.Random) -> None:
        self.network = network
        self.chance = chance
        self.host: FakeHost = network.host("10.0.0.66")
        self.endpoint = FakeEndpoint(self.host, 54321)
        self.loot: list[bytes] = []
        self.heard: dict[bytes, Address] = {}  # receivers, and where they are
        self.own: set[bytes] = set()
        self.connections: list[FakeConnection] = []

    async def listen(self) -> None:
        """Learns of every receiver that announces itself."""
        while True:
            data, source = await self.endpoint.receive()
            heard = parse(data)
            if isinstance(heard, Receiver) and heard.fingerprint not in self.own:
                self.heard.setdefault(heard.fingerprint, Address(source.host, heard.port))

    async def victim(self) -> tuple[bytes, Address]:
        """The first receiver that is heard."""
        while not self.heard:
            await self.network.clock.sleep(0.001)
        return next(reversed(self.heard.items()))

    async def serve(self, manner: str) -> FakeServer:
        """A false receiver."""
        rogue = Rogue(self, manner)
        server = await self.host.transport.serve(rogue, common_name="x")
        rogue.fingerprint = server.fingerprint
        self.own.add(server.fingerprint)
        return server

    async def announce(self, port: int, fingerprint: bytes, source: str | None = None) -> None:
        """One announcement, from its own or a forged address."""
        self.own.add(fingerprint)
        datagram = format_receiver(port, fingerprint, None)
        self.network.broadcast(datagram, Address(source or self.host.address, 54321))

    async def connect(self) -> FakeConnection:
        """To the receiver that was heard."""
        fingerprint, address = await self.victim()
        connection = await self.host.transport.connect(address, fingerprint=fingerprint, timeout=3)
        self.connections.append(connection)
        return connection

    async def relay(self, head: RequestHead, body: bytes) -> Response:
        """Passes a sender's request to the real receiver, and its answer back."""
        try:
            connection = await self.connect()
            path = head.path + (f"?{head.query}" if head.query is not None else "")
            reply = await connection.request(head.method, path, body or None, timeout=5)
        except ShareFailed:
            return Response(410, wire.encode_refusal(wire.Refusal.ENDED))
        return Response(reply.status, reply.body)

    def wrong_code(self) -> str:
        """Some code that is not the pair's."""
        return f"{self.chance.randrange(10_000):04}".replace("4821", "4822")

    def guess_as_receiver(self, body: bytes, fingerprint: bytes) -> Response:
        """Answers a sender's handshake with a guessed code."""
        try:
            request = wire.decode_handshake_request(body)
        except Malformed:
            return Response(400, b"{}")
        ci = channel_identifier(fingerprint)
        scalar, hello = self.chance.randbytes(32), wire.encode_hello("laptop")
        yb = multiply(scalar, calculate_generator(self.wrong_code().encode(), ci, request.sid))
        keys = HandoffKeys(Transcript(ci, request.sid, request.ya, request.ada, yb, hello), scalar, request.ya)
        return Response(200, wire.encode_handshake_reply(wire.HandshakeReply(yb, hello, keys.mac_b())))

    async def half_handshake(self) -> FakeConnection | None:
        """Makes the receiver spend a guess and leaves it there."""
        try:
            connection = await self.connect()
            ci = channel_identifier(connection.fingerprint)
            sid, scalar = self.chance.randbytes(16), self.chance.randbytes(32)
            ya = multiply(scalar, calculate_generator(self.wrong_code().encode(), ci, sid))
            request = wire.HandshakeRequest(sid, ya, wire.encode_hello("desk"))
            await connection.request("POST", wire.HANDSHAKE_PATH, wire.encode_handshake_request(request), timeout=3)
        except ShareFailed:
            return None
        return connection

    async def aside(self) -> None:
        """Lets a moment pass."""
        await asyncio.sleep(self.chance.random() * 0.05)
