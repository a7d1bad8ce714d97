"""Whole handoffs between two drivers in simulated time: who starts first, wrong codes, cancelling, vanishing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keybaton_core.handoff_messages import END_PATH
from keybaton_core.items import SecretBody
from keybaton_core.payload import Payload, SecretPart
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import simulate
from keybaton_testing.fake_controls import FakeReceiveControl, FakeSendControl
from keybaton_testing.fake_network import FakeConnection
from keybaton_testing.handoff_pair import CODE, Device, Lan, one_secret, outcome_of, reason
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Reply
from keybatond.services.share_session import Ending, ReceiveJob, SendJob, State

SAVED = Ending(State.SAVED)


@pytest.mark.parametrize(
    ("send_after", "receive_after"), [(0.0, 0.0), (5.0, 0.0), (0.0, 5.5), (0.01, 0.0), (0.0, 0.01)]
)
def test_a_share_is_saved_whoever_starts_first(lan: Lan, send_after: float, receive_after: float) -> None:
    """The second side's start is enough: no tick of the other's is waited for."""
    began = lan.clock.monotonic()
    assert lan.run(send_after=send_after, receive_after=receive_after) == (SAVED, SAVED)
    assert lan.receiver.payload == one_secret()
    assert lan.clock.monotonic() - began - max(send_after, receive_after) < 0.01
    assert lan.sender.states[-1] is State.DELIVERED
    assert (lan.sender.peer_name, lan.receiver.peer_name) == ("laptop", "desk")
    assert lan.receiver.addresses[0].startswith("10.0.0.2:")


def test_nothing_is_left_behind(lan: Lan) -> None:
    """No socket, server or connection outlives the share."""
    lan.run()
    for device in (lan.desk, lan.laptop):
        assert device.host.endpoints == []
        assert device.host.servers == {}


def test_the_code_may_be_typed_late(lan: Lan) -> None:
    """The receiver shows that a sender waits, and the typed code goes through at once."""
    lan.receiver = FakeReceiveControl(CODE, known=False, pause=lambda: lan.clock.sleep(30))
    began = lan.clock.monotonic()
    assert lan.run() == (SAVED, SAVED)
    assert lan.receiver.states[:3] == [State.ANNOUNCING, State.CODE_NEEDED, State.ANNOUNCING]
    assert lan.clock.monotonic() - began < 30.01


def test_a_mistyped_code_can_be_typed_again_under_a_new_certificate(lan: Lan) -> None:
    """One guess is gone at each end, and the share goes through."""
    lan.receiver = FakeReceiveControl("1111", CODE, known=False, pause=lambda: lan.clock.sleep(3))
    assert lan.run() == (SAVED, SAVED)
    assert len(set(lan.receiver.fingerprints)) == 2
    assert lan.receiver.wrong == 1
    assert (lan.sender.guesses_left, lan.receiver.guesses_left) == (2, 3 - 1)


def test_three_mistyped_codes_end_both(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both say that the guesses are used up, and the sender tells the receiver of each."""
    lan.receiver = FakeReceiveControl("1", "2", "3", CODE, known=False)
    said: list[int] = []
    request = FakeConnection.request

    async def noting(self: FakeConnection, method: str, path: str, body: bytes | None, **more: Any) -> Reply:
        reply = await request(self, method, path, body, **more)
        if path == END_PATH:
            said.append(reply.status)
        return reply

    monkeypatch.setattr(FakeConnection, "request", noting)
    sent, received = lan.run()
    assert (reason(sent), reason(received)) == ("guesses-used-up", "guesses-used-up")
    assert said == [200, 200, 200]  # the last one too, though the session has ended with it
    assert lan.receiver.payload is None


def test_a_wrong_code_that_nobody_can_correct_ends_both_within_seconds(lan: Lan) -> None:
    """Five seconds for another sender to come, then wrong-code at both ends."""
    began = lan.clock.monotonic()
    sent, received = lan.run(send=lan.job("9999"), receive=ReceiveJob(code_is_final=True))
    assert (reason(sent), reason(received)) == ("wrong-code", "wrong-code")
    assert 5 <= lan.clock.monotonic() - began < 6


def test_another_sender_with_the_right_code_comes_within_the_grace(lan: Lan) -> None:
    """A final code survives a stranger's wrong one."""

    async def main() -> None:
        other = Device(lan.network, "10.0.0.3", "other")
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(code_is_final=True), lan.receiver)))
        wrong = asyncio.ensure_future(outcome_of(other.send(lan.job("9999"), FakeSendControl())))
        await lan.clock.sleep(3)
        assert await lan.desk.send(lan.job(), lan.sender) == SAVED
        assert await receiving == SAVED
        assert isinstance(await wrong, ShareFailed)

    simulate(lan.clock, main())


def test_nobody_there(lan: Lan) -> None:
    """Each side alone ends after its time with no-peer."""
    sent, received = lan.run(send_after=100)
    assert (reason(sent), reason(received)) == ("no-peer", "no-peer")
    assert isinstance(sent, ShareFailed) and sent.hint.startswith("No receiver was heard.")


@pytest.mark.parametrize("to", ["10.0.0.2:9", "10.0.0.2"])
def test_nobody_at_the_named_address(lan: Lan, to: str) -> None:
    """Whoever has named one is told what may be wrong with the address, and not to name one."""

    async def main() -> None:
        sent = await outcome_of(lan.desk.send(lan.job(to=to), lan.sender))
        assert reason(sent) == "no-peer"
        assert isinstance(sent, ShareFailed) and sent.hint.startswith("No receiver answered where --to points.")

    simulate(lan.clock, main())


def test_a_code_that_nobody_types_expires(lan: Lan) -> None:
    """Both sides met, so it is not no-peer."""
    lan.receiver = FakeReceiveControl(known=False)
    sent, received = lan.run()
    assert (reason(sent), reason(received)) == ("expired", "expired")


def test_declined_and_how_a_conflict_was_solved_are_told(lan: Lan) -> None:
    """The sender's outcome is the receiver's."""
    for ending in (Ending(State.DECLINED), Ending(State.SAVED, "reused"), Ending(State.SAVED, "renamed")):
        lan = Lan()
        lan.receiver = FakeReceiveControl(CODE, decide=lambda _, ending=ending: _after(0, ending))  # type: ignore[misc]
        assert lan.run() == (ending, ending)


async def _after(seconds: float, ending: Ending) -> Ending:
    await asyncio.sleep(seconds)
    return ending


def test_a_long_review_is_waited_for(lan: Lan) -> None:
    """Nine minutes of looking at it, over many held requests, and the end is told at once."""
    lan.receiver = FakeReceiveControl(CODE, decide=lambda _: _after(540, SAVED))
    began = lan.clock.monotonic()
    assert lan.run() == (SAVED, SAVED)
    assert lan.clock.monotonic() - began < 541


@pytest.mark.parametrize("why", [ShareReason.STORAGE, ShareReason.LOCKED, ShareReason.CONFLICT, ShareReason.EXPIRED])
def test_a_review_that_fails_is_told_to_the_sender(lan: Lan, why: ShareReason) -> None:
    """A full disk, a device that locks mid-way, a conflict: the same reason at both ends."""

    async def fail(payload: Payload) -> Ending:
        raise ShareFailed(why)

    lan.receiver = FakeReceiveControl(CODE, decide=fail)
    sent, received = lan.run()
    assert (reason(sent), reason(received)) == (why.value, why.value)


def cancelled_after(lan: Lan, seconds: float, side: str) -> tuple[str, float]:
    """Cancels one side after `seconds`; the other's reason, and how long the cancelled one took to end."""

    async def main() -> tuple[str, float]:
        sending = asyncio.ensure_future(outcome_of(lan.desk.send(lan.job(), lan.sender)))
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(), lan.receiver)))
        await lan.clock.sleep(seconds)
        mine, other = (sending, receiving) if side == "send" else (receiving, sending)
        mine.cancel()
        began = lan.clock.monotonic()
        await asyncio.gather(mine, return_exceptions=True)
        took = lan.clock.monotonic() - began
        return reason(await other), took

    return simulate(lan.clock, main())


@pytest.mark.parametrize("side", ["send", "receive"])
def test_cancelling_during_the_review_ends_both_at_once(lan: Lan, side: str) -> None:
    """The peer is told, and neither waits for anything."""
    lan.receiver = FakeReceiveControl(CODE, decide=lambda _: _after(500, SAVED))
    began = lan.clock.monotonic()
    why, took = cancelled_after(lan, 10, side)
    assert why == "cancelled" and took <= 0.5
    assert lan.clock.monotonic() - began < 12


@pytest.mark.parametrize("side", ["send", "receive"])
def test_cancelling_before_the_code_ends_that_side_at_once(lan: Lan, side: str) -> None:
    """The other one, to whom anybody could have said so, seeks on until its time is over."""
    lan.receiver = FakeReceiveControl(known=False)
    why, took = cancelled_after(lan, 10, side)
    assert why in ("expired", "no-peer") and took <= 0.5


def test_a_receiver_with_a_payload_is_busy_for_everybody_else(lan: Lan) -> None:
    """A second sender is turned away at no cost to the first, and says why."""
    lan.receiver = FakeReceiveControl(CODE, decide=lambda _: _after(20, SAVED))

    async def main() -> None:
        other = Device(lan.network, "10.0.0.3", "other")
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(), lan.receiver)))
        sending = asyncio.ensure_future(outcome_of(lan.desk.send(lan.job(), lan.sender)))
        await lan.clock.sleep(1)
        second = SendJob(one_secret(), CODE, lan.receiver.addresses[0], 5)
        assert reason(await outcome_of(other.send(second, FakeSendControl()))) == "busy"
        assert await asyncio.gather(receiving, sending) == [SAVED, SAVED]

    simulate(lan.clock, main())


def test_a_named_host_on_this_machine_is_found_at_once(lan: Lan) -> None:
    """The sender's own ear on the shared port does not swallow the question that it asks by unicast."""

    async def main() -> float:
        receiving = asyncio.ensure_future(outcome_of(lan.desk.receive(ReceiveJob(), lan.receiver)))
        await lan.clock.sleep(0.5)
        began = lan.clock.monotonic()
        assert await lan.desk.send(lan.job(to="10.0.0.1"), lan.sender) == SAVED
        assert await receiving == SAVED
        return lan.clock.monotonic() - began

    assert simulate(lan.clock, main()) < 0.05


def test_a_receiver_that_dies_with_the_payload_leaves_nothing_known(lan: Lan) -> None:
    """The sender looks for it for a while, and then says that it may have been saved rather than a guess."""

    async def die(payload: Payload) -> Ending:
        for server in list(lan.laptop.host.servers.values()):
            await server.close()
        return await _after(1000, SAVED)

    lan.receiver = FakeReceiveControl(CODE, decide=die)

    async def main() -> None:
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(), lan.receiver)))
        began = lan.clock.monotonic()
        sent = await outcome_of(lan.desk.send(lan.job(), lan.sender))
        assert reason(sent) == "unconfirmed"
        assert lan.clock.monotonic() - began < 20
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)

    simulate(lan.clock, main())


def test_the_outcome_is_fetched_over_a_new_connection(lan: Lan) -> None:
    """A network that breaks every connection during the review does not cost the receipt."""

    async def shaken(payload: Payload) -> Ending:
        for _ in range(5):
            await lan.clock.sleep(2)
            for server in lan.laptop.host.servers.values():
                for connection in list(server.connections):
                    connection.cut()
        return SAVED

    lan.receiver = FakeReceiveControl(CODE, decide=shaken)
    assert lan.run() == (SAVED, SAVED)


def test_a_payload_over_the_limit_never_leaves(lan: Lan) -> None:
    """More than 1 MiB is refused by the sender itself, at once."""
    body = SecretBody("plain", {"value": SecretBytes(b"x" * 262_144)})
    payload = Payload(None, tuple(SecretPart(str(i), f"s{i}", body) for i in range(5)))
    sent, _ = lan.run(send=SendJob(payload, CODE, None), receive=ReceiveJob(timeout=1))
    assert reason(sent) == "payload-too-large"


def test_the_largest_payload_goes_through(lan: Lan) -> None:
    """Just under 1 MiB of plaintext fits the body's cap."""
    body = SecretBody("plain", {"value": SecretBytes(b"x" * 261_000)})
    payload = Payload(None, tuple(SecretPart(str(i), f"s{i}", body) for i in range(4)))
    assert lan.run(send=SendJob(payload, CODE, None)) == (SAVED, SAVED)
    assert lan.receiver.payload == payload


def test_the_wall_clock_may_jump(lan: Lan) -> None:
    """Somebody sets the clock back a year mid-way: nothing happens."""

    async def pause() -> None:
        lan.clock.jump_wall(-31_536_000_000)
        await lan.clock.sleep(1)

    lan.receiver = FakeReceiveControl(CODE, known=False, pause=pause)
    assert lan.run() == (SAVED, SAVED)


def test_logs_hold_no_secret(lan: Lan) -> None:
    """Neither code nor value nor device name is in any event."""
    lan.desk.host.discovery.refuse_listen = True
    lan.run()
    text = repr(lan.desk.log.events + lan.laptop.log.events)
    assert not any(word in text for word in (CODE, "nobody-else", "desk", "wifi"))
