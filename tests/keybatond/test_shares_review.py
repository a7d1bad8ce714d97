"""A received payload in a session: decided, stored or not, and what everybody hears of it."""

from __future__ import annotations

import asyncio

import pytest

from keybaton_core.items import DatabaseBody, ItemKind, ItemRef
from keybaton_core.payload import DatabasePart, Payload
from keybaton_testing.fake_vault import FakeVault
from keybaton_testing.share_world import (
    FRESH,
    INCOMING,
    SECRET,
    SlowVault,
    World,
    forever,
    offering,
    plain,
    refusal_of,
)
from keybatond.errors import KeybatonError, Reason, ShareFailed, ShareReason
from keybatond.services.share_session import (
    Ending,
    ReceiveControl,
    ReceiveJob,
    State,
)
from keybatond.services.share_view import ConflictChoice, ReviewDecision, StartReceive, StartSend
from keybatond.services.vault_types import Change


async def test_an_accepted_payload_is_stored_and_the_session_ends(world: World) -> None:
    """In one transaction; the driver learns the same."""
    endings: list[Ending] = []

    async def keeping(job: ReceiveJob, control: ReceiveControl) -> Ending:
        endings.append(await offering(INCOMING)(job, control))
        return endings[0]

    world.receiving.script = keeping
    session = world.shares.start_receive(StartReceive(code="1234"))
    await world.settle()
    writes = world.vault.writes
    decision = ReviewDecision(session.id, True, default_choice=ConflictChoice.REPLACE)
    after = await world.shares.review(decision)
    assert (after.state, after.conflict, after.name, after.reason) == (State.SAVED, "replaced", "key", "")
    assert world.vault.get(SECRET).body == plain("new")
    assert world.vault.writes == writes + 1
    await world.settle()
    assert endings == [Ending(State.SAVED, "replaced")]


async def test_reusing_writes_nothing_and_counts_as_saved(world: World) -> None:
    """The existing secret stays, version and all."""
    session = await world.in_review()
    writes = world.vault.writes
    after = await world.shares.review(ReviewDecision(session.id, True, default_choice=ConflictChoice.REUSE))
    assert (after.state, after.conflict, after.name) == (State.SAVED, "reused", "key")
    assert world.vault.writes == writes


async def test_a_missing_choice_is_a_conflict_and_the_review_goes_on(world: World) -> None:
    """With the name in the error; the next decision is taken."""
    session = await world.in_review()
    with pytest.raises(KeybatonError) as refused:
        await world.shares.review(ReviewDecision(session.id, True))
    assert refused.value.reason is Reason.CONFLICT
    assert refused.value.data["name"] == "key"
    assert world.now(session).state is State.REVIEW
    assert world.vault.get(SECRET).body == plain("hush")
    after = await world.shares.review(ReviewDecision(session.id, True, default_choice=ConflictChoice.RENAME))
    assert (after.state, after.name) == (State.SAVED, "key (2)")


async def test_what_changed_in_the_vault_meanwhile_is_a_conflict(world: World) -> None:
    """Between the plan and the write: nothing is overwritten that the person has not seen."""
    session = await world.in_review(FRESH)

    class Racing(FakeVault):
        async def apply(self, changes: list[Change]) -> list[object]:  # type: ignore[override]
            raise KeybatonError(Reason.NAME_TAKEN, name="photos")

    world.vault.apply = Racing().apply  # type: ignore[method-assign]
    assert await refusal_of(world.shares.review(ReviewDecision(session.id, True))) is Reason.CONFLICT
    assert world.now(session).state is State.REVIEW
    del world.vault.apply  # type: ignore[method-assign]
    assert (await world.shares.review(ReviewDecision(session.id, True))).state is State.SAVED


async def test_a_declined_payload_leaves_nothing(world: World) -> None:
    """Neither in the vault nor in the session."""
    session = await world.in_review()
    after = await world.shares.review(ReviewDecision(session.id, False))
    assert (after.state, after.reason) == (State.DECLINED, "declined")
    assert world.vault.get(SECRET).body == plain("hush")


@pytest.mark.parametrize(
    ("reason", "ended"),
    [
        (Reason.STORAGE_FULL, "storage"),
        (Reason.STORAGE_READ_ONLY, "storage"),
        (Reason.STORAGE_FAILED, "storage"),
        (Reason.VAULT_DAMAGED, "storage"),
        (Reason.VAULT_LOCKED, "locked"),
    ],
)
async def test_what_cannot_be_stored_ends_the_session_and_both_sides_hear_it(
    world: World, reason: Reason, ended: str
) -> None:
    """The person by the call and the session, the driver by ShareFailed; nothing is half-saved."""
    heard: list[ShareReason] = []

    async def hearing(job: ReceiveJob, control: ReceiveControl) -> Ending:
        try:
            return await offering(FRESH)(job, control)
        except ShareFailed as failed:
            heard.append(failed.reason)
            raise

    world.receiving.script = hearing
    session = world.shares.start_receive(StartReceive(code="1234"))
    await world.settle()
    before = dict(world.vault.items)
    world.vault.fail_with = reason
    assert await refusal_of(world.shares.review(ReviewDecision(session.id, True))) is reason
    await world.settle()
    assert (world.now(session).state, world.now(session).reason) == (State.FAILED, ended)
    assert "Nothing was saved" in world.now(session).hint
    assert [one.value for one in heard] == [ended]
    assert world.vault.items == before


async def test_a_payload_that_meets_a_locked_vault_ends_the_session(world: World) -> None:
    """`locked`, which the driver tells the sender."""
    world.receiving.script = offering(INCOMING)
    session = world.shares.start_receive(StartReceive())
    await world.settle()
    world.vault.is_open = False
    world.shares.provide_code(session.id, "1234")
    await world.settle()
    assert (world.now(session).state, world.now(session).reason) == (State.FAILED, "locked")


async def test_locking_ends_each_session_that_holds_values(world: World) -> None:
    """Sends, and receives under review; a receiver that still waits goes on."""
    sent = world.shares.start_send(StartSend((SECRET,)))
    reviewed = await world.in_review()
    world.shares.lock()
    await world.settle()
    for session in (sent, reviewed):
        assert (world.now(session).state, world.now(session).reason) == (State.FAILED, "locked")
    world.receiving.script = forever
    waiting = world.shares.start_receive(StartReceive())
    await world.settle()
    world.shares.lock()
    await world.settle()
    assert world.now(waiting).state is State.ANNOUNCING


@pytest.mark.parametrize("end", ["cancel", "lock", "expire", "client"])
async def test_a_transaction_that_has_begun_decides_how_the_session_ended(world: World, end: str) -> None:
    """Cancelled, locked, expired or left by its client in the middle: if it was stored, then it says saved."""
    slow = SlowVault(world.vault)
    world.shares._vault = world.vault = slow
    session = await world.in_review(FRESH)
    reviewing = asyncio.ensure_future(world.shares.review(ReviewDecision(session.id, True)))
    await world.settle()
    cancelling = None
    if end == "cancel":
        cancelling = asyncio.ensure_future(world.shares.cancel(session.id))
    elif end == "lock":
        world.shares.lock()
    elif end == "client":
        reviewing.cancel()
    else:
        await world.clock.advance(601)
    await world.settle()
    assert world.now(session).state is State.REVIEW
    slow.go.set()
    await world.settle()
    assert world.now(session).state is State.SAVED
    assert slow.get(ItemRef(ItemKind.DATABASE, "photos"))
    if cancelling is not None:
        assert (await cancelling).state is State.SAVED
    if end != "client":
        assert (await reviewing).state is State.SAVED


async def test_only_one_decision_at_a_time_and_only_in_review(world: World) -> None:
    """WRONG_STATE, for a send too."""
    slow = SlowVault(world.vault)
    world.shares._vault = world.vault = slow
    sent = world.shares.start_send(StartSend((SECRET,)))
    assert await refusal_of(world.shares.review(ReviewDecision(sent.id, True))) is Reason.WRONG_STATE
    session = await world.in_review(FRESH)
    reviewing = asyncio.ensure_future(world.shares.review(ReviewDecision(session.id, True)))
    await world.settle()
    assert await refusal_of(world.shares.review(ReviewDecision(session.id, False))) is Reason.WRONG_STATE
    slow.go.set()
    assert (await reviewing).state is State.SAVED
    assert await refusal_of(world.shares.review(ReviewDecision(session.id, True))) is Reason.WRONG_STATE


async def test_an_invalid_payload_of_a_driver_is_refused(world: World) -> None:
    """The last gate before a person sees it."""
    world.receiving.script = offering(Payload(DatabasePart("a\nb", DatabaseBody()), ()))
    session = world.shares.start_receive(StartReceive(code="1234"))
    await world.settle()
    assert world.now(session).reason == "payload-invalid"
    assert world.now(session).offer is None
