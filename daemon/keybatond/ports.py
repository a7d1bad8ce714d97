"""What the services need from the outside, named after the need. Adapters implement these, fakes stand in for tests."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from keybaton_core.secret import SecretBytes

# --- time and chance ---------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time as the services see it."""

    def monotonic(self) -> float:
        """Seconds that never go back; for deadlines. Does not count while the machine is suspended."""

    def now_ms(self) -> int:
        """Unix time in milliseconds; for records only, it may jump."""

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of `monotonic`."""


class Entropy(Protocol):
    """The operating system's random bytes."""

    def token(self, size: int) -> bytes:
        """`size` fresh random bytes."""

    def below(self, limit: int) -> int:
        """A uniform integer from 0 to `limit` - 1."""


# --- keys --------------------------------------------------------------------------------------------------------------


class KeystoreKind(enum.IntEnum):
    """Where a wrapping key lives. Equal to the API's Keystore; the numbers are stored in vault headers."""

    KEYCHAIN = 1
    PASSPHRASE = 2
    CREDENTIAL = 3


@dataclass(frozen=True)
class KeyRecord:
    """What the vault's header says of its wrapping key. Public: a thief of the file may read it.

    `parameters` is the keystore's own business (at most 4 KiB): backend name, or Argon2id parameters and the sealed key.
    """

    kind: KeystoreKind
    key_id: str  # 32 hexadecimal digits
    parameters: bytes


class Keystore(Protocol):
    """Keeps wrapping keys. Every call has a deadline inside; errors are KeybatonError with a keychain or passphrase reason."""

    @property
    def kind(self) -> KeystoreKind:
        """Which one it is."""

    async def probe(self) -> str:
        """A real round trip (write, read, delete) of a throw-away key; returns a name for people, such as the backend's."""

    async def store(self, key_id: str, key: SecretBytes, passphrase: SecretBytes | None) -> KeyRecord:
        """Keeps `key` and returns the record for the header. Never replaces a key that is there."""

    async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        """The key of `record`. KEY_ABSENT only when the store definitely does not have it."""

    async def remove(self, record: KeyRecord) -> None:
        """Forgets the key; no error when it is not there."""

    def describe(self, record: KeyRecord) -> str:
        """Where `record` says the key lives, in a few words for people. Waits for nothing; never fails."""


class KeyHolder(Protocol):
    """Keeps the few keys that live as long as the vault is open where they are not swapped out and are wiped when dropped."""

    def hold(self, key: SecretBytes) -> SecretBytes:
        """Moves `key` into protected memory: the argument is wiped, the result's `wipe` gives the memory back.

        Where memory cannot be protected the result is an ordinary secret; the holder has logged it once.
        """


# --- the network -------------------------------------------------------------------------------------------------------


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


# --- the machine -------------------------------------------------------------------------------------------------------


class DeviceInfo(Protocol):
    """What this device calls itself."""

    def name(self) -> str:
        """A short name for peers, without control characters."""


@dataclass(frozen=True)
class SocketFacts:
    """What the file system says of the agent's socket. Modes are permission bits; `ours`: both belong to this user."""

    path: str
    folder_mode: int
    socket_mode: int
    ours: bool


class SystemLook(Protocol):
    """What only the operating system can say about the agent's surroundings. Never raises, never waits."""

    def socket(self) -> SocketFacts | None:
        """The agent's socket; None when it is gone from its place."""

    def discovery_sockets(self) -> int:
        """UDP sockets on the discovery port now, of any program."""

    def firewalls(self) -> list[str]:
        """Names of the firewalls that seem to be in force, such as "ufw"."""


class Log(Protocol):
    """Structured events. Values are ids, reasons, counts, durations: never names, values, codes or keys."""

    def event(self, event: str, /, **fields: str | int | float | bool | None) -> None:
        """Writes one event with fields from the closed list of `keybatond.logs`."""


Progress = Callable[[int, int], None]
"""Called with (done, total); from any thread."""

KeyOpener = Callable[[KeyRecord], Awaitable[SecretBytes]]
"""Fetches the wrapping key that a header's record names."""
