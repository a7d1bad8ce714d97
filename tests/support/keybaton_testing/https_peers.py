"""An HTTPS server of the adapter that echoes, and raw TLS clients that may say what they like to it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from keybatond.adapters.tls_transport import TlsTransport
from keybatond.network_ports import Address, RequestHead, Response, TlsServer

SOON = 5.0


class Echo:
    """Answers every request with the length of its body; /refuse is refused before it."""

    def __init__(self) -> None:
        self.bodies: list[int] = []

    def body_limit(self, head: RequestHead) -> int | Response:
        return Response(409, b"{}") if head.path == "/refuse" else 1_500_000

    async def respond(self, head: RequestHead, body: bytes) -> Response:
        self.bodies.append(len(body))
        if head.path == "/fail":
            raise ValueError("a secret in an exception")
        return Response(200, b'{"length":%d}' % len(body), keep=head.path == "/keep")

    def too_large(self, head: RequestHead) -> Response:
        return Response(413, b"{}")

    def disconnected(self, connection: int) -> None:
        pass


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[TlsServer, Echo]]:
    handler = Echo()
    server = await TlsTransport().serve(handler, common_name="Keybaton", **options)
    try:
        yield server, handler
    finally:
        await server.close()


def client_context(**options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    return context


async def raw(
    server: TlsServer, host: str = "127.0.0.1", **options: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TLS connection of an ordinary client that may then write what it likes."""
    return await asyncio.open_connection(host, server.port, ssl=client_context(**options), server_hostname="")


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(SOON):
        return await reader.read(65536)


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the peer ends the connection soon, in whatever manner."""
    async with asyncio.timeout(SOON):
        with contextlib.suppress(OSError):
            while await reader.read(65536):
                pass
    return True


async def honest_exchange(server: TlsServer, host: str = "127.0.0.1") -> float:
    """Seconds that an honest peer needs for connection and request."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    connection = await TlsTransport().connect(Address(host, server.port), fingerprint=server.fingerprint, timeout=SOON)
    assert (await connection.request("POST", "/x", b"{}", timeout=SOON)).status == 200
    await connection.close()
    return loop.time() - start
