"""HTTPS between two devices: self-signed certificates made for one session, pinned by fingerprint.

`server` and `certificates` are imported when the first server starts: they bring aiohttp and cryptography's X.509.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading

from keybatond.adapters.tls_transport.client import PinnedConnection, open_connection
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, RequestHandler, TlsServer

ADDRESSES_MAX = 8  # of one host name


class TlsTransport:
    """Implements Transport."""

    async def serve(self, handler: RequestHandler, *, common_name: str, legacy: bool = False) -> TlsServer:
        """A server on one ephemeral port of all addresses. ShareFailed(NETWORK) when no port can be had."""
        from keybatond.adapters.tls_transport.certificates import self_signed, server_context
        from keybatond.adapters.tls_transport.server import start_server

        certificate = self_signed(common_name)
        return start_server(handler, server_context(certificate, legacy=legacy), certificate.fingerprint)

    async def resolve(self, host: str, port: int, *, timeout: float) -> list[Address]:
        """Addresses of a host name or literal. ShareFailed(NETWORK) when there is none within `timeout` seconds."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        try:
            async with asyncio.timeout(timeout):
                entries = await _getaddrinfo(host, port)
        except (OSError, UnicodeError, TimeoutError):
            raise ShareFailed(ShareReason.NETWORK, "The host name could not be resolved.") from None
        found = dict.fromkeys(
            Address(str(sockaddr[0]).partition("%")[0], port, int(sockaddr[3]) if len(sockaddr) == 4 else 0)
            for *_, sockaddr in entries
        )
        if not found:
            raise ShareFailed(ShareReason.NETWORK, "The host name could not be resolved.")
        return list(found)[:ADDRESSES_MAX]

    async def connect(
        self, to: Address, *, fingerprint: bytes | None, timeout: float, legacy: bool = False
    ) -> PinnedConnection:
        """Connects; any certificate but that of `fingerprint` is ShareFailed(PEER_GONE)."""
        return await open_connection(to, fingerprint=fingerprint, timeout=timeout, legacy=legacy)


def _literal(host: str, port: int) -> Address | None:
    bare, _, zone = host.strip("[]").partition("%")
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if not parsed.is_link_local or parsed.version == 4:
        return Address(str(parsed), port)
    if not zone:
        raise ShareFailed(ShareReason.NETWORK, "A link-local address needs its interface, as in fe80::1%eth0.")
    try:
        scope = int(zone) if zone.isascii() and zone.isdigit() else socket.if_nametoindex(zone)
    except OSError:
        raise ShareFailed(ShareReason.NETWORK, "There is no such network interface.") from None
    return Address(str(parsed), port, scope)


async def _getaddrinfo(
    host: str, port: int
) -> list[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]]:
    """getaddrinfo(3) in a daemon thread: it cannot be cancelled, and the loop's own threads are waited for at the end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[tuple[int, int, int, str, tuple[str, int]]]] = loop.create_future()

    def settle(entries: list[object] | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(entries)  # type: ignore[arg-type]

    def look_up() -> None:
        entries: list[object] | None = None
        error: BaseException | None = None
        try:
            entries = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as failure:
            error = failure
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, entries, error)

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    return await answer  # type: ignore[return-value]
