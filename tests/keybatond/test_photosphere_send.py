"""The sending role of the Photosphere protocol on a network in memory, against scripted receivers and our own."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from keybaton_core.photosphere_wire import format_share
from keybaton_testing.fake_controls import FakeSendControl
from keybaton_testing.photosphere_lab import (
    CODE,
    HASH,
    ScriptedReceiver,
    announce,
    payload,
    reason_of,
    send_to,
)
from keybaton_testing.photosphere_lab import PhotosphereLab as Lab
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Response
from keybatond.services import photosphere_send
from keybatond.services.share_session import Ending, State


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_database_goes_from_one_keybaton_to_another(lab: Lab) -> None:
    """Both sides end with saved; the sender's hint does not claim more than delivery; states follow the table."""

    async def main() -> tuple[Ending, Ending]:
        receiving = asyncio.ensure_future(lab.receive())
        sent = await lab.send()
        return sent, await receiving

    sent, received = lab.run(main)  # type: ignore[misc]
    assert sent.state is State.SAVED
    assert "does not say" in sent.hint
    assert received.state is State.SAVED
    assert lab.receive_control.payload == payload()
    assert lab.send_control.states == [State.SEEKING, State.CONNECTED, State.AUTHENTICATED, State.DELIVERED]
    assert lab.receive_control.peer_address is not None and lab.receive_control.peer_address.startswith("10.0.0.1")
    assert (lab.send_control.peer_address or "").startswith("10.0.0.2:")


@pytest.mark.parametrize("more", [0, 1])
def test_what_is_longer_than_a_receiver_reads_is_not_sent(lab: Lab, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    """The limit itself is."""
    monkeypatch.setattr(photosphere_send, "BODY_MAX_BYTES", len(format_share(CODE, payload())) - more)
    receiver = ScriptedReceiver()
    ended = lab.run(lambda: send_to(lab, (lab.right, receiver)))
    if more:
        assert reason_of(ended) is ShareReason.PAYLOAD_TOO_LARGE  # type: ignore[arg-type]
        assert receiver.asked == []
    else:
        assert isinstance(ended, Ending)


# --- the sender against scripted receivers ------------------------------------------------------------------------------


def test_the_sender_asks_for_the_hash_and_posts_exactly_the_two_members(lab: Lab) -> None:
    """Byte for byte what a real receiver reads."""
    receiver = ScriptedReceiver()
    lab.run(lambda: send_to(lab, (lab.right, receiver)))
    assert [asked for asked, _ in receiver.asked] == ["GET /pairing-code-hash", "POST /share-payload"]
    assert json.loads(receiver.asked[1][1]) == {
        "codeHash": HASH,
        "payload": {
            "type": "database", "name": "photos", "description": "mine", "path": "s3:bucket",
            "s3Credentials": {
                "name": "bucket", "region": "eu-west-1", "accessKeyId": "AKIA", "secretAccessKey": "hush",
                "endpoint": "https://s3.example",
            },
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("get", "reason"),
    [
        (Response(404, b'{"error":"Not found"}'), ShareReason.PEER_GONE),
        (Response(429, b'{"error":"Too many requests"}'), ShareReason.PEER_GONE),
        (
            Response(200, b'{"codeHash":"' + hashlib.sha256(b"9999").hexdigest().encode() + b'"}'),
            ShareReason.WRONG_CODE,
        ),
        (Response(200, b'{"codeHash":"' + HASH.upper().encode() + b'"}'), ShareReason.PEER_GONE),
        (Response(200, b'{"codeHash":7}'), ShareReason.PEER_GONE),
        (Response(200, b"[]"), ShareReason.PEER_GONE),
        (Response(200, b"nonsense"), ShareReason.PEER_GONE),
        (Response(200, b"x" * 5000), ShareReason.PEER_GONE),
    ],
)
def test_without_the_right_hash_nothing_is_sent(lab: Lab, get: Response, reason: ShareReason) -> None:
    """The payload never leaves."""
    receiver = ScriptedReceiver(get=get)
    ended = lab.run(lambda: send_to(lab, (lab.right, receiver)))
    assert reason_of(ended) is reason  # type: ignore[arg-type]
    assert [asked for asked, _ in receiver.asked] == ["GET /pairing-code-hash"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, ShareReason.WRONG_CODE),
        (400, ShareReason.PAYLOAD_INVALID),
        (413, ShareReason.PAYLOAD_TOO_LARGE),
        (429, ShareReason.GUESSES_USED_UP),
        (404, ShareReason.PEER_GONE),
        (500, ShareReason.PEER_GONE),
        (204, ShareReason.PEER_GONE),
    ],
)
def test_any_other_answer_to_the_payload_is_a_failure(lab: Lab, status: int, reason: ShareReason) -> None:
    """Only 200 is delivered."""
    ended = lab.run(lambda: send_to(lab, (lab.right, ScriptedReceiver(post=Response(status, b"{}")))))
    assert reason_of(ended) is reason  # type: ignore[arg-type]


def test_a_receiver_that_stalls_ends_the_send_in_its_time(lab: Lab) -> None:
    """10 s for the hash."""
    receiver = ScriptedReceiver(delay=11)
    ended = lab.run(lambda: send_to(lab, (lab.right, receiver)))
    assert reason_of(ended) is ShareReason.PEER_GONE  # type: ignore[arg-type]
    assert lab.clock.monotonic() - 1000 == pytest.approx(12.1, abs=0.2)


def test_two_announced_certificates_stop_the_send(lab: Lab) -> None:
    """Within two seconds, with nothing asked of either."""
    receivers = [(lab.right, ScriptedReceiver()), (lab.third, ScriptedReceiver())]
    ended = lab.run(lambda: send_to(lab, *receivers))
    assert reason_of(ended) is ShareReason.MANY_ANNOUNCERS  # type: ignore[arg-type]
    assert [receiver.asked for _, receiver in receivers] == [[], []]
    assert lab.send_control.candidates == 2


def test_copies_of_one_announcement_are_normal(lab: Lab) -> None:
    """The same certificate from a second address, where nobody serves: the next address is tried."""
    receiver = ScriptedReceiver()

    async def main() -> BaseException | Ending:
        server = await lab.right.transport.serve(receiver, common_name="x", legacy=True)
        tasks = [
            asyncio.ensure_future(announce(lab, lab.third, server.port, server.fingerprint, after=0.05)),
            asyncio.ensure_future(announce(lab, lab.right, server.port, server.fingerprint)),
        ]
        ended = await lab.send()
        for task in tasks:
            task.cancel()
        return ended

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]
    assert lab.send_control.candidates == 1


def test_refused_datagrams_are_ignored_and_listening_goes_on(lab: Lab) -> None:
    """Junk before the real announcement changes nothing."""
    junk = [b"", b"PSIE_RECV:0:" + b"a" * 64, b"PSIE_RECV:65536:" + b"a" * 64, b"PSIE_RECV:1:" + b"A" * 64, b"x" * 500]

    async def main() -> BaseException | Ending:
        endpoint = await lab.third.discovery.solicit()
        sending = asyncio.ensure_future(send_to(lab, (lab.right, ScriptedReceiver())))
        for data in junk:
            await endpoint.broadcast(data)
        return await sending

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]


def test_without_a_receiver_the_send_ends_after_a_minute(lab: Lab) -> None:
    """`no-peer` after 60 s."""
    with pytest.raises(ShareFailed) as failed:
        lab.run(lab.send)
    assert failed.value.reason is ShareReason.NO_PEER
    assert lab.clock.monotonic() - 1000 == pytest.approx(60, abs=0.1)


def test_a_sender_that_hears_only_a_keybaton_receiver_says_so(lab: Lab) -> None:
    """The way out is in the hint."""

    async def main() -> Ending:
        endpoint = await lab.third.discovery.solicit()
        sending = asyncio.ensure_future(lab.send())
        await lab.clock.sleep(1)
        await endpoint.broadcast(b"KEYBATON/1 RECV 4000 " + b"a" * 64)
        return await sending

    with pytest.raises(ShareFailed) as failed:
        lab.run(main)
    assert "Keybaton receiver" in failed.value.hint


def test_our_own_receivers_are_no_candidates(lab: Lab) -> None:
    """An agent may receive and send at once."""

    async def main() -> Ending:
        server = await lab.left.transport.serve(ScriptedReceiver(), common_name="x", legacy=True)
        announcing = asyncio.ensure_future(announce(lab, lab.left, server.port, server.fingerprint))
        try:
            return await lab.send(own_receivers=frozenset({server.fingerprint}))
        finally:
            announcing.cancel()

    with pytest.raises(ShareFailed) as failed:
        lab.run(main)
    assert failed.value.reason is ShareReason.NO_PEER


def test_a_named_peer_is_connected_to_without_any_announcement(lab: Lab) -> None:
    """`--to HOST:PORT`, also where port 54321 cannot be had."""
    lab.left.discovery.refuse_listen = True

    async def main() -> Ending:
        server = await lab.right.transport.serve(ScriptedReceiver(), common_name="x", legacy=True)
        return await lab.send(to=f"10.0.0.2:{server.port}")

    assert lab.run(main).state is State.SAVED  # type: ignore[attr-defined]


def test_with_a_named_host_the_announcements_of_others_do_not_count(lab: Lab) -> None:
    """`--to HOST`: a stranger's certificate does not stop the send."""
    receivers = [(lab.right, ScriptedReceiver()), (lab.third, ScriptedReceiver())]
    ended = lab.run(lambda: send_to(lab, *receivers, to="10.0.0.2"))
    assert isinstance(ended, Ending)
    assert receivers[1][1].asked == []


def test_an_address_that_is_not_confirmed_gets_nothing(lab: Lab) -> None:
    """Not even the question for the hash."""
    lab.send_control = FakeSendControl(confirm=False)
    receiver = ScriptedReceiver()
    ended = lab.run(lambda: send_to(lab, (lab.right, receiver), confirm=True))
    assert reason_of(ended) is ShareReason.CANCELLED  # type: ignore[arg-type]
    assert receiver.asked == []


def test_a_confirmed_address_gets_the_payload_on_the_same_certificate(lab: Lab) -> None:
    """Each connection after the first is pinned to what the first one showed."""
    ended = lab.run(lambda: send_to(lab, (lab.right, ScriptedReceiver()), confirm=True))
    assert isinstance(ended, Ending)
    assert len(lab.left.transport.connects) == 3
