"""A network in memory: hosts with addresses, datagrams with real broadcast rules, and TLS whose certificates cannot be forged."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

from keybaton_testing.fake_clock import FakeClock
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Interface, Reply, RequestHandler, RequestHead, Response

DISCOVERY_PORT = 54321
DATAGRAM_MAX_BYTES = 512
QUEUE_LENGTH = 256


def _gone(hint: str = "") -> ShareFailed:
    return ShareFailed(ShareReason.PEER_GONE, hint)


async def within(clock: FakeClock, seconds: float, task: asyncio.Task[Response]) -> Response:
    """The task's result, or ShareFailed(PEER_GONE) after `seconds`; the task never outlives the call."""
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not task.cancelled():
            return task.result()
        raise _gone("no answer in time")
    finally:
        timer.cancel()
        task.cancel()


class FakeNetwork:
    """One broadcast domain. `lose` decides for each datagram (data, source host, target host) whether it is lost."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.hosts: dict[str, FakeHost] = {}
        self.lose: Callable[[bytes, str, str], bool] = lambda data, source, target: False
        self.silent: set[tuple[str, int]] = set()  # TCP addresses that swallow everything
        self.moved: dict[tuple[str, int], tuple[str, int]] = {}  # TCP addresses that somebody answers for
        self.delay = 0.0  # seconds for each TLS connect
        self._ports = 40000
        self._connections = 0
        self._certificates = 0

    def host(self, address: str) -> FakeHost:
        """A new host with this address."""
        self.hosts[address] = host = FakeHost(self, address)
        return host

    def next_port(self) -> int:
        self._ports += 1
        return self._ports

    def next_connection(self) -> int:
        self._connections += 1
        return self._connections

    def next_fingerprint(self) -> bytes:
        """The fingerprint of a fresh certificate; only the server that was made with it can show it."""
        self._certificates += 1
        return hashlib.sha256(b"certificate %d" % self._certificates).digest()

    def deliver(self, data: bytes, source: Address, target: str, port: int, *, to_all: bool) -> None:
        """Puts a datagram into the sockets of one host, as its kernel would. Attackers call it with any source."""
        host = self.hosts.get(target)
        if host is None or len(data) > DATAGRAM_MAX_BYTES or self.lose(data, source.host, target):
            return
        sockets = [endpoint for endpoint in host.endpoints if endpoint.port == port]
        # A unicast datagram to a shared port reaches only the last socket bound to it.
        for endpoint in sockets if to_all else sockets[-1:]:
            endpoint.arrive(data, source)

    def broadcast(self, data: bytes, source: Address) -> int:
        """A datagram for every host's discovery port, the sender's own included. Returns how many hosts there are."""
        for target in list(self.hosts):
            self.deliver(data, source, target, DISCOVERY_PORT, to_all=True)
        return len(self.hosts)


class FakeHost:
    """One machine: its Discovery, Transport and Interfaces ports."""

    def __init__(self, network: FakeNetwork, address: str) -> None:
        self.network = network
        self.address = address
        self.endpoints: list[FakeEndpoint] = []
        self.servers: dict[int, FakeServer] = {}
        self.discovery = FakeDiscovery(self)
        self.transport = FakeTransport(self)
        self.interfaces = FakeInterfaces(address)


class FakeInterfaces:
    """The Interfaces port with one network card."""

    restricted = False

    def __init__(self, address: str) -> None:
        self._address = address

    def up(self) -> list[Interface]:
        return [
            Interface("lo", 1, "127.0.0.1", "255.0.0.0", None, True),
            Interface("eth0", 2, self._address, "255.255.255.0", None, False),
        ]


class FakeEndpoint:
    """The DatagramEndpoint port."""

    def __init__(self, host: FakeHost, port: int) -> None:
        self._host = host
        self.port = port
        self._queue: deque[tuple[bytes, Address]] = deque(maxlen=QUEUE_LENGTH)
        self._arrived = asyncio.Event()
        self.sent: list[tuple[float, bytes, Address | None]] = []  # (time, data, to); None: broadcast
        host.endpoints.append(self)

    @property
    def _source(self) -> Address:
        return Address(self._host.address, self.port)

    def arrive(self, data: bytes, source: Address) -> None:
        self._queue.append((data, source))
        self._arrived.set()

    def forget(self) -> None:
        """Drops what has arrived and was not read."""
        self._queue.clear()

    async def receive(self) -> tuple[bytes, Address]:
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    async def send(self, data: bytes, to: Address) -> None:
        self.sent.append((self._host.network.clock.monotonic(), data, to))
        self._host.network.deliver(data, self._source, to.host, to.port, to_all=False)

    async def broadcast(self, data: bytes) -> int:
        self.sent.append((self._host.network.clock.monotonic(), data, None))
        return self._host.network.broadcast(data, self._source)

    async def close(self) -> None:
        if self in self._host.endpoints:
            self._host.endpoints.remove(self)


class FakeDiscovery:
    """The Discovery port. `refuse_listen` makes port 54321 unavailable."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.refuse_listen = False
        self.also_from: frozenset[str] = frozenset()

    async def listen(self) -> FakeEndpoint:
        if self.refuse_listen:
            raise ShareFailed(ShareReason.NETWORK, "port 54321 cannot be had")
        return FakeEndpoint(self._host, DISCOVERY_PORT)

    async def solicit(self, *, also_from: frozenset[str] = frozenset()) -> FakeEndpoint:
        self.also_from = also_from
        return FakeEndpoint(self._host, self._host.network.next_port())


class FakeServer:
    """The TlsServer port."""

    def __init__(self, host: FakeHost, handler: RequestHandler, common_name: str, legacy: bool) -> None:
        self._host = host
        self.handler = handler
        self.common_name = common_name
        self.legacy = legacy
        self._port = host.network.next_port()
        self._fingerprint = host.network.next_fingerprint()
        self.connections: set[FakeConnection] = set()
        host.servers[self._port] = self

    @property
    def port(self) -> int:
        return self._port

    @property
    def fingerprint(self) -> bytes:
        return self._fingerprint

    async def close(self) -> None:
        self._host.servers.pop(self._port, None)
        for connection in list(self.connections):
            connection.cut()


class FakeConnection:
    """The TlsConnection port. One request at a time, as in HTTP/1.1 without pipelining."""

    def __init__(self, network: FakeNetwork, server: FakeServer, peer: Address) -> None:
        self._network = network
        self._server = server
        self._peer = peer
        self._id = network.next_connection()
        self._task: asyncio.Task[Response] | None = None
        self._open = True
        server.connections.add(self)

    @property
    def fingerprint(self) -> bytes:
        return self._server.fingerprint

    async def request(self, method: str, path: str, body: bytes | None, *, timeout: float, limit: int = 65536) -> Reply:
        if not self._open:
            raise _gone("the connection is closed")
        if self._task is not None:
            raise RuntimeError("a second request before the first was answered")
        route, mark, query = path.partition("?")
        size = None if body is None else len(body)
        head = RequestHead(method, route, query if mark else None, self._id, self._peer, size)
        handler = self._server.handler
        verdict = handler.body_limit(head)
        if isinstance(verdict, Response):
            return self._finish(verdict, limit)
        if size is not None and size > verdict:
            return self._finish(handler.too_large(head), limit)
        self._task = asyncio.ensure_future(handler.respond(head, body or b""))
        answered = False
        try:
            response = await within(self._network.clock, timeout, self._task)
            answered = True
        finally:
            self._task = None
            if not answered:  # half an exchange leaves the connection useless
                self.cut()
        if not self._open:
            raise _gone("the connection was closed")
        return self._finish(response, limit)

    def _finish(self, response: Response, limit: int) -> Reply:
        if response.close:
            self.cut()
        if len(response.body) > limit:
            self.cut()
            raise _gone("the answer is too long")
        return Reply(response.status, response.body)

    def cut(self) -> None:
        """Ends the connection from whichever side."""
        if self._open:
            self._open = False
            self._server.connections.discard(self)
            if self._task is not None:
                self._task.cancel()
            self._server.handler.disconnected(self._id)

    async def close(self) -> None:
        self.cut()


class FakeTransport:
    """The Transport port. `names` maps host names to addresses for `resolve`."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.names: dict[str, str] = {}
        self.connects: list[tuple[float, Address]] = []  # every attempt, with its time

    async def serve(self, handler: RequestHandler, *, common_name: str, legacy: bool = False) -> FakeServer:
        return FakeServer(self._host, handler, common_name, legacy)

    async def resolve(self, host: str, port: int, *, timeout: float) -> list[Address]:
        address = self.names.get(host, host)
        if address not in self._host.network.hosts:
            raise ShareFailed(ShareReason.NETWORK, "no such host")
        return [Address(address, port)]

    async def connect(
        self, to: Address, *, fingerprint: bytes | None, timeout: float, legacy: bool = False
    ) -> FakeConnection:
        network = self._host.network
        self.connects.append((network.clock.monotonic(), to))
        where = network.moved.get((to.host, to.port), (to.host, to.port))
        if where in network.silent:
            await network.clock.sleep(timeout)
            raise _gone("no answer in time")
        await network.clock.sleep(network.delay)
        host = network.hosts.get(where[0])
        server = host.servers.get(where[1]) if host is not None else None
        if server is None:
            raise _gone("connection refused")
        if fingerprint is not None and server.fingerprint != fingerprint:
            raise _gone("another certificate")
        return FakeConnection(network, server, Address(self._host.address, network.next_port()))
