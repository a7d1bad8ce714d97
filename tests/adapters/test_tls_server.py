"""The HTTPS server against peers that are slow, greedy or talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import os
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keybaton_testing.https_peers import SOON, answer, ended, honest_exchange, raw, serving
from keybatond.adapters.tls_transport import TlsTransport, protocol
from keybatond.adapters.tls_transport import server as server_module
from keybatond.network_ports import Address


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
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
