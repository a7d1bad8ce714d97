"""What shares need from the network: interfaces, datagrams for discovery, pinned TLS. Adapters implement these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Address:
    """An IP address and port; `scope` is the interface index of an IPv6 link-local address, else 0."""

    host: str
    port: int
    scope: int = 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Interface:
    """One address of one interface that is up."""

    name: str
    index: int
    address: str
    netmask: str  # dotted for IPv4, prefix length as text for IPv6
    broadcast: (
        str | None
    )  # directed broadcast computed from address and mask; None for IPv6, loopback and point-to-point
    loopback: bool


class Interfaces(Protocol):
    """The interfaces of this machine that may be used, read afresh by each call."""

    @property
    def restricted(self) -> bool:
        """Whether the person chose some: then nothing may leave by another one, as by the default route."""

    def up(self) -> list[Interface]:
        """Every address of every interface that is up, IPv4 and IPv6."""


class DatagramEndpoint(Protocol):
    """A UDP endpoint for discovery. Gives only datagrams from attached networks and loopback, at most 512 bytes each."""

    async def receive(self) -> tuple[bytes, Address]:
        """The next datagram. A bounded number waits in a queue; the oldest are dropped."""

    async def send(self, data: bytes, to: Address) -> None:
        """One datagram; unreachable destinations are no error."""

    async def broadcast(self, data: bytes) -> int:
        """To port 54321 on every reachable broadcast destination; returns how many sends succeeded."""

    async def close(self) -> None:
        """Closes the sockets."""


class Discovery(Protocol):
    """Opens discovery endpoints."""

    async def listen(self) -> DatagramEndpoint:
        """On port 54321, shared (SO_REUSEADDR) with other programs. ShareFailed(NETWORK) when it cannot be had."""

    async def solicit(self, *, also_from: frozenset[str] = frozenset()) -> DatagramEndpoint:
        """On ephemeral ports of its own, to which unicast answers come back.

        `also_from`: hosts outside the attached networks whose datagrams count too (they were named by the person).
        """


@dataclass(frozen=True)
class RequestHead:
    """A request before its body. `connection` is unique for each TLS connection of the server's life."""

    method: str
    path: str  # without query, percent-encoding untouched
    query: str | None  # None where the target has no "?"
    connection: int
    peer: Address
    content_length: int | None


@dataclass(frozen=True)
class Response:
    """Status and JSON body."""

    status: int
    body: bytes
    close: bool = False  # close the connection after it
    keep: bool = False  # or never give the connection up for others from now on; the handler bounds how many it keeps


class RequestHandler(Protocol):
    """Serves one TLS server's requests."""

    def body_limit(self, head: RequestHead) -> int | Response:
        """Decides before any of the body is read: the cap in bytes, or the answer right away."""

    async def respond(self, head: RequestHead, body: bytes) -> Response:
        """The answer. Cancelled when the peer goes away."""

    def too_large(self, head: RequestHead) -> Response:
        """The answer to a body above the cap, given before it is buffered."""

    def disconnected(self, connection: int) -> None:
        """A connection has ended."""


class TlsServer(Protocol):
    """A running HTTPS server with a certificate of its own, made for one session."""

    @property
    def port(self) -> int:
        """The port, the same for IPv4 and IPv6."""

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DER certificate, 32 bytes."""

    async def close(self) -> None:
        """Stops listening and closes every connection."""


@dataclass(frozen=True)
class Reply:
    """An answer as the client sees it."""

    status: int
    body: bytes


class TlsConnection(Protocol):
    """One TLS connection: it never reconnects by itself. Failures are ShareFailed(PEER_GONE)."""

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate that the peer really showed."""

    async def request(self, method: str, path: str, body: bytes | None, *, timeout: float, limit: int = 65536) -> Reply:
        """One exchange; answers above `limit` bytes are ShareFailed(PEER_GONE)."""

    async def close(self) -> None:
        """Closes it."""


class Transport(Protocol):
    """HTTPS between two devices, self-signed, pinned by fingerprint."""

    async def serve(self, handler: RequestHandler, *, common_name: str, legacy: bool = False) -> TlsServer:
        """A server on an ephemeral port of all addresses, P-256 certificate, TLS 1.3 only (`legacy`: 1.2 as well)."""

    async def resolve(self, host: str, port: int, *, timeout: float) -> list[Address]:
        """Addresses of a host name or literal (`fe80::1%eth0` too). ShareFailed(NETWORK) when there is none."""

    async def connect(
        self, to: Address, *, fingerprint: bytes | None, timeout: float, legacy: bool = False
    ) -> TlsConnection:
        """Connects; with `fingerprint`, any other certificate is ShareFailed(PEER_GONE) before a byte of a request."""
