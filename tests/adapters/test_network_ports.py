"""What every Discovery and Transport must do, the fakes of the tests as much as the real adapters."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator

import pytest

from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_network import FakeNetwork
from keybaton_testing.lab import Host, Lab
from keybatond.adapters.net_interfaces import PsutilInterfaces
from keybatond.adapters.tls_transport import TlsTransport
from keybatond.adapters.udp_discovery import UdpDiscovery
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import (
    Address,
    DatagramEndpoint,
    Interface,
    RequestHead,
    Response,
    TlsConnection,
    TlsServer,
    Transport,
)

SOON = 2.0


# --- discovery ---------------------------------------------------------------------------------------------------------


class Neighbours(ABC):
    """Two hosts in one network; `0` and `1` name them."""

    @abstractmethod
    async def listen(self, host: int) -> DatagramEndpoint: ...

    @abstractmethod
    async def solicit(self, host: int) -> DatagramEndpoint: ...


class RealNeighbours(Neighbours):
    def __init__(self, hosts: list[Host]) -> None:
        self._hosts = hosts

    def _discovery(self, host: int) -> UdpDiscovery:
        class Inside:
            restricted = False

            def up(self) -> list[Interface]:
                with one.inside():
                    return PsutilInterfaces().up()

        one = self._hosts[host]
        return UdpDiscovery(Inside())

    async def listen(self, host: int) -> DatagramEndpoint:
        with self._hosts[host].inside():
            return await self._discovery(host).listen()

    async def solicit(self, host: int) -> DatagramEndpoint:
        with self._hosts[host].inside():
            return await self._discovery(host).solicit()


class FakeNeighbours(Neighbours):
    def __init__(self) -> None:
        network = FakeNetwork(FakeClock())
        self._hosts = [network.host("192.0.2.1"), network.host("192.0.2.2")]

    async def listen(self, host: int) -> DatagramEndpoint:
        return await self._hosts[host].discovery.listen()

    async def solicit(self, host: int) -> DatagramEndpoint:
        return await self._hosts[host].discovery.solicit()


@pytest.fixture(params=["real", "fake"])
def neighbours(request: pytest.FixtureRequest) -> Iterator[Neighbours]:
    if request.param == "fake":
        yield FakeNeighbours()
        return
    with Lab() as lab:
        yield RealNeighbours([lab.host("first", ipv6=False), lab.host("second", ipv6=False)])


async def next_of(endpoint: DatagramEndpoint, data: bytes) -> Address:
    """The source of the next copy of `data`, past anything else."""
    async with asyncio.timeout(SOON):
        while True:
            got, source = await endpoint.receive()
            if got == data:
                return source


class TestDiscovery:
    async def test_a_broadcast_is_heard_and_its_source_can_be_answered(self, neighbours: Neighbours) -> None:
        """The source address leads back to the socket that asked."""
        asking, hearing = await neighbours.solicit(0), await neighbours.listen(1)
        assert await asking.broadcast(b"seek") > 0
        await hearing.send(b"answer", await next_of(hearing, b"seek"))
        await next_of(asking, b"answer")
        await asking.close()
        await hearing.close()

    async def test_all_listeners_of_a_host_hear_a_broadcast(self, neighbours: Neighbours) -> None:
        """The port is shared, and each program gets its copy."""
        asking = await neighbours.solicit(0)
        hearing = [await neighbours.listen(1), await neighbours.listen(1)]
        await asking.broadcast(b"seek")
        for endpoint in hearing:
            await next_of(endpoint, b"seek")
            await endpoint.close()
        await asking.close()

    async def test_the_own_host_is_reached_too(self, neighbours: Neighbours) -> None:
        """Two devices may be two users of one machine."""
        asking, hearing = await neighbours.solicit(0), await neighbours.listen(0)
        await asking.broadcast(b"seek")
        await next_of(hearing, b"seek")
        await asking.close()
        await hearing.close()

    async def test_what_is_too_long_is_dropped_and_nothing_fails(self, neighbours: Neighbours) -> None:
        """513 bytes never arrive, 512 do."""
        asking, hearing = await neighbours.solicit(0), await neighbours.listen(1)
        await asking.broadcast(b"x" * 513)
        await asking.broadcast(b"y" * 512)
        async with asyncio.timeout(SOON):
            assert (await hearing.receive())[0] == b"y" * 512
        await asking.close()
        await hearing.close()

    async def test_sending_to_nobody_is_no_error(self, neighbours: Neighbours) -> None:
        """A network loses datagrams; so does this."""
        asking = await neighbours.solicit(0)
        await asking.send(b"x", Address("192.0.2.99", 9))
        await asking.send(b"x", Address("fe80::99", 9, 4711))
        await asking.close()


# --- transport ---------------------------------------------------------------------------------------------------------


class Handler:
    """Answers `/echo` with the body, holds `/hold` until released, refuses `/refuse` before the body is read."""

    def __init__(self) -> None:
        self.heads: list[RequestHead] = []
        self.ended: list[int] = []
        self.end = asyncio.Event()
        self.held = asyncio.Event()
        self.cancelled = asyncio.Event()

    def body_limit(self, head: RequestHead) -> int | Response:
        self.heads.append(head)
        return Response(409, b'{"error":"not now"}') if head.path == "/refuse" else 1000

    async def respond(self, head: RequestHead, body: bytes) -> Response:
        if head.path == "/hold":
            self.held.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return Response(200, body or b"{}", close=head.path == "/last")

    def too_large(self, head: RequestHead) -> Response:
        return Response(413, b'{"error":"too large"}')

    def disconnected(self, connection: int) -> None:
        self.ended.append(connection)
        self.end.set()


class Wire(ABC):
    """A transport and how to reach its own server."""

    transport: Transport
    host: str

    def address(self, server: TlsServer) -> Address:
        return Address(self.host, server.port)

    @abstractmethod
    async def elapse(self, seconds: float) -> None:
        """Lets time pass."""


class RealWire(Wire):
    def __init__(self) -> None:
        self.transport = TlsTransport()
        self.host = "127.0.0.1"

    async def elapse(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeWire(Wire):
    def __init__(self) -> None:
        self._clock = FakeClock()
        self.host = "192.0.2.1"
        self.transport = FakeNetwork(self._clock).host(self.host).transport

    async def elapse(self, seconds: float) -> None:
        await self._clock.advance(seconds)


@pytest.fixture(params=["real", "fake"])
def wire(request: pytest.FixtureRequest) -> Wire:
    return RealWire() if request.param == "real" else FakeWire()


@contextlib.asynccontextmanager
async def serving(wire: Wire, handler: Handler) -> AsyncIterator[TlsServer]:
    server = await wire.transport.serve(handler, common_name="test")
    try:
        yield server
    finally:
        await server.close()


async def connect(wire: Wire, server: TlsServer) -> TlsConnection:
    return await wire.transport.connect(wire.address(server), fingerprint=server.fingerprint, timeout=SOON)


class TestTransport:
    async def test_a_request_arrives_as_it_was_sent_and_its_answer_too(self, wire: Wire) -> None:
        """Method, path, query, length and body, byte for byte; the path keeps its percent-encoding."""
        handler = Handler()
        async with serving(wire, handler) as server:
            connection = await connect(wire, server)
            assert connection.fingerprint == server.fingerprint
            assert len(server.fingerprint) == 32
            reply = await connection.request("POST", "/echo%2Fx?a=1&b=%20", b"\x00\xff body", timeout=SOON)
            assert (reply.status, reply.body) == (200, b"\x00\xff body")
            head = handler.heads[0]
            assert (head.method, head.path, head.query) == ("POST", "/echo%2Fx", "a=1&b=%20")
            assert head.content_length == 7
            assert head.peer.host == wire.host

    async def test_requests_of_one_connection_share_its_number_and_others_do_not(self, wire: Wire) -> None:
        """A handshake can belong to its connection."""
        handler = Handler()
        async with serving(wire, handler) as server:
            first, second = await connect(wire, server), await connect(wire, server)
            for connection in (first, second, first):
                await connection.request("GET", "/x", None, timeout=SOON)
            one, two, three = (head.connection for head in handler.heads)
            assert one == three != two

    async def test_another_certificate_is_refused_before_any_request(self, wire: Wire) -> None:
        """ShareFailed(PEER_GONE), and the server never saw a request."""
        handler = Handler()
        async with serving(wire, handler) as server:
            with pytest.raises(ShareFailed) as failure:
                await wire.transport.connect(wire.address(server), fingerprint=bytes(32), timeout=SOON)
            assert failure.value.reason is ShareReason.PEER_GONE
            assert handler.heads == []

    async def test_each_server_has_a_certificate_of_its_own(self, wire: Wire) -> None:
        """Fresh for each session."""
        async with serving(wire, Handler()) as one, serving(wire, Handler()) as two:
            assert one.fingerprint != two.fingerprint
            assert one.port != two.port

    async def test_a_refusal_before_the_body_leaves_the_connection_usable(self, wire: Wire) -> None:
        """409 costs nobody anything; the same connection asks again."""
        async with serving(wire, Handler()) as server:
            connection = await connect(wire, server)
            assert (await connection.request("POST", "/refuse", b"x" * 900, timeout=SOON)).status == 409
            assert (await connection.request("POST", "/echo", b"again", timeout=SOON)).body == b"again"

    async def test_a_body_above_its_cap_is_answered_not_read(self, wire: Wire) -> None:
        """The handler's own answer for it, and `respond` is not called."""
        async with serving(wire, Handler()) as server:
            connection = await connect(wire, server)
            assert (await connection.request("POST", "/echo", b"x" * 1000, timeout=SOON)).status == 200
            assert (await connection.request("POST", "/echo", b"x" * 1001, timeout=SOON)).status == 413

    async def test_an_answer_that_closes_ends_the_connection(self, wire: Wire) -> None:
        """The client never opens another one by itself."""
        handler = Handler()
        async with serving(wire, handler) as server:
            connection = await connect(wire, server)
            assert (await connection.request("GET", "/last", None, timeout=SOON)).status == 200
            with pytest.raises(ShareFailed):
                await connection.request("GET", "/x", None, timeout=SOON)
            assert len(handler.heads) == 1

    async def test_an_answer_above_the_limit_is_refused(self, wire: Wire) -> None:
        """The peer does not decide how much memory this side spends."""
        async with serving(wire, Handler()) as server:
            connection = await connect(wire, server)
            with pytest.raises(ShareFailed):
                await connection.request("POST", "/echo", b"x" * 500, timeout=SOON, limit=499)

    async def test_a_request_without_answer_ends_at_its_deadline_and_is_cancelled_at_the_peer(self, wire: Wire) -> None:
        """ShareFailed(PEER_GONE); the server's handler is cancelled and told that the connection has ended."""
        handler = Handler()
        async with serving(wire, handler) as server:
            connection = await connect(wire, server)
            asking = asyncio.create_task(connection.request("GET", "/hold", None, timeout=0.2))
            await handler.held.wait()
            await wire.elapse(0.3)
            with pytest.raises(ShareFailed):
                await asking
            async with asyncio.timeout(SOON):
                await handler.cancelled.wait()
                await handler.end.wait()
            assert handler.ended == [handler.heads[0].connection]

    async def test_a_second_request_before_the_first_answer_is_a_programming_error(self, wire: Wire) -> None:
        """One exchange at a time."""
        handler = Handler()
        async with serving(wire, handler) as server:
            connection = await connect(wire, server)
            asking = asyncio.create_task(connection.request("GET", "/hold", None, timeout=SOON))
            await handler.held.wait()
            with pytest.raises(RuntimeError):
                await connection.request("GET", "/x", None, timeout=SOON)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            with pytest.raises(ShareFailed):
                await connection.request("GET", "/x", None, timeout=SOON)

    async def test_a_closed_connection_is_reported_to_the_handler(self, wire: Wire) -> None:
        """`disconnected` is called once."""
        handler = Handler()
        async with serving(wire, handler) as server:
            connection = await connect(wire, server)
            await connection.request("GET", "/x", None, timeout=SOON)
            await connection.close()
            async with asyncio.timeout(SOON):
                await handler.end.wait()
            assert handler.ended == [handler.heads[0].connection]

    async def test_a_closed_server_refuses_and_cuts(self, wire: Wire) -> None:
        """Nobody gets in, and those inside are out."""
        async with serving(wire, Handler()) as server:
            connection = await connect(wire, server)
            await server.close()
            with pytest.raises(ShareFailed):
                await connection.request("GET", "/x", None, timeout=SOON)
            with pytest.raises(ShareFailed):
                await connect(wire, server)

    async def test_a_literal_address_resolves_to_itself(self, wire: Wire) -> None:
        """No name service is asked."""
        assert await wire.transport.resolve(wire.host, 5, timeout=SOON) == [Address(wire.host, 5)]
