"""How two drivers find each other in simulated time: datagrams, named hosts, strangers, and networks that lose things."""

from __future__ import annotations

import asyncio

import pytest

from keybaton_core.announcements import Offer, Receiver, Seek, format_receiver, parse
from keybaton_testing.fake_clock import simulate
from keybaton_testing.fake_controls import FakeReceiveControl, FakeSendControl
from keybaton_testing.fake_network import FakeEndpoint
from keybaton_testing.handoff_pair import CODE, Device, Lan, one_secret, outcome_of, reason
from keybatond.errors import ShareFailed
from keybatond.network_ports import Address
from keybatond.services.share_session import Ending, ReceiveJob, SendJob, State

SAVED = Ending(State.SAVED)


def test_lost_datagrams_only_cost_time(lan: Lan) -> None:
    """With every second datagram lost the two still meet within seconds."""
    count = iter(range(10_000))
    lan.network.lose = lambda data, source, target: next(count) % 2 == 0
    began = lan.clock.monotonic()
    assert lan.run() == (SAVED, SAVED)
    assert lan.clock.monotonic() - began < 3


def test_a_busy_discovery_port_is_survived_by_either_side(lan: Lan) -> None:
    """Somebody keeps port 54321 to himself: SEEK's answers, or RECV, still get through."""
    for deaf in ("desk", "laptop"):
        lan = Lan()
        getattr(lan, deaf).host.discovery.refuse_listen = True
        assert lan.run() == (SAVED, SAVED)


def test_a_named_host_is_asked_alone(lan: Lan) -> None:
    """With --to HOST nothing is broadcast, and nobody else's receiver is tried."""

    async def main() -> None:
        other = Device(lan.network, "10.0.0.3", "other")
        noise = asyncio.ensure_future(outcome_of(other.receive(ReceiveJob(), FakeReceiveControl("0000"))))
        lan.desk.host.transport.names["laptop.lan"] = "10.0.0.2"
        sending = asyncio.ensure_future(outcome_of(lan.desk.send(lan.job(to="laptop.lan"), lan.sender)))
        await lan.clock.sleep(5)  # the other one announces itself meanwhile
        assert lan.desk.host.endpoints
        assert all(to is not None for endpoint in lan.desk.host.endpoints for _, _, to in endpoint.sent)
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(), lan.receiver)))
        assert await sending == SAVED
        assert await receiving == SAVED
        assert {to.host for _, to in lan.desk.host.transport.connects} == {"10.0.0.2"}
        noise.cancel()
        await asyncio.gather(noise, return_exceptions=True)

    simulate(lan.clock, main())


def test_a_named_host_and_port_need_no_datagrams(lan: Lan) -> None:
    """With --to HOST:PORT the certificate is taken as it is: the code vouches for it."""
    senders: set[str] = set()

    def lose(data: bytes, source: str, target: str) -> bool:
        senders.add(source)
        return True

    async def main() -> None:
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(), lan.receiver)))
        await lan.clock.sleep(1)
        assert await lan.desk.send(lan.job(to=lan.receiver.addresses[0]), lan.sender) == SAVED
        assert await receiving == SAVED

    lan.network.lose = lose
    simulate(lan.clock, main())
    assert senders == {"10.0.0.2"}  # the receiver alone announces itself


def test_a_mistyped_code_under_a_named_port_is_corrected_under_the_next(lan: Lan) -> None:
    """The new certificate has a new port: the named host is asked for it."""
    lan.receiver = FakeReceiveControl("1111", CODE, known=False, pause=lambda: lan.clock.sleep(2))

    async def main() -> None:
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(), lan.receiver)))
        await lan.clock.sleep(1)
        assert await lan.desk.send(lan.job(to=lan.receiver.addresses[0]), lan.sender) == SAVED
        assert await receiving == SAVED

    simulate(lan.clock, main())


@pytest.mark.parametrize("to", ["nowhere.lan", "10.0.0.99", "host:99999", "a b"])
def test_a_host_that_is_none_fails_at_once(lan: Lan, to: str) -> None:
    """A name that does not resolve, or is no name."""

    async def main() -> str:
        return reason(await outcome_of(lan.desk.send(lan.job(to=to), lan.sender)))

    began = lan.clock.monotonic()
    assert simulate(lan.clock, main()) == "network"
    assert lan.clock.monotonic() - began < 4


async def announce_forever(lan: Lan, datagram: bytes) -> None:
    endpoint = FakeEndpoint(lan.network.host("10.0.0.9"), 9999)
    while True:
        await endpoint.broadcast(datagram)
        await lan.clock.sleep(1)


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"PSIE_RECV:4000:" + b"ab" * 32, "photosphere-only"),
        (b"KEYBATON/2 RECV 4000 whatever", "wrong-version"),
        (format_receiver(4000, bytes(32), None), "no-peer"),
    ],
)
def test_foreign_or_dead_announcements_are_named_at_the_end(lan: Lan, datagram: bytes, why: str) -> None:
    """Only Photosphere, only another version, only dead ports."""

    async def main() -> ShareFailed:
        noise = asyncio.ensure_future(announce_forever(lan, datagram))
        sent = await outcome_of(lan.desk.send(lan.job(timeout=20), lan.sender))
        noise.cancel()
        assert isinstance(sent, ShareFailed)
        return sent

    failed = simulate(lan.clock, main())
    assert failed.reason.value == why
    assert ("--photosphere" in failed.hint) == (why == "photosphere-only")


@pytest.mark.parametrize(
    ("also", "timeout", "told"),
    [
        (b"", 2.9, []),
        (b"", 4, [True]),
        (b"KEYBATON/2 RECV 4000 whatever", 20, []),
        (format_receiver(4000, bytes(32), None), 20, []),
    ],
    ids=["not at once", "after a moment", "with another version", "with a dead one of ours"],
)
def test_a_sender_that_hears_only_photosphere_says_so_while_it_waits(
    lan: Lan, also: bytes, timeout: float, told: list[bool]
) -> None:
    """The person learns of it before the time is over; not when there is somebody else, nor before ours could answer."""

    async def main() -> None:
        heard = [b"PSIE_RECV:4000:" + b"ab" * 32, also]
        noise = [asyncio.ensure_future(announce_forever(lan, datagram)) for datagram in heard if datagram]
        await outcome_of(lan.desk.send(lan.job(timeout=timeout), lan.sender))
        for task in noise:
            task.cancel()

    simulate(lan.clock, main())
    assert lan.sender.only_photosphere[:1] == told


def test_a_receiver_of_ours_that_comes_later_is_met_as_ever(lan: Lan) -> None:
    """What was said of Photosphere is taken back, and nothing was spoken with it."""
    sent, received = lan.run(receive_after=6, beside=lambda: announce_forever(lan, b"PSIE_RECV:4000:" + b"ab" * 32))
    assert sent == received == Ending(State.SAVED)
    assert lan.sender.only_photosphere[0] is True


def test_too_many_announcers_are_said_to_be_too_many(lan: Lan) -> None:
    """When turns ran out before candidates did."""

    async def flood() -> None:
        number = 0
        for host in range(200):
            lan.network.silent |= {(f"10.0.1.{host}", port) for port in range(1, 40)}
        while True:
            for _ in range(200):
                number += 1
                source = Address(f"10.0.1.{number % 200}", 1)
                datagram = format_receiver(number // 200 % 39 + 1, number.to_bytes(32, "big"), None)
                lan.network.broadcast(datagram, source)
            await lan.clock.sleep(0.5)

    async def main() -> str:
        noise = asyncio.ensure_future(flood())
        sent = await outcome_of(lan.desk.send(lan.job(timeout=10), lan.sender))
        noise.cancel()
        return reason(sent)

    assert simulate(lan.clock, main()) == "many-announcers"


def test_two_pairs_at_once_do_not_spend_each_others_guesses() -> None:
    """Four devices, two codes; receivers that were started from an offer name it, and both shares go through."""
    lan = Lan()

    async def main() -> None:
        a, b, c, d = (Device(lan.network, f"10.0.0.{n}", f"d{n}") for n in (11, 12, 13, 14))
        controls = [FakeSendControl(), FakeSendControl()]
        ear = FakeEndpoint(lan.network.host("10.0.0.50"), 54321)
        first = asyncio.ensure_future(outcome_of(a.send(lan.job("1111"), controls[0])))
        await lan.clock.sleep(0.001)
        one = await _next_offer(ear)
        second = asyncio.ensure_future(outcome_of(b.send(lan.job("2222"), controls[1])))
        await lan.clock.sleep(0.001)
        two = await _next_offer(ear, but=one)
        third = asyncio.ensure_future(outcome_of(c.receive(ReceiveJob(offer_nonce=one), FakeReceiveControl("1111"))))
        fourth = asyncio.ensure_future(outcome_of(d.receive(ReceiveJob(offer_nonce=two), FakeReceiveControl("2222"))))
        assert await asyncio.gather(first, second, third, fourth) == [SAVED] * 4
        assert controls[0].guesses_left in (None, 3) and controls[1].guesses_left in (None, 3)

    simulate(lan.clock, main())


async def _next_offer(ear: FakeEndpoint, but: str = "") -> str:
    while True:
        heard = parse((await ear.receive())[0])
        if isinstance(heard, Offer) and heard.nonce != but:
            return heard.nonce


def test_a_sender_leaves_its_own_agents_receiver_alone(lan: Lan) -> None:
    """Sending and receiving at once on one device: they do not meet."""

    async def main() -> None:
        receiving = asyncio.ensure_future(outcome_of(lan.desk.receive(ReceiveJob(), lan.receiver)))
        await lan.clock.sleep(0.1)
        own = frozenset(lan.receiver.fingerprints)
        job = SendJob(one_secret(), CODE, None, 5, own)
        assert reason(await outcome_of(lan.desk.send(job, lan.sender))) == "no-peer"
        assert lan.desk.host.transport.connects == []
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)

    simulate(lan.clock, main())


def test_datagrams_go_out_at_their_times(lan: Lan) -> None:
    """SEEK at 0, 20, 60, 140, 300, 620 ms and then each second; RECV at once and each second, and in answer to SEEK."""
    ear: list[FakeEndpoint] = []

    async def main() -> None:
        ear.append(FakeEndpoint(lan.network.host("10.0.0.50"), 54321))
        await asyncio.gather(
            outcome_of(lan.desk.send(lan.job(timeout=4), lan.sender)),
            outcome_of(lan.laptop.receive(ReceiveJob(timeout=4), FakeReceiveControl(known=False))),
        )

    seeks: list[float] = []
    recvs: list[float] = []
    began = lan.clock.monotonic()
    lan.network.lose = lambda data, source, target: _note(lan, data, target, seeks, recvs, began)
    simulate(lan.clock, main())
    assert seeks == pytest.approx([0, 0.02, 0.06, 0.14, 0.3, 0.62, 1.62, 2.62, 3.62])
    assert recvs[:4] == pytest.approx([0, 1, 2, 3])


def _note(lan: Lan, data: bytes, target: str, seeks: list[float], recvs: list[float], began: float) -> bool:
    heard = parse(data)
    if target == "10.0.0.50" and isinstance(heard, Seek | Receiver):
        (seeks if isinstance(heard, Seek) else recvs).append(lan.clock.monotonic() - began)
    return False


@pytest.mark.parametrize(("hosts", "each"), [(30, 20), (1, 8)])
def test_a_flood_of_questions_gets_twenty_answers_a_second_and_one_host_eight(lan: Lan, hosts: int, each: int) -> None:
    """The receiver cannot be used to multiply traffic; after a second it answers again."""

    async def main() -> list[int]:
        receiving = asyncio.ensure_future(outcome_of(lan.laptop.receive(ReceiveJob(timeout=5), lan.receiver)))
        await lan.clock.sleep(0.5)
        answers = []
        for _ in range(2):
            for number in range(200):
                source = Address(f"10.0.0.{20 + number % hosts}", 5000)
                lan.network.deliver(b"KEYBATON/1 SEEK " + b"ab" * 16, source, "10.0.0.2", 54321, to_all=True)
            await lan.clock.sleep(1.01)
            (endpoint,) = lan.laptop.host.endpoints
            answers.append(sum(1 for _, _, to in endpoint.sent if to is not None))
        await receiving
        return answers

    assert simulate(lan.clock, main()) == [each, 2 * each]
