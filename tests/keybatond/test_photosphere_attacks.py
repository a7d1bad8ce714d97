"""What an attacker on the network still gets from a Photosphere share, and which levers catch what.

No change within that wire format cures the attacks of the first part: the tests say so by showing them succeed. This is why
the protocol runs only when the user names it, and why the session carries a warning. The second part shows what is caught.
"""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from keybaton_core.payload import Payload
from keybaton_core.photosphere_payload import decode_payload
from keybaton_core.photosphere_wire import code_hash
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_controls import FakeReceiveControl, FakeSendControl
from keybaton_testing.fake_network import FakeHost
from keybaton_testing.photosphere_lab import CODE, PhotosphereLab, ScriptedReceiver, announce, payload, reason_of
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Response
from keybatond.services.share_session import Ending, State

EVIL = {"type": "secret", "name": "bucket", "secretType": "plain", "value": "the attacker's"}
ALL_CODES = {code_hash(f"{number:04}"): f"{number:04}" for number in range(10_000)}


@pytest.fixture
def lab() -> PhotosphereLab:
    return PhotosphereLab()


async def ask_hash(lab: PhotosphereLab) -> str:
    """What anyone on the network may ask the receiver for."""
    connection = await lab.connect()
    reply = await connection.request("GET", "/pairing-code-hash", None, timeout=5)
    return str(json.loads(reply.body)["codeHash"])


async def pose(lab: PhotosphereLab, given: str) -> tuple[ScriptedReceiver, asyncio.Task[None]]:
    """The attacker announces itself from the third host, and answers with the hash that it was `given`."""
    false = ScriptedReceiver(get=Response(200, json.dumps({"codeHash": given}).encode()))
    server = await lab.third.transport.serve(false, common_name="Photosphere LAN Share", legacy=True)
    announcing = asyncio.ensure_future(announce(lab, lab.third, server.port, server.fingerprint))
    return false, announcing


def stolen(false: ScriptedReceiver) -> Payload | None:
    """The payload that the attacker was handed."""
    bodies = [body for asked, body in false.asked if asked.startswith("POST")]
    return decode_payload(json.loads(bodies[0])["payload"]) if bodies else None


# --- what still succeeds ------------------------------------------------------------------------------------------------


def test_succeeds_a_stranger_inverts_the_hash_and_delivers_a_payload(lab: PhotosphereLab) -> None:
    """Four digits fall to a table of 10,000; the POST needs the hash alone, so the code was not even needed."""

    async def main() -> tuple[str, Ending]:
        receiving = asyncio.ensure_future(lab.receive())
        given = await ask_hash(lab)
        body = json.dumps({"codeHash": given, "payload": EVIL}).encode()
        posting = await (await lab.connect()).request("POST", "/share-payload", body, timeout=60)
        assert posting.status == 200
        return ALL_CODES[given], await receiving

    code, ended = lab.run(main)  # type: ignore[misc]
    assert code == CODE
    assert ended.state is State.SAVED
    # What is left to the person: the review, and the address that it shows.
    assert lab.receive_control.payload == decode_payload(EVIL)
    assert (lab.receive_control.peer_address or "").startswith("10.0.0.3:")


def test_succeeds_a_relayed_hash_gets_the_payload_where_the_real_receiver_is_not_heard(lab: PhotosphereLab) -> None:
    """The attacker drops or drowns the real announcements; the sender hears one certificate, the attacker's."""
    lab.network.lose = lambda data, source, target: source == "10.0.0.2"

    async def main() -> tuple[Ending, ScriptedReceiver]:
        receiving = asyncio.ensure_future(lab.receive())
        false, announcing = await pose(lab, await ask_hash(lab))
        sent = await lab.send()
        announcing.cancel()
        receiving.cancel()
        return sent, false

    sent, false = lab.run(main)  # type: ignore[misc]
    assert sent.state is State.SAVED
    assert stolen(false) == payload()


def test_succeeds_burning_the_real_receiver_and_posing_as_it(lab: PhotosphereLab) -> None:
    """Six requests end the real one before the sender starts; then only one certificate is announced."""

    async def main() -> tuple[BaseException | None, Ending, ScriptedReceiver]:
        receiving = asyncio.ensure_future(lab.receive())
        given = await ask_hash(lab)
        connection = await lab.connect()
        for _ in range(4):
            await connection.request("GET", "/", None, timeout=5)
        assert (await connection.request("GET", "/", None, timeout=5)).status == 429
        await asyncio.wait({receiving})
        false, announcing = await pose(lab, given)
        sent = await lab.send()
        announcing.cancel()
        return receiving.exception(), sent, false

    ended, sent, false = lab.run(main)  # type: ignore[misc]
    assert sent.state is State.SAVED
    assert stolen(false) == payload()
    # The receiver at least knows that something was wrong, and says so.
    assert reason_of(ended) is ShareReason.GUESSES_USED_UP
    assert "interfering" in ended.hint


def test_succeeds_one_false_announcement_stops_a_share(lab: PhotosphereLab) -> None:
    """Anyone can deny the service: a second certificate, of a server or of none."""

    async def main() -> Ending:
        asyncio.ensure_future(lab.receive())  # noqa: RUF006
        asyncio.ensure_future(announce(lab, lab.third, 9, b"\1" * 32))  # noqa: RUF006
        return await lab.send()

    with pytest.raises(ShareFailed) as failed:
        lab.run(main)
    assert failed.value.reason is ShareReason.MANY_ANNOUNCERS


# --- what the levers catch ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attacker_first", [True, False])
def test_caught_a_relay_beside_the_real_receiver(lab: PhotosphereLab, attacker_first: bool) -> None:
    """Two certificates within two seconds: nothing is sent. The real programs handed the payload over."""

    async def main() -> tuple[BaseException | Ending, ScriptedReceiver]:
        if attacker_first:
            false, announcing = await pose(lab, code_hash(CODE))
        receiving = asyncio.ensure_future(lab.receive())
        if not attacker_first:
            false, announcing = await pose(lab, await ask_hash(lab))
        (sent,) = await asyncio.gather(lab.send(), return_exceptions=True)
        announcing.cancel()
        receiving.cancel()
        return sent, false

    sent, false = lab.run(main)  # type: ignore[misc]
    assert reason_of(sent) is ShareReason.MANY_ANNOUNCERS
    assert false.asked == []


def test_caught_a_relay_that_starts_while_the_address_is_being_confirmed(lab: PhotosphereLab) -> None:
    """The ears stay open until the payload leaves."""

    class Slow(FakeSendControl):
        def __init__(self, clock: FakeClock) -> None:
            super().__init__()
            self._clock = clock

        async def confirm_peer(self) -> bool:
            await self._clock.sleep(20)
            return True

    lab.send_control = Slow(lab.clock)

    async def main() -> BaseException | Ending:
        receiving = asyncio.ensure_future(lab.receive())
        sending = asyncio.ensure_future(lab.send(confirm=True))
        await lab.clock.sleep(10)
        _, announcing = await pose(lab, code_hash(CODE))
        (sent,) = await asyncio.gather(sending, return_exceptions=True)
        announcing.cancel()
        receiving.cancel()
        return sent

    assert reason_of(lab.run(main)) is ShareReason.MANY_ANNOUNCERS  # type: ignore[arg-type]
    assert lab.clock.monotonic() - 1000 < 12


def test_caught_a_person_who_compares_the_address(lab: PhotosphereLab) -> None:
    """The relay that is heard alone shows the attacker's address; refused, it was not even asked for the hash."""
    lab.network.lose = lambda data, source, target: source == "10.0.0.2"
    lab.send_control = FakeSendControl(confirm=False)

    async def main() -> tuple[BaseException | Ending, ScriptedReceiver]:
        false, announcing = await pose(lab, code_hash(CODE))
        (sent,) = await asyncio.gather(lab.send(confirm=True), return_exceptions=True)
        announcing.cancel()
        return sent, false

    sent, false = lab.run(main)  # type: ignore[misc]
    assert reason_of(sent) is ShareReason.CANCELLED
    assert (lab.send_control.peer_address or "").startswith("10.0.0.3:")
    assert false.asked == []


def test_caught_the_real_fingerprint_announced_from_the_attackers_address(lab: PhotosphereLab) -> None:
    """The pin: the attacker cannot show that certificate, and no byte of a request reaches it."""

    async def main() -> tuple[Ending, ScriptedReceiver]:
        receiving = asyncio.ensure_future(lab.receive())
        while not lab.receive_control.fingerprints:
            await lab.clock.sleep(0.01)
        false = ScriptedReceiver()
        server = await lab.third.transport.serve(false, common_name="x", legacy=True)
        copying = asyncio.ensure_future(
            announce(lab, lab.third, server.port, lab.receive_control.fingerprints[0], after=0)
        )
        sent = await lab.send()
        copying.cancel()
        await receiving
        return sent, false

    sent, false = lab.run(main)  # type: ignore[misc]
    assert sent.state is State.SAVED
    assert false.asked == []
    assert lab.receive_control.payload == payload()


def test_caught_a_certificate_that_changes_between_the_requests(lab: PhotosphereLab) -> None:
    """The second connection is pinned like the first: somebody who takes the address over gets nothing."""

    class Moving(ScriptedReceiver):
        async def respond(self, head: object, body: bytes) -> Response:
            answer = await super().respond(head, body)  # type: ignore[arg-type]
            lab.network.moved["10.0.0.2", real_port[0]] = ("10.0.0.3", false_port[0])
            return answer

    real_port: list[int] = []
    false_port: list[int] = []

    async def main() -> tuple[BaseException | Ending, ScriptedReceiver]:
        server = await lab.right.transport.serve(Moving(), common_name="x", legacy=True)
        real_port.append(server.port)
        false = ScriptedReceiver()
        false_port.append((await lab.third.transport.serve(false, common_name="x", legacy=True)).port)
        announcing = asyncio.ensure_future(announce(lab, lab.right, server.port, server.fingerprint))
        (sent,) = await asyncio.gather(lab.send(), return_exceptions=True)
        announcing.cancel()
        return sent, false

    sent, false = lab.run(main)  # type: ignore[misc]
    assert reason_of(sent) is ShareReason.PEER_GONE
    assert false.asked == []


def test_caught_a_payload_made_to_deceive_the_review(lab: PhotosphereLab) -> None:
    """A name that turns its own direction around never reaches a person, though the hash was right."""

    async def main() -> tuple[Response, BaseException | Ending]:
        receiving = asyncio.ensure_future(lab.receive())
        evil = {**EVIL, "name": "bucket\u202egnp.exe"}
        body = json.dumps({"codeHash": await ask_hash(lab), "payload": evil}).encode()
        reply = await (await lab.connect()).request("POST", "/share-payload", body, timeout=60)
        (ended,) = await asyncio.gather(receiving, return_exceptions=True)
        return Response(reply.status, reply.body), ended

    reply, ended = lab.run(main)  # type: ignore[misc]
    assert reply.status == 400
    assert reason_of(ended) is ShareReason.PAYLOAD_INVALID
    assert lab.receive_control.payload is None


@pytest.mark.parametrize("flooders", [1, 50])
def test_caught_a_flood_of_announcements_costs_little(lab: PhotosphereLab, flooders: int) -> None:
    """Bounded memory: two certificates end the search, copies of one are kept eight times."""

    async def flood(host: FakeHost) -> None:
        endpoint = await host.discovery.solicit()
        for number in range(1, 2000):
            fingerprint = hashlib.sha256(bytes([number % flooders])).hexdigest()
            await endpoint.broadcast(f"PSIE_RECV:{number}:{fingerprint}".encode())

    async def main() -> BaseException | Ending:
        sending = asyncio.ensure_future(lab.send())
        await lab.clock.sleep(0.1)
        await flood(lab.third)
        (sent,) = await asyncio.gather(sending, return_exceptions=True)
        return sent

    expected = ShareReason.MANY_ANNOUNCERS if flooders > 1 else ShareReason.PEER_GONE
    assert reason_of(lab.run(main)) is expected  # type: ignore[arg-type]
    assert len(lab.left.transport.connects) == (0 if flooders > 1 else 8)


def test_a_stranger_who_keeps_the_post_open_cannot_hold_the_session(lab: PhotosphereLab) -> None:
    """The answer that is held back belongs to the review, which has its own limit."""

    async def decline(_: Payload) -> Ending:
        await lab.clock.sleep(500)
        return Ending(State.DECLINED)

    lab.receive_control = FakeReceiveControl(CODE, decide=decline)

    async def main() -> Ending:
        receiving = asyncio.ensure_future(lab.receive())
        body = json.dumps({"codeHash": code_hash(CODE), "payload": EVIL}).encode()
        connection = await lab.connect()
        assert (await connection.request("POST", "/share-payload", body, timeout=60)).status == 200
        hanging = await lab.third.transport.connect(
            Address("10.0.0.2", int(lab.receive_control.addresses[0].rpartition(":")[2])), fingerprint=None, timeout=5
        )
        ended = await receiving
        await hanging.close()
        return ended

    assert lab.run(main).state is State.DECLINED  # type: ignore[attr-defined]
    assert lab.clock.monotonic() - 1000 < 503
