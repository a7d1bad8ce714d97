"""Places of the HTTPS server: crowds, bursts and newcomers never keep an honest peer out."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from keybaton_testing.https_peers import SOON, answer, client_context, honest_exchange, raw, serving
from keybatond.adapters.tls_transport import server as server_module
from keybatond.network_ports import TlsServer


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
