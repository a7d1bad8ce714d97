"""The HTTPS client: answers of every form, silent peers, addresses and names."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from asyncio.sslproto import SSLProtocol
from types import NoneType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_testing.https_peers import SOON
from keybatond.adapters.tls_transport import TlsTransport
from keybatond.adapters.tls_transport.certificates import self_signed, server_context
from keybatond.adapters.tls_transport.replies import HEAD_MAX, ReplyRefused, read_reply
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address


def parse(data: bytes, limit: int = 1000) -> tuple[int, bytes, bool]:
    async def run() -> tuple[int, bytes, bool]:
        stream = asyncio.StreamReader(limit=HEAD_MAX)
        stream.feed_data(data)
        stream.feed_eof()
        reply, keep = await read_reply(stream, limit)
        return reply.status, reply.body, keep

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", (200, b"{}", True)),
        (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\n{}", (200, b"{}", True)),
        (b"HTTP/1.1 409 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n", (409, b"", False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", (200, b"x", False)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: v\r\n\r\n",
            (200, b"abc", True),
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", (200, b"x", True)),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", (200, b"until the end", False)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", True)),
    ],
)
def test_a_well_formed_answer_is_read(data: bytes, expected: tuple[int, bytes, bool]) -> None:
    """Every framing that real peers use."""
    assert parse(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 65 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * HEAD_MAX + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
    ],
)
def test_a_malformed_or_oversized_answer_is_refused(data: bytes) -> None:
    """One error for all of them."""
    with pytest.raises(ReplyRefused):
        parse(data)


_FRAGMENTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"hello",
        b"\r\n",
    ]
)


@settings(max_examples=300)
@given(pieces=st.lists(st.one_of(_FRAGMENTS, st.binary(max_size=40)), max_size=8))
def test_any_bytes_give_an_answer_within_the_limit_or_one_error(pieces: list[bytes]) -> None:
    """The reader of answers is total."""
    try:
        status, body, _ = parse(b"".join(pieces), limit=10)
    except ReplyRefused:
        return
    assert 200 <= status <= 599
    assert len(body) <= 10


async def test_a_silent_peer_is_given_up_at_the_deadline() -> None:
    """Neither a listener that never shakes hands nor one that accepts nothing holds this side."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(ShareFailed) as failure:
        await TlsTransport().connect(Address("127.0.0.1", listener.getsockname()[1]), fingerprint=None, timeout=0.2)
    assert failure.value.reason is ShareReason.PEER_GONE
    assert loop.time() - start < 1.0
    listener.close()


@pytest.mark.parametrize(
    "address", [Address("127.0.0.1", 1), Address("fe80::1", 1, 4711), Address("no ip", 1), Address("::1", 1)]
)
async def test_an_unreachable_address_is_a_gone_peer(address: Address) -> None:
    """Refused, without interface, malformed: the same error."""
    with pytest.raises(ShareFailed) as failure:
        await TlsTransport().connect(address, fingerprint=None, timeout=SOON)
    assert failure.value.reason is ShareReason.PEER_GONE


async def test_names_and_literals_resolve_and_unknown_names_are_a_network_error() -> None:
    """Zones become interface numbers; a link-local address without its interface says what is missing."""
    resolve = TlsTransport().resolve
    assert await resolve("127.0.0.1", 7, timeout=SOON) == [Address("127.0.0.1", 7)]
    assert await resolve("[::1]", 7, timeout=SOON) == [Address("::1", 7)]
    assert await resolve("fe80::1%lo", 7, timeout=SOON) == [Address("fe80::1", 7, socket.if_nametoindex("lo"))]
    assert Address("127.0.0.1", 7) in await resolve("localhost", 7, timeout=SOON)
    for wrong in ("fe80::1", "fe80::1%absent0", "no-such-name.invalid", "a" * 300):
        with pytest.raises(ShareFailed) as failure:
            await resolve(wrong, 7, timeout=SOON)
        assert failure.value.reason is ShareReason.NETWORK


@pytest.mark.parametrize("ending", ["deadline", "cancelled", "closed", "ended by the peer", "another certificate"])
async def test_a_connection_that_came_to_nothing_is_freed_at_once(ending: str) -> None:
    """Without the collector: TLS keeps 256 KiB for each, and the collector counts objects, so that hundreds of MiB would wait."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            if ending == "ended by the peer":
                writer.transport.abort()
            await reader.read()
        writer.close()

    async def ask(to: Address) -> None:
        pin = bytes(32) if ending == "another certificate" else certificate.fingerprint
        connection = await TlsTransport().connect(to, fingerprint=pin, timeout=SOON)
        asking = asyncio.ensure_future(
            connection.request("GET", "/x", None, timeout=0.05 if ending == "deadline" else SOON)
        )
        asyncio.get_running_loop().call_later(0.02, asking.cancel if ending == "cancelled" else lambda: None)
        await asyncio.wait([asking], timeout=0.02 if ending == "closed" else SOON)
        await connection.close()
        await asyncio.wait([asking])
        assert asking.cancelled() or isinstance(asking.exception(), ShareFailed)

    certificate = self_signed("silent")
    async with await asyncio.start_server(
        silent, "127.0.0.1", 0, ssl=server_context(certificate, legacy=False)
    ) as listener:
        gc.collect()
        gc.disable()
        try:
            asked = asyncio.ensure_future(ask(Address("127.0.0.1", listener.sockets[0].getsockname()[1])))
            await asyncio.wait([asked])
            assert isinstance(asked.exception(), ShareFailed if ending == "another certificate" else NoneType)
            del asked
            async with asyncio.timeout(SOON):
                while buffers():
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()


def buffers() -> int:
    """How many TLS connections of clients are in memory."""
    return sum(isinstance(found, SSLProtocol) and not found._server_side for found in gc.get_objects())
