"""Connections that are cut once the payload is on its way: each end says what it knows, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from keybaton_core import handoff_messages as wire
from keybaton_core.announcements import format_receiver
from keybaton_core.payload import Payload
from keybaton_testing.fake_clock import simulate
from keybaton_testing.fake_controls import FakeReceiveControl
from keybaton_testing.fake_network import FakeConnection
from keybaton_testing.handoff_pair import CODE, Lan, Outcome, outcome_of
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Reply
from keybatond.services.share_session import Ending, ReceiveJob, State

SAVED = Ending(State.SAVED)


class Cut:
    """Breaks the connection at the payload: before it arrives, or after it has and before its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, arrives: bool) -> None:
        self.done = False
        request = FakeConnection.request

        async def broken(connection: FakeConnection, method: str, path: str, *more: object, **named: object) -> Reply:
            if path != wire.PAYLOAD_PATH or self.done:
                return await request(connection, method, path, *more, **named)  # type: ignore[arg-type]
            self.done = True
            if arrives:
                await request(connection, method, path, *more, **named)  # type: ignore[arg-type]
            connection.cut()
            raise ShareFailed(ShareReason.PEER_GONE)

        monkeypatch.setattr(FakeConnection, "request", broken)


def test_an_answer_that_is_lost_is_fetched_over_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The payload had arrived: saved, at both ends."""
    cut = Cut(monkeypatch, arrives=True)
    assert Lan().run() == (SAVED, SAVED)
    assert cut.done


def test_a_payload_that_was_lost_is_said_not_to_have_been_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver says on the new connection that it has nothing; it is told so at once, and nothing is reviewed."""
    lan = Lan()
    Cut(monkeypatch, arrives=False)
    began = lan.clock.monotonic()

    async def main() -> Outcome:
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(), lan.receiver)))
        sent = await outcome_of(lan.desk.send(lan.job(), lan.sender))
        assert lan.clock.monotonic() - began < 1
        assert lan.receiver.guesses_left == 2  # it cannot know that this was its sender
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        return sent

    sent = simulate(lan.clock, main())
    assert isinstance(sent, ShareFailed)
    assert (sent.reason.value, lan.receiver.payload) == ("peer-gone", None)
    assert "Nothing was saved" in sent.hint


def two_addresses(lan: Lan, *, other: str = "10.0.0.22") -> None:
    """The receiver's announcements come from a second address as well."""
    broadcast = lan.network.broadcast

    def both(data: bytes, source: Address) -> int:
        if source.host == "10.0.0.2" and b" RECV " in data:
            broadcast(data, Address(other, source.port))
        return broadcast(data, source)

    lan.network.broadcast = both  # type: ignore[method-assign]


def pulled(lan: Lan, *, elsewhere: bool, until_saved: float) -> Ending | ShareFailed:
    """The sender's end where the address in use goes dead during the review; `elsewhere`: the other one serves."""
    two_addresses(lan)

    async def review(payload: Payload) -> Ending:
        (server,) = lan.laptop.host.servers.values()
        here, there = ("10.0.0.2", server.port), ("10.0.0.22", server.port)
        lan.network.moved = {here: ("10.0.0.99", 1), there: here if elsewhere else ("10.0.0.99", 1)}
        for connection in list(server.connections):
            connection.cut()
        await lan.clock.sleep(until_saved)
        return SAVED

    lan.receiver = FakeReceiveControl(CODE, known=False, pause=lambda: lan.clock.sleep(2), decide=review)
    sent, received = lan.run()
    assert received == SAVED
    return sent


@pytest.mark.parametrize("until_saved", [0.0, 5.0, 100.0])
def test_a_receiver_is_found_again_at_another_address_that_was_announced(until_saved: float) -> None:
    """A cable is pulled, the other network still reaches it: the receipt is fetched there, and that address is shown."""
    lan = Lan()
    assert pulled(lan, elsewhere=True, until_saved=until_saved) == SAVED
    assert str(lan.sender.peer_address).startswith("10.0.0.22:")


def test_a_receipt_that_cannot_be_fetched_is_said_to_be_missing() -> None:
    """The receiver has saved it; the sender says that this may be so, with a reason of its own."""
    sent = pulled(Lan(), elsewhere=False, until_saved=0.0)
    assert isinstance(sent, ShareFailed)
    assert sent.reason is ShareReason.UNCONFIRMED
    assert "may have been saved" in sent.hint


def test_copies_of_the_certificate_elsewhere_do_not_delay_the_receipt() -> None:
    """Addresses that swallow everything are tried beside the real one, and never asked anything."""
    lan = Lan()

    async def copy() -> None:
        while not lan.receiver.fingerprints:
            await lan.clock.sleep(0.01)
        for number in range(30):
            lan.network.silent.add((f"10.0.1.{number}", 9))
            datagram = format_receiver(9, lan.receiver.fingerprints[-1], None)
            lan.network.broadcast(datagram, Address(f"10.0.1.{number}", 1))
        await asyncio.sleep(1000)

    times: list[float] = []

    async def review(payload: Payload) -> Ending:
        (server,) = lan.laptop.host.servers.values()
        for connection in list(server.connections):
            connection.cut()
        times.append(lan.clock.monotonic())
        return SAVED

    lan.receiver = FakeReceiveControl(CODE, known=False, pause=lambda: lan.clock.sleep(5), decide=review)
    assert lan.run(beside=copy) == (SAVED, SAVED)
    assert lan.clock.monotonic() - times[0] < 1


def test_an_outcome_that_was_said_into_a_dead_connection_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cable is pulled: the receiver's answer goes nowhere, which it cannot see, and the sender comes back for it."""
    request = FakeConnection.request
    dead: list[FakeConnection] = []

    async def deaf(connection: FakeConnection, method: str, path: str, *more: object, **named: object) -> Reply:
        reply = await request(connection, method, path, *more, **named)  # type: ignore[arg-type]
        if path.startswith(wire.OUTCOME_PATH) and not dead:
            dead.append(connection)
            monkeypatch.setattr(connection, "cut", lambda: None)  # nor does its end arrive
            await lan.clock.sleep(11)
            raise ShareFailed(ShareReason.PEER_GONE)
        return reply

    lan = Lan()
    monkeypatch.setattr(FakeConnection, "request", deaf)
    assert lan.run() == (SAVED, SAVED)
    assert dead
