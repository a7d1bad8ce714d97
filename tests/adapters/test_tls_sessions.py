"""What TLS versions, certificates and descriptors the HTTPS adapter uses."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl

import pytest

from keybaton_testing.https_peers import SOON, Echo, answer, honest_exchange, raw, serving
from keybaton_testing.require import require
from keybatond.adapters.tls_transport import TlsTransport
from keybatond.errors import ShareFailed
from keybatond.network_ports import Address, RequestHead, Response


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
