"""Keybaton's Photosphere roles over real sockets against an independent peer in another process, host and language."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from keybaton_core.payload import Payload
from keybaton_core.photosphere_payload import decode_payload
from keybaton_testing.fake_controls import FakeReceiveControl, FakeSendControl
from keybaton_testing.lab import Host, Lab
from keybaton_testing.photosphere_process import PhotosphereProcess
from keybaton_testing.require import require
from keybatond.adapters.net_interfaces import PsutilInterfaces
from keybatond.adapters.system_clock import SystemClock
from keybatond.adapters.tls_transport import TlsTransport
from keybatond.adapters.udp_discovery import UdpDiscovery
from keybatond.errors import ShareFailed, ShareReason
from keybatond.services.photosphere_receive import PhotosphereReceive
from keybatond.services.photosphere_send import PhotosphereSend
from keybatond.services.share_session import Ending, ReceiveJob, SendJob, State

pytestmark = pytest.mark.e2e

CODE = "4321"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n"
S3 = {"name": "bucket", "region": "eu-west-1", "accessKeyId": "AKIA", "secretAccessKey": "hush/+é"}
DATABASE: dict[str, Any] = {
    "type": "database",
    "name": "Fotos – 2024",
    "description": "mine",
    "path": "s3:bucket:/photos",
    "origin": "s3:elsewhere",
    "s3Credentials": {**S3, "endpoint": "https://s3.example"},
    "encryptionKey": {"name": "enc", "privateKeyPem": PEM, "publicKeyPem": PEM.replace("PRIVATE", "PUBLIC")},
    "geocodingKey": {"name": "geo", "apiKey": "AIza"},
}
PAYLOADS: dict[str, dict[str, Any]] = {
    "database": DATABASE,
    "bare database": {"type": "database", "name": "db", "description": "", "path": ""},
    "s3": {
        "type": "secret",
        "name": "bucket",
        "secretType": "s3-credentials",
        "value": '{"region":"eu","accessKeyId":"A","secretAccessKey":"B"}',
    },
    "encryption-key": {"type": "secret", "name": "enc", "secretType": "encryption-key", "value": PEM},
    "api-key": {"type": "secret", "name": "geo", "secretType": "api-key", "value": "AIza"},
    "plain": {"type": "secret", "name": "word", "secretType": "plain", "value": "with\nlines \u2028 \U0001f512"},
}


@pytest.fixture
def lab() -> Iterator[Lab]:
    require("node")
    with Lab() as made:
        yield made


def send(host: Host, payload: Payload, *, code: str = CODE, to: str | None = None) -> tuple[Ending, FakeSendControl]:
    """Keybaton sends from `host`."""

    async def main() -> tuple[Ending, FakeSendControl]:
        discovery = UdpDiscovery(PsutilInterfaces())
        driver = PhotosphereSend(clock=SystemClock(), discovery=discovery, transport=TlsTransport())
        control = FakeSendControl()
        return await driver.run(SendJob(payload, code, to, timeout=15), control), control

    with host.inside():
        return asyncio.run(main())


def receive(host: Host, peer: PhotosphereProcess, *, code: str = CODE, timeout: float = 15) -> FakeReceiveControl:
    """Keybaton receives on `host` once the peer listens."""
    peer.event("listening")

    async def main() -> FakeReceiveControl:
        interfaces = PsutilInterfaces()
        driver = PhotosphereReceive(
            clock=SystemClock(),
            discovery=UdpDiscovery(interfaces),
            transport=TlsTransport(),
            interfaces=interfaces,
        )
        control = FakeReceiveControl(code)
        await driver.run(ReceiveJob(timeout=timeout), control)
        return control

    with host.inside():
        return asyncio.run(main())


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_keybaton_hands_everything_to_a_photosphere_receiver(lab: Lab, version: str) -> None:
    """Every payload arrives as the same JSON value, with a length, over either TLS, without a server name."""
    left, right = lab.host("left"), lab.host("right")
    for payload in PAYLOADS.values():
        with PhotosphereProcess.receiver(CODE, prefix=right.prefix, maxVersion=version) as peer:
            peer.event("listening")
            ending, control = send(left, decode_payload(payload))
            done = peer.event("done")
        assert ending.state is State.SAVED
        assert done["outcome"] == "received"
        assert done["payload"] == payload
        assert done["headers"]["type"] == "application/json"
        assert int(done["headers"]["length"]) > 0
        assert done["tls"]["version"] == version
        assert not done["tls"].get("servername")
        assert (control.peer_address or "").startswith(right.addresses[0])
        if version == "TLSv1.2":
            break  # the payloads do not depend on it


@pytest.mark.parametrize(
    "how",
    [{}, {"oneConnection": True}, {"maxVersion": "TLSv1.2"}, {"checks": False}],
    ids=["two connections", "one connection", "TLS 1.2", "a runtime that checks nothing"],
)
def test_a_photosphere_sender_hands_a_database_to_keybaton(lab: Lab, how: dict[str, Any]) -> None:
    """In each manner that real senders have."""
    left, right = lab.host("left"), lab.host("right")
    with PhotosphereProcess.sender(CODE, DATABASE, prefix=left.prefix, **how) as peer:
        control = receive(right, peer)
        done = peer.event("done")
    assert control.payload == decode_payload(DATABASE)
    assert done["outcome"] == "delivered"
    assert done["posted"]["body"] == '{"success":true}'
    assert done["posted"]["type"].startswith("application/json")
    assert (control.peer_address or "").startswith(left.addresses[0])


def test_a_photosphere_sender_hands_secrets_of_all_four_types_to_keybaton(lab: Lab) -> None:
    """And a database without anything optional."""
    left, right = lab.host("left"), lab.host("right")
    for payload in list(PAYLOADS.values())[1:]:
        with PhotosphereProcess.sender(CODE, payload, prefix=left.prefix) as peer:
            control = receive(right, peer)
            assert peer.event("done")["outcome"] == "delivered"
        assert control.payload == decode_payload(payload)


def test_both_on_one_machine_without_any_network(lab: Lab) -> None:
    """Loopback alone: no default route, no interface."""
    host = lab.host("only", networks=())
    with PhotosphereProcess.receiver(CODE, prefix=host.prefix) as peer:
        peer.event("listening")
        ending, _ = send(host, decode_payload(DATABASE))
        assert peer.event("done")["payload"] == DATABASE
    assert ending.state is State.SAVED
    with PhotosphereProcess.sender(CODE, DATABASE, prefix=host.prefix) as peer:
        control = receive(host, peer)
        assert peer.event("done")["outcome"] == "delivered"
    assert control.payload == decode_payload(DATABASE)


def test_a_receiver_with_two_subnets_and_no_default_route_is_heard_in_both(lab: Lab) -> None:
    """Where the real one, which broadcasts by the default route alone, is not."""
    middle = lab.host("middle", networks=("one", "two"), default_route=False)
    for network in ("one", "two"):
        outside = lab.host(f"in-{network}", networks=(network,))
        with PhotosphereProcess.sender(CODE, DATABASE, prefix=outside.prefix) as peer:
            control = receive(middle, peer)
            assert peer.event("done")["outcome"] == "delivered"
        assert control.payload == decode_payload(DATABASE)


def test_a_wrong_code_sends_nothing_in_either_direction(lab: Lab) -> None:
    """Keybaton as the sender stops at the hash; a real sender does, and the receiver says what it saw."""
    left, right = lab.host("left"), lab.host("right")
    with PhotosphereProcess.receiver("9999", prefix=right.prefix, wait=5) as peer:
        peer.event("listening")
        with pytest.raises(ShareFailed) as failed:
            send(left, decode_payload(DATABASE))
        assert failed.value.reason is ShareReason.WRONG_CODE
        assert peer.event("done")["outcome"] == "nobody-came"
    with PhotosphereProcess.sender("9999", DATABASE, prefix=left.prefix) as peer:
        with pytest.raises(ShareFailed) as failed:
            receive(right, peer, timeout=4)
        assert failed.value.reason is ShareReason.EXPIRED
        assert "mistyped" in failed.value.hint
        assert peer.event("done")["outcome"] == "not-the-right-receiver"


def test_a_named_receiver_is_reached_without_hearing_it(lab: Lab) -> None:
    """`--to HOST:PORT` past a network that carries no broadcasts."""
    left, right = lab.host("left"), lab.host("right", networks=("elsewhere",))
    lab.route()
    with PhotosphereProcess.receiver(CODE, prefix=right.prefix) as peer:
        port = peer.event("listening")["port"]
        ending, _ = send(left, decode_payload(DATABASE), to=f"{right.addresses[0]}:{port}")
        assert peer.event("done")["payload"] == DATABASE
    assert ending.state is State.SAVED


def test_two_real_receivers_at_once_stop_the_send(lab: Lab) -> None:
    """Two certificates: one of them may be a stranger's."""
    left, right, third = lab.host("left"), lab.host("right"), lab.host("third")
    with (
        PhotosphereProcess.receiver(CODE, prefix=right.prefix) as one,
        PhotosphereProcess.receiver(CODE, prefix=third.prefix) as other,
    ):
        one.event("listening")
        other.event("listening")
        with pytest.raises(ShareFailed) as failed:
            send(left, decode_payload(DATABASE))
    assert failed.value.reason is ShareReason.MANY_ANNOUNCERS


def test_a_photosphere_sender_and_keybaton_listen_on_one_port(lab: Lab) -> None:
    """Both hear one receiver's broadcast; Keybaton gets the port although Photosphere has it."""
    left, right = lab.host("left"), lab.host("right")
    with PhotosphereProcess.sender("9999", DATABASE, prefix=left.prefix) as other:
        other.event("listening")
        with PhotosphereProcess.receiver(CODE, prefix=right.prefix) as peer:
            peer.event("listening")
            ending, _ = send(left, decode_payload(DATABASE))
            assert peer.event("done")["outcome"] == "received"
        assert other.event("done")["outcome"] == "not-the-right-receiver"
    assert ending.state is State.SAVED
