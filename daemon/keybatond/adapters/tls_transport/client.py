"""One pinned TLS connection and a small HTTP/1.1 client on it.

aiohttp's client pools connections and opens a new one when the old has gone. Here a handshake belongs to the connection
it was made on and the payload may go nowhere else, so the client holds exactly one connection and never reconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import hmac
import socket
import ssl

from keybatond.adapters.tls_transport.replies import HEAD_MAX, ReplyRefused, read_reply
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Reply

CLOSE_SECONDS = 1.0  # for the closing exchange of TLS
# An answer may be held for a minute, and a pulled cable says nothing: after 5 s of silence the peer's kernel is asked three
# times, every 2 s. It is not asked while something that was sent has not been confirmed: that has its own limit. The connection
# is then known to be broken after 11 s, while its receiver still keeps the outcome.
_SILENCE = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 11_000,  # milliseconds; RFC 5482
}  # names of Linux; elsewhere the system's own times


@functools.cache
def _context(legacy: bool) -> ssl.SSLContext:
    """The peer is known by its fingerprint alone, which is compared after the handshake; no authority is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if legacy else ssl.TLSVersion.TLSv1_3
    return context


async def open_connection(to: Address, *, fingerprint: bytes | None, timeout: float, legacy: bool) -> PinnedConnection:
    """Connects within `timeout` seconds. ShareFailed(PEER_GONE) when nobody is there or the certificate is another."""
    family = socket.AF_INET6 if ":" in to.host else socket.AF_INET
    target = (to.host, to.port, 0, to.scope) if family == socket.AF_INET6 else (to.host, to.port)
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(
                sock=await _tcp_connection(family, target),
                ssl=_context(legacy),
                server_hostname="",  # no SNI
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=CLOSE_SECONDS,
                limit=HEAD_MAX,
            )
    except (OSError, TimeoutError, OverflowError):
        raise ShareFailed(ShareReason.PEER_GONE) from None
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    seen = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").digest()
    if fingerprint is not None and not hmac.compare_digest(seen, fingerprint):
        writer.transport.abort()
        raise ShareFailed(ShareReason.PEER_GONE)
    return PinnedConnection(reader, writer, seen, str(to))


async def _tcp_connection(
    family: socket.AddressFamily, target: tuple[str, int] | tuple[str, int, int, int]
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does it only for sockets of its own
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _SILENCE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


class PinnedConnection:
    """Implements TlsConnection. One exchange at a time (RuntimeError); after a failure the connection is of no more use."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fingerprint: bytes, host: str
    ) -> None:
        self._reader, self._writer = reader, writer
        self._fingerprint = fingerprint
        self._host = host
        self._usable = True
        self._busy = False

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate that the peer showed."""
        return self._fingerprint

    async def request(self, method: str, path: str, body: bytes | None, *, timeout: float, limit: int = 65536) -> Reply:
        """One exchange within `timeout` seconds. ShareFailed(PEER_GONE) on every failure."""
        if self._busy:
            raise RuntimeError("a second request before the first was answered")
        if not self._usable:
            raise ShareFailed(ShareReason.PEER_GONE)
        self._busy, self._usable = True, False  # useless until the exchange is complete
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: application/json\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(head.encode("ascii") + b"\r\n" + (body or b""))
                # The answer may come before all of the body has been taken, as 413 does, and the peer may then stop
                # reading: so nothing waits for the body to leave. It is small; the transport holds it.
                reply, keep = await read_reply(self._reader, limit)
        except (OSError, TimeoutError, ReplyRefused):
            self._writer.transport.abort()
            raise ShareFailed(ShareReason.PEER_GONE) from None
        except BaseException:
            self._writer.transport.abort()
            raise
        finally:
            self._busy = False
        self._usable = keep
        return reply

    async def close(self) -> None:
        """Closes the connection."""
        self._usable = False
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.wait_closed()
