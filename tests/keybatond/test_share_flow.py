"""Whole shares between two agents in memory: real services and drivers, both protocols, and a search of everything shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from keybaton_core.items import DatabaseBody, Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock, simulate
from keybaton_testing.fake_machine import FakeDeviceInfo, FakeEntropy, FakeLog
from keybaton_testing.fake_network import FakeNetwork
from keybaton_testing.fake_vault import FakeVault
from keybaton_testing.photosphere_lab import OneInterface
from keybatond.errors import KeybatonError, Reason
from keybatond.services.handoff_receive import HandoffReceive
from keybatond.services.handoff_send import HandoffSend
from keybatond.services.photosphere_receive import PhotosphereReceive
from keybatond.services.photosphere_send import PhotosphereSend
from keybatond.services.share_session import ENDED, ShareProtocol, State
from keybatond.services.share_view import ConflictChoice, ReviewDecision, Session, StartReceive, StartSend
from keybatond.services.shares import ShareService
from keybatond.services.vault_types import Change, PutMode

T = TypeVar("T")
VALUES = {"secretAccessKey": "hush-one", "privateKeyPem": "hush-two", "apiKey": "hush-three"}
LINKS = {"s3": "bucket", "encryptionKey": "enc", "geocodingKey": "geo"}
PHOTOS = ItemRef(ItemKind.DATABASE, "photos")


def secret(name: str, kind: str, **fields: str) -> Item:
    body = SecretBody(kind, {key: SecretBytes.from_text(value) for key, value in fields.items()})
    return Item(ItemRef(ItemKind.SECRET, name), body)


STOCK = [
    secret("bucket", "s3-credentials", region="eu", accessKeyId="AKIA", secretAccessKey=VALUES["secretAccessKey"]),
    secret("enc", "encryption-key", privateKeyPem=VALUES["privateKeyPem"]),
    secret("geo", "api-key", apiKey=VALUES["apiKey"]),
    Item(PHOTOS, DatabaseBody("mine", "s3:bucket", "laptop", LINKS)),
]


class Agent:
    """One device's shares on the network in memory."""

    def __init__(self, network: FakeNetwork, clock: FakeClock, address: str) -> None:
        host = network.host(address)
        entropy, device, interfaces = FakeEntropy(address), FakeDeviceInfo(f"device {address}"), OneInterface(host)
        self.clock = clock
        self.log = FakeLog()
        self.vault = FakeVault()
        self.seen: list[Session] = []
        net = {"clock": clock, "discovery": host.discovery, "transport": host.transport}
        more = {"entropy": entropy, "device": device, "log": self.log}
        self.shares = ShareService(
            vault=self.vault,
            clock=clock,
            entropy=entropy,
            log=self.log,
            send_drivers={
                ShareProtocol.KEYBATON: HandoffSend(**net, **more),  # type: ignore[arg-type]
                ShareProtocol.PHOTOSPHERE: PhotosphereSend(**net),  # type: ignore[arg-type]
            },
            receive_drivers={
                ShareProtocol.KEYBATON: HandoffReceive(**net, **more, interfaces=interfaces),  # type: ignore[arg-type]
                ShareProtocol.PHOTOSPHERE: PhotosphereReceive(**net, interfaces=interfaces),  # type: ignore[arg-type]
            },
        )

    async def stock(self) -> None:
        await self.vault.apply([Change(item, PutMode.CREATE) for item in STOCK])

    async def until(self, session: Session, *states: State) -> Session:
        """Watches until one of `states`; keeps all it saw."""
        async for now in self.shares.watch(session.id):
            self.seen.append(now)
            if now.state in states:
                return now
        return self.seen[-1]

    def secrets(self) -> dict[str, object]:
        return {name: item.body for (kind, name, *_), item in self.vault.items.items() if kind is ItemKind.SECRET}


class Pair:
    """A sender with a database and an empty receiver."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        network = FakeNetwork(self.clock)
        self.left, self.right = Agent(network, self.clock, "10.0.0.1"), Agent(network, self.clock, "10.0.0.2")

    async def begin(self, protocol: ShareProtocol) -> tuple[Session, Session]:
        """A send, and a receive whose payload waits for review."""
        await self.left.stock()
        sent = self.left.shares.start_send(StartSend((PHOTOS,), protocol=protocol))
        received = self.right.shares.start_receive(StartReceive(protocol=protocol))
        await self.clock.sleep(1)
        self.right.shares.provide_code(received.id, sent.code)
        return sent, await self.right.until(received, State.REVIEW)

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        async def go() -> T:
            result = await main()
            await asyncio.gather(self.left.shares.close(), self.right.shares.close())
            return result

        return simulate(self.clock, go())


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.mark.parametrize("protocol", ShareProtocol)
def test_a_database_arrives_with_its_secrets_and_nothing_secret_is_ever_shown(
    pair: Pair, protocol: ShareProtocol
) -> None:
    """Both sides say saved; logs hold neither value nor code nor name, sessions no value."""

    async def main() -> tuple[Session, Session]:
        sent, received = await pair.begin(protocol)
        after = await pair.right.shares.review(ReviewDecision(received.id, True))
        return await pair.left.until(sent, State.SAVED), after

    sent, received = pair.run(main)
    assert (sent.state, received.state) == (State.SAVED, State.SAVED)
    assert (sent.name, received.name) == ("photos", "photos")
    assert pair.right.vault.get(PHOTOS).body == STOCK[3].body
    assert pair.right.secrets() == pair.left.secrets()
    code = pair.left.seen[0].code
    logs = repr(pair.left.log.events) + repr(pair.right.log.events)
    shown = repr(pair.left.seen) + repr(pair.right.seen)
    for value in VALUES.values():
        assert value not in logs + shown
    for word in ("'photos'", "bucket", "AKIA", f"'{code}'"):
        assert word not in logs
    assert f"'{code}'" not in repr(pair.right.seen)


@pytest.mark.parametrize("protocol", ShareProtocol)
def test_a_conflict_is_asked_and_its_summary_reaches_who_can_hear_it(pair: Pair, protocol: ShareProtocol) -> None:
    """A secret that is reused, a database that is renamed; Photosphere's wire has no word for it."""

    async def main() -> tuple[Session, Session]:
        there = [*STOCK[:3], Item(PHOTOS, DatabaseBody("another", "s3:bucket", "laptop", LINKS))]
        await pair.right.vault.apply([Change(item, PutMode.CREATE) for item in there])
        sent, received = await pair.begin(protocol)
        with pytest.raises(KeybatonError) as refused:
            await pair.right.shares.review(ReviewDecision(received.id, True))
        assert refused.value.reason is Reason.CONFLICT
        decision = ReviewDecision(
            received.id, True, name="photos of the laptop", on_conflict=ConflictChoice.RENAME,
            default_choice=ConflictChoice.REUSE,
        )  # fmt: skip
        after = await pair.right.shares.review(decision)
        return await pair.left.until(sent, State.SAVED), after

    sent, received = pair.run(main)
    assert (received.state, received.conflict, received.name) == (State.SAVED, "renamed", "photos of the laptop")
    assert sent.conflict == ("renamed" if protocol is ShareProtocol.KEYBATON else "")
    assert pair.right.vault.get(PHOTOS).version == 1
    assert len(pair.right.vault.items) == 5


@pytest.mark.parametrize("choice", [ConflictChoice.ASK, ConflictChoice.REPLACE, ConflictChoice.RENAME])
def test_what_is_here_already_as_it_is_offered_is_neither_asked_about_nor_copied(
    pair: Pair, choice: ConflictChoice
) -> None:
    """The same database with the same secrets, received twice: reused whatever was chosen, and no version is written."""

    async def main() -> tuple[Session, Session]:
        await pair.right.vault.apply([Change(item, PutMode.CREATE) for item in STOCK])
        sent, received = await pair.begin(ShareProtocol.KEYBATON)
        decision = ReviewDecision(received.id, True, on_conflict=choice, default_choice=choice)
        after = await pair.right.shares.review(decision)
        return await pair.left.until(sent, State.SAVED), after

    sent, received = pair.run(main)
    assert (received.state, received.conflict, received.name) == (State.SAVED, "reused", "photos")
    assert sent.conflict == "reused"
    assert {item.version for item in pair.right.vault.items.values()} == {1}
    assert len(pair.right.vault.items) == 4


@pytest.mark.parametrize("protocol", ShareProtocol)
def test_a_declined_payload_is_declined_on_both_sides(pair: Pair, protocol: ShareProtocol) -> None:
    """And nothing is stored."""

    async def main() -> Session:
        sent, received = await pair.begin(protocol)
        await pair.right.shares.review(ReviewDecision(received.id, False))
        return await pair.left.until(sent, State.DECLINED)

    assert pair.run(main).state is State.DECLINED
    assert pair.right.vault.items == {}


@pytest.mark.parametrize("protocol", ShareProtocol)
def test_a_full_disk_is_no_success_on_either_side(pair: Pair, protocol: ShareProtocol) -> None:
    """The sender hears that it failed."""

    async def main() -> tuple[Session, Session]:
        sent, received = await pair.begin(protocol)
        pair.right.vault.fail_with = Reason.STORAGE_FULL
        with pytest.raises(KeybatonError):
            await pair.right.shares.review(ReviewDecision(received.id, True))
        return await pair.left.until(sent, State.FAILED), await pair.right.until(received, State.FAILED)

    sent, received = pair.run(main)
    assert (sent.state, received.state, received.reason) == (State.FAILED, State.FAILED, "storage")
    assert pair.right.vault.items == {}


@pytest.mark.parametrize("protocol", ShareProtocol)
def test_a_vault_that_locks_under_review_ends_both_sides_with_the_truth(pair: Pair, protocol: ShareProtocol) -> None:
    """`locked` at once here, and on a sender whose protocol has a word for it; nothing is stored."""

    async def main() -> tuple[Session, Session]:
        sent, received = await pair.begin(protocol)
        pair.right.vault.is_open = False
        pair.right.shares.lock()
        return pair.right.shares.session(received.id), await pair.left.until(sent, *ENDED)

    sent, received = pair.run(main)[::-1]
    assert (received.state, received.reason) == (State.FAILED, "locked")
    assert sent.state is State.FAILED
    if protocol is ShareProtocol.KEYBATON:
        assert sent.reason == "locked"
    assert pair.right.vault.items == {}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("protocol", ShareProtocol)
def test_cancelling_under_review_ends_both_sides(pair: Pair, protocol: ShareProtocol, side: str) -> None:
    """The cancelled side at once; a sender is told, a Photosphere receiver cannot be."""

    async def main() -> tuple[Session, Session]:
        sent, received = await pair.begin(protocol)
        if side == "right":
            cancelled = await pair.right.shares.cancel(received.id)
            other = await pair.left.until(sent, *[s for s in State if s >= State.SAVED])
        else:
            cancelled = await pair.left.shares.cancel(sent.id)
            other = pair.right.shares.session(received.id)
        return cancelled, other

    cancelled, other = pair.run(main)
    assert cancelled.state is State.CANCELLED
    if side == "right":
        assert other.state not in {State.SAVED, State.DELIVERED}
