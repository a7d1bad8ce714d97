"""Discovery datagrams over UDP on every attached network, IPv4 broadcast and IPv6 link-local multicast.

What the datagrams say is the protocols' business; here they are bytes. Nothing here raises because a network came, went or
refuses: on a laptop that is the normal case.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections import deque

from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Interface, Interfaces

PORT = 54321
GROUP = "ff12::4b65:7962"  # transient, link-local scope: it never leaves the link
LIMITED_BROADCAST = "255.255.255.255"
LOOPBACK_BROADCAST = "127.255.255.255"  # 127.0.0.1 reaches only the last of several sockets on the port
DATAGRAM_MAX = 512  # bytes; longer ones are not ours
QUEUE_MAX = 256  # datagrams that wait; a flood pushes out the oldest, and honest ones come again every second
READS_PER_WAKE = 64  # so that a flood does not keep the event loop from everything else
REFRESH_SECONDS = 2.0  # to join the group on interfaces that came; a sender also reads them at each of its ticks
STALE_SECONDS = 1.0  # a datagram from an unknown network makes the networks be read again, at most this often

# Linux <linux/in.h>; Python names it only from 3.14 on. It sends through a given interface, which matters where two are in
# the same subnet or the host has no default route.
_IP_PKTINFO = 8


class UdpDiscovery:
    """Implements Discovery."""

    def __init__(self, interfaces: Interfaces) -> None:
        self._interfaces = interfaces

    async def listen(self) -> UdpEndpoint:
        """On port 54321 of all IPv4 and IPv6 addresses. ShareFailed(NETWORK) when IPv4 has it and it cannot be shared."""
        return _open(self._interfaces, PORT, frozenset())

    async def solicit(self, *, also_from: frozenset[str] = frozenset()) -> UdpEndpoint:
        """On ephemeral ports. ShareFailed(NETWORK) when there is no network at all."""
        return _open(self._interfaces, 0, also_from)


def _open(interfaces: Interfaces, port: int, also_from: frozenset[str]) -> UdpEndpoint:
    v4 = _socket(socket.AF_INET, port)
    v6 = _socket(socket.AF_INET6, port)
    if v4 is None and (v6 is None or (port and _has_ipv4())):
        if v6 is not None:
            v6.close()
        raise ShareFailed(ShareReason.NETWORK, f"Another program keeps UDP port {port} to itself." if port else "")
    return UdpEndpoint(interfaces, v4, v6, also_from, joins=bool(port))


def _has_ipv4() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _socket(family: socket.AddressFamily, port: int) -> socket.socket | None:
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:  # the kernel does not have this family
        return None
    try:
        sock.setblocking(False)
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("" if family == socket.AF_INET else "::", port))
    except OSError:
        sock.close()
        return None
    return sock


class UdpEndpoint:
    """Implements DatagramEndpoint with one socket for each address family."""

    def __init__(
        self,
        interfaces: Interfaces,
        v4: socket.socket | None,
        v6: socket.socket | None,
        also_from: frozenset[str],
        *,
        joins: bool,
    ) -> None:
        self._interfaces = interfaces
        self._v4, self._v6 = v4, v6
        self._also_from = frozenset(_plain_host(host) for host in also_from)
        self._joins = joins
        self._joined: set[int] = set()
        self._networks = _Networks([])
        self._read_at = 0.0
        self._queue: deque[tuple[bytes, Address]] = deque(maxlen=QUEUE_MAX)
        self._arrived = asyncio.Event()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._refresh()
        for sock in self._sockets():
            self._loop.add_reader(sock, self._readable, sock)
        if joins and v6 is not None:
            self._timer = self._loop.call_later(REFRESH_SECONDS, self._tick)

    def _sockets(self) -> list[socket.socket]:
        return [sock for sock in (self._v4, self._v6) if sock is not None]

    async def receive(self) -> tuple[bytes, Address]:
        """The next datagram. ShareFailed(NETWORK) once the endpoint is closed."""
        while not self._queue:
            if self._closed:
                raise ShareFailed(ShareReason.NETWORK)
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    async def send(self, data: bytes, to: Address) -> None:
        """One datagram from this endpoint's port; what cannot be sent is dropped, as a network may drop it."""
        if ":" in to.host:
            self._send(self._v6, data, (to.host, to.port, 0, to.scope))
        else:
            self._send(self._v4, data, (to.host, to.port))

    async def broadcast(self, data: bytes) -> int:
        """To port 54321 everywhere; returns how many sends succeeded. Reads the interfaces afresh."""
        up = self._refresh()
        sent = 0
        for name, broadcast in {(one.name, one.broadcast): None for one in up if one.broadcast}:
            index = next(one.index for one in up if one.name == name)
            sent += self._send_through(index, data, broadcast or "")
        if not self._interfaces.restricted:  # it leaves by the default route, whichever interface that is
            sent += self._send(self._v4, data, (LIMITED_BROADCAST, PORT))
        sent += self._send(self._v4, data, (LOOPBACK_BROADCAST, PORT))
        for index in _multicast_indexes(up):
            sent += self._send(self._v6, data, (GROUP, PORT, 0, index))
        return sent

    async def close(self) -> None:
        """Closes the sockets and wakes whoever waits in `receive`."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for sock in self._sockets():
            self._loop.remove_reader(sock)
            sock.close()
        self._v4 = self._v6 = None
        self._queue.clear()
        self._arrived.set()

    def _send(self, sock: socket.socket | None, data: bytes, to: tuple[str, int] | tuple[str, int, int, int]) -> bool:
        if sock is None:
            return False
        try:
            sock.sendto(data, to)
        except OSError:  # no route, no permission, a full buffer, an interface that has gone
            return False
        return True

    def _send_through(self, index: int, data: bytes, broadcast: str) -> bool:
        if self._v4 is None:
            return False
        through = struct.pack("@i4s4s", index, bytes(4), bytes(4))
        with contextlib.suppress(OSError):
            self._v4.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, through)], 0, (broadcast, PORT))
            return True
        return self._send(self._v4, data, (broadcast, PORT))

    def _tick(self) -> None:
        self._refresh()
        self._timer = self._loop.call_later(REFRESH_SECONDS, self._tick)

    def _refresh(self) -> list[Interface]:
        up = self._interfaces.up()
        self._networks = _Networks(up)
        self._read_at = self._loop.time()
        if self._joins and self._v6 is not None:
            self._join(_multicast_indexes(up))
        return up

    def _join(self, indexes: set[int]) -> None:
        self._joined &= indexes  # the kernel left the group on those that have gone
        for index in indexes - self._joined:
            request = socket.inet_pton(socket.AF_INET6, GROUP) + struct.pack("@I", index)
            with contextlib.suppress(OSError):
                assert self._v6 is not None
                self._v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
                self._joined.add(index)

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(READS_PER_WAKE):
            try:
                data, source = sock.recvfrom(DATAGRAM_MAX + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error of an earlier send
                continue
            address = Address(source[0], source[1], source[3] if len(source) == 4 else 0)
            if len(data) <= DATAGRAM_MAX and self._counts(address):
                self._queue.append((data, address))
                self._arrived.set()

    def _counts(self, source: Address) -> bool:
        if source.host in self._also_from or self._networks.hold(source.host):
            return True
        if self._loop.time() - self._read_at < STALE_SECONDS:
            return False
        self._refresh()
        return self._networks.hold(source.host)


class _Networks:
    """The networks that this machine is attached to, and loopback."""

    def __init__(self, up: list[Interface]) -> None:
        self._v4 = [(0x7F000000, 0xFF000000)]
        self._v6 = [(1, (1 << 128) - 1), (0xFE80 << 112, 0xFFC0 << 112)]  # ::1 and fe80::/10, which is always on a link
        for one in up:
            if ":" in one.address:
                mask = ((1 << int(one.netmask)) - 1) << (128 - int(one.netmask))
                self._v6.append((int(ipaddress.IPv6Address(one.address)) & mask, mask))
            else:
                mask = int(ipaddress.IPv4Address(one.netmask))
                self._v4.append((int(ipaddress.IPv4Address(one.address)) & mask, mask))

    def hold(self, host: str) -> bool:
        """Whether the literal `host` lies in one of them."""
        if ":" in host:
            number = int.from_bytes(socket.inet_pton(socket.AF_INET6, host))
            return any(number & mask == network for network, mask in self._v6)
        number = int.from_bytes(socket.inet_aton(host))
        return any(number & mask == network for network, mask in self._v4)


def _multicast_indexes(up: list[Interface]) -> set[int]:
    return {one.index for one in up if ":" in one.address and not one.loopback}


def _plain_host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return host
