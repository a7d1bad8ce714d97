"""The HTTPS adapter against peers that are slow, greedy, numerous or talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keybaton_testing.require import require
from keybatond.adapters.tls_transport import TlsTransport, protocol
from keybatond.adapters.tls_transport import server as server_module
from keybatond.adapters.tls_transport.replies import HEAD_MAX, ReplyRefused, read_reply
from keybatond.errors import ShareFailed, ShareReason
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


# --- TLS ---------------------------------------------------------------------------------------------------------------


async def test_tls_1_2_is_refused_except_in_legacy_mode() -> None:
    """TLS 1.3 only; the Photosphere protocol takes both."""
    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    async with serving() as (server, _):
        with pytest.raises(OSError):
            await raw(server, **old)
    async with serving(legacy=True) as (server, _):
        _, writer = await raw(server, **old)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.close()
        _, writer = await raw(server)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.close()


async def test_the_client_refuses_tls_1_2_except_in_legacy_mode() -> None:
    """A peer cannot talk this side down."""
    from keybatond.adapters.tls_transport.certificates import self_signed, server_context

    certificate = self_signed("old")
    context = server_context(certificate, legacy=True)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=context) as listener:
        to = Address("127.0.0.1", listener.sockets[0].getsockname()[1])
        with pytest.raises(ShareFailed):
            await TlsTransport().connect(to, fingerprint=None, timeout=SOON)
        connection = await TlsTransport().connect(to, fingerprint=certificate.fingerprint, timeout=SOON, legacy=True)
        assert connection.fingerprint == certificate.fingerprint
        await connection.close()


async def test_no_session_ticket_is_given() -> None:
    """Every connection is a full handshake, so the certificate is seen each time."""
    async with serving() as (server, _):
        reader, writer = await raw(server)
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await answer(reader)
        session = writer.get_extra_info("ssl_object").session
        assert session is None or not session.has_ticket
        writer.close()


async def test_the_certificate_is_p256_with_the_given_name_and_is_nowhere_on_disk() -> None:
    """The subject is as asked; making a server opens no file for writing."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    async with serving(legacy=True) as (server, _):
        _, writer = await raw(server)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
        assert certificate.subject.rfc4514_string() == "CN=Keybaton"
        assert len(certificate.extensions) == 0


async def test_the_certificate_shows_no_key_in_its_text() -> None:
    """repr is what ends up in a traceback."""
    from keybatond.adapters.tls_transport.certificates import self_signed

    certificate = self_signed("x")
    assert "PRIVATE" not in repr(certificate)
    assert b"PRIVATE KEY" in certificate.key_pem


async def test_making_and_closing_servers_leaks_no_descriptor() -> None:
    """Pipes, listeners and connections are all closed again."""

    async def once() -> None:
        async with serving() as (server, _):
            await honest_exchange(server)

    await once()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await once()
    await asyncio.sleep(0.05)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_both_families_reach_the_one_port_and_ipv4_peers_are_shown_as_ipv4() -> None:
    """A mapped address never appears."""
    require("ipv6")
    peers: list[Address] = []

    class Seen(Echo):
        def body_limit(self, head: RequestHead) -> int | Response:
            peers.append(head.peer)
            return 1000

    server = await TlsTransport().serve(Seen(), common_name="x")
    for host in ("127.0.0.1", "::1"):
        await honest_exchange(server, host)
    await server.close()
    assert [peer.host for peer in peers] == ["127.0.0.1", "::1"]


# --- greedy and slow peers ---------------------------------------------------------------------------------------------


async def test_an_honest_peer_gets_through_while_others_hold_every_place() -> None:
    """64 half-open connections from eight addresses, and more behind them: an honest exchange takes no deadline's time."""
    async with serving() as (server, _):
        held: list[socket.socket] = []
        for number in range(server_module.CONNECTIONS_MAX + 20):
            sock = socket.socket()
            sock.setblocking(False)
            sock.bind((f"127.0.1.{1 + number // server_module.PER_SOURCE_MAX}", 0))
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
            held.append(sock)
        assert await honest_exchange(server) < 1.0
        for sock in held:
            sock.close()


async def crowd(server: TlsServer, *, said: bytes, network: int) -> list[asyncio.StreamWriter]:
    """As many connections as there are, a host for each eight, that have said `said` a while ago."""
    made = []
    for number in range(server_module.CONNECTIONS_MAX):
        place = (f"127.0.{network}.{1 + number // server_module.PER_SOURCE_MAX}", 0)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=client_context(), server_hostname="", local_addr=place
        )
        writer.write(said)
        made.append(writer)
    connections = server._connections  # type: ignore[attr-defined]
    async with asyncio.timeout(SOON):
        while said and any(one.protocol is None or not one.protocol.reading for one in connections.values()):
            await asyncio.sleep(0.01)
    for connection in connections.values():
        connection.since -= 2 * server_module.NEW_SECONDS
    return made


async def knock(server: TlsServer, times: int) -> list[socket.socket]:
    """Newcomers from hosts of their own that say nothing."""
    made = []
    for number in range(times):
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((f"127.0.9.{1 + number}", 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        made.append(sock)
    return made


async def test_newcomers_do_not_push_out_a_handshake_that_is_under_way() -> None:
    """Not even where half-said requests hold every other place: those go first, once they are a second old."""
    async with serving() as (server, _):
        held = await crowd(server, said=b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", network=3)
        slow = socket.socket()
        slow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(slow, ("127.0.0.1", server.port))
        knocking = await knock(server, 30)
        reader, writer = await asyncio.open_connection(sock=slow, ssl=client_context(), server_hostname="")
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await answer(reader)
        for one in [*held, writer, *knocking]:
            one.close()


async def test_a_connection_that_is_to_be_kept_is_never_given_up_for_others() -> None:
    """A handshake has cost a guess, and its payload can come on no other connection."""
    async with serving() as (server, _):
        reader, writer = await raw(server)
        writer.write(b"GET /keep HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await answer(reader)
        held = await crowd(server, said=b"", network=4)
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await answer(reader)
        for one in [*held, writer]:
            one.close()


async def test_a_burst_that_arrives_at_once_is_dropped_without_a_trace() -> None:
    """Connections that are pushed out before their handshake has begun leave neither a descriptor nor a place taken."""
    async with serving() as (server, _):
        await honest_exchange(server)
        before = len(os.listdir("/proc/self/fd"))
        burst: list[socket.socket] = []
        for number in range(100):
            sock = socket.socket()
            sock.setblocking(False)
            sock.bind((f"127.0.2.{1 + number // server_module.PER_SOURCE_MAX}", 0))
            sock.connect_ex(("127.0.0.1", server.port))
            burst.append(sock)
        assert await honest_exchange(server) < 1.0
        for sock in burst:
            sock.close()
        async with asyncio.timeout(SOON):
            while len(os.listdir("/proc/self/fd")) > before:
                await asyncio.sleep(0.01)


async def test_one_source_never_holds_more_than_its_share() -> None:
    """The ninth connection of one address is closed at once, and another address is not affected."""
    async with serving() as (server, _):
        connections = [await raw(server) for _ in range(server_module.PER_SOURCE_MAX)]
        with pytest.raises(OSError):
            await raw(server)
        connection = socket.socket()
        connection.bind(("127.0.1.1", 0))
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(sock=connection, ssl=client_context(), server_hostname="")
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await answer(reader)
        for _, one in [*connections, (reader, writer)]:
            one.close()


@pytest.mark.parametrize("beginning", [b"", b"GET /x HTTP/1.1\r\nHost:"], ids=["silent", "half a head"])
async def test_a_connection_without_a_request_is_ended(monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    """Neither silence nor a head that never ends keeps a place."""
    monkeypatch.setattr(protocol, "FIRST_REQUEST_SECONDS", 0.1)
    async with serving() as (server, _):
        reader, writer = await raw(server)
        writer.write(beginning)
        assert await ended(reader)
        writer.close()


async def test_a_connection_without_tls_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who connects and says nothing is gone after the handshake's deadline."""
    monkeypatch.setattr(server_module, "HANDSHAKE_SECONDS", 0.1)
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await ended(reader)
        writer.close()


async def test_an_idle_connection_is_ended_after_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep-alive has a limit."""
    monkeypatch.setattr(protocol, "NEXT_REQUEST_SECONDS", 0.1)
    async with serving() as (server, _):
        reader, writer = await raw(server)
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await answer(reader)
        assert await ended(reader)
        writer.close()


async def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is never given to the handler."""
    monkeypatch.setattr(server_module, "BODY_SILENCE_SECONDS", 0.1)
    async with serving() as (server, handler):
        reader, writer = await raw(server)
        writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        assert await ended(reader)
        assert handler.bodies == []
        writer.close()


async def test_an_endless_body_ends_the_connection_with_413() -> None:
    """Chunked without a length: the cap holds while it comes in."""
    async with serving() as (server, handler):
        reader, writer = await raw(server)
        writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        with contextlib.suppress(OSError):
            for _ in range(400):
                writer.write(chunk)
                await writer.drain()
        await ended(reader)
        assert handler.bodies == []
        writer.close()


async def test_a_flood_of_pipelined_requests_is_bounded() -> None:
    """A peer that asks without waiting for answers does not fill the memory: it is served or ended."""
    async with serving() as (server, _):
        _, writer = await raw(server)
        with contextlib.suppress(OSError):
            for _ in range(40):
                writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
                async with asyncio.timeout(0.05):
                    await writer.drain()
        writer.transport.abort()
        assert await honest_exchange(server) < 2.0


async def test_answers_name_no_library_and_repeat_nothing_of_the_request() -> None:
    """Also the refusal of what is not HTTP."""
    async with serving() as (server, _):
        for request in (
            b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
            b"NONSENSE <script>\r\n\r\n",
            b"GET /\x00 HTTP/9\r\n\r\n",
        ):
            reader, writer = await raw(server)
            writer.write(request)
            text = (await answer(reader)).lower()
            assert text.startswith(b"http/1.")
            for word in (b"aiohttp", b"python", b"script", b"nonsense"):
                assert word not in text
            writer.close()


async def test_a_failing_handler_is_a_bare_500_and_the_server_goes_on() -> None:
    """The exception reaches the loop's handler, not the peer."""
    failures: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    async with serving() as (server, _):
        connection = await TlsTransport().connect(Address("127.0.0.1", server.port), fingerprint=None, timeout=SOON)
        reply = await connection.request("GET", "/fail", None, timeout=SOON)
        assert reply.status == 500
        assert b"secret" not in reply.body
        assert await honest_exchange(server) < SOON
    assert [type(failure) for failure in failures] == [ValueError]


async def test_a_large_refused_body_still_gets_its_answer() -> None:
    """The 413 is not lost in a reset while the body is on its way."""
    async with serving() as (server, _):
        connection = await TlsTransport().connect(Address("127.0.0.1", server.port), fingerprint=None, timeout=SOON)
        assert (await connection.request("POST", "/x", bytes(3_000_000), timeout=SOON)).status == 413


async def test_a_payload_of_full_size_is_taken() -> None:
    """1.5 MiB in one request."""
    async with serving() as (server, handler):
        connection = await TlsTransport().connect(Address("127.0.0.1", server.port), fingerprint=None, timeout=SOON)
        assert (await connection.request("POST", "/x", bytes(1_500_000), timeout=SOON)).status == 200
        assert handler.bodies == [1_500_000]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pieces=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4))
def test_garbage_never_stops_the_server(pieces: list[bytes]) -> None:
    """Whatever bytes come inside TLS, the next honest peer is served and nothing reaches the log or the loop's handler."""

    async def scene() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        async with serving() as (server, _):
            _, writer = await raw(server)
            with contextlib.suppress(OSError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                writer.write_eof() if writer.can_write_eof() else None
            writer.transport.abort()
            await honest_exchange(server)
        assert failures == []

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        asyncio.run(scene())


async def test_garbage_instead_of_tls_never_stops_the_server() -> None:
    """Plain HTTP, a cut ClientHello, random bytes."""
    async with serving() as (server, _):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", os.urandom(600), b"\x00" * 5000):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(garbage)
            writer.close()
            await honest_exchange(server)


# --- the client --------------------------------------------------------------------------------------------------------


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


@settings(max_examples=300, deadline=None)
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
