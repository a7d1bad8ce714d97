"""How sessions end, are kept, watched and forgotten."""

from __future__ import annotations

import asyncio

import pytest

from keybaton_testing.share_world import FRESH, SECRET, World, forever, offering, refusal
from keybatond.errors import Reason, ShareFailed, ShareReason
from keybatond.services.share_session import (
    ENDED,
    Ending,
    ReceiveControl,
    ReceiveJob,
    Role,
    SendControl,
    SendJob,
    State,
)
from keybatond.services.share_view import ReviewDecision, StartReceive, StartSend


async def test_a_review_that_nobody_decides_expires(world: World) -> None:
    """After ten minutes; nothing is saved."""
    session = await world.in_review(FRESH)
    assert world.now(session).deadline_at_ms == world.clock.now_ms() + 600_000
    await world.clock.advance(599)
    assert world.now(session).state is State.REVIEW
    await world.clock.advance(2)
    assert (world.now(session).state, world.now(session).reason) == (State.EXPIRED, "expired")
    assert world.vault.writes == 1


@pytest.mark.parametrize("role", Role)
async def test_a_driver_that_never_ends_is_ended(world: World, role: Role) -> None:
    """Five seconds after its time; a jumping wall clock changes nothing."""
    start = world.shares.start_send(StartSend((SECRET,))) if role is Role.SEND else None
    session = start or world.shares.start_receive(StartReceive())
    world.clock.jump_wall(-86_400_000)
    await world.clock.advance(64)
    assert world.now(session).state not in ENDED
    await world.clock.advance(2)
    assert world.now(session).state is State.EXPIRED
    driver = world.sending if role is Role.SEND else world.receiving
    assert driver.cancelled == 1


@pytest.mark.parametrize("reason", ShareReason)
async def test_each_reason_ends_in_its_state(world: World, reason: ShareReason) -> None:
    """Cancelled, expired and declined are states of their own; all others are `failed`."""

    async def failing(job: SendJob, control: SendControl) -> Ending:
        raise ShareFailed(reason, "why")

    world.sending.script = failing
    session = world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    own = {"cancelled": State.CANCELLED, "expired": State.EXPIRED, "declined": State.DECLINED}
    now = world.now(session)
    assert (now.state, now.reason, now.hint) == (own.get(reason.value, State.FAILED), reason.value, "why")
    assert now.code == ""


async def test_a_fault_of_a_driver_ends_its_session_and_is_logged_without_its_text(world: World) -> None:
    """The exception's text could hold anything."""

    async def broken(job: SendJob, control: SendControl) -> Ending:
        raise ValueError("hush")

    world.sending.script = broken
    session = world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    assert world.now(session).state is State.FAILED
    assert ("share_broken", {"session": session.id, "error": "ValueError"}) in world.log.events
    assert "hush" not in repr(world.log.events)


async def test_cancel_ends_at_once_and_twice_is_no_error(world: World) -> None:
    """The driver is cancelled, so that it tells its peer."""
    session = world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    after = await world.shares.cancel(session.id)
    assert (after.state, after.reason, after.code) == (State.CANCELLED, "cancelled", "")
    await world.settle()
    assert world.sending.cancelled == 1
    assert (await world.shares.cancel(session.id)).state is State.CANCELLED


async def handed_over(job: SendJob, control: SendControl) -> Ending:
    for state in (State.CONNECTED, State.AUTHENTICATED):
        control.enter(state)
    return await forever(job, control)


@pytest.mark.parametrize("end", ["cancel", "lock"])
async def test_a_send_that_is_ended_after_the_payload_left_says_that_it_may_have_been_saved(
    world: World, end: str
) -> None:
    """Whoever ends it here does not know what became of it there; before that nothing of the kind is said."""
    for script, hinted in ((forever, False), (handed_over, True)):
        world.sending.script = script
        session = world.shares.start_send(StartSend((SECRET,)))
        await world.settle()
        if end == "lock":
            world.shares.lock()
        else:
            await world.shares.cancel(session.id)
        now = world.now(session)
        assert now.state is (State.FAILED if end == "lock" else State.CANCELLED)
        assert ("may have been saved" in now.hint) is hinted


async def test_a_fault_of_ours_after_the_payload_left_is_unconfirmed(world: World) -> None:
    """What became of it there does not depend on what went wrong here."""

    async def broken(job: SendJob, control: SendControl) -> Ending:
        control.enter(State.CONNECTED)
        control.enter(State.AUTHENTICATED)
        raise ValueError

    world.sending.script = broken
    session = world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    assert world.now(session).reason == "unconfirmed"


async def test_a_send_that_is_overdue_after_the_payload_left_is_unconfirmed(world: World) -> None:
    """The time is over, and that is not all there is to say."""
    world.sending.script = handed_over
    session = world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    await world.clock.advance(141)
    now = world.now(session)
    assert (now.state, now.reason) == (State.FAILED, "unconfirmed")
    assert "may have been saved" in now.hint


async def test_an_ended_session_is_kept_for_ten_minutes(world: World) -> None:
    """And then it is unknown."""
    session = world.shares.start_send(StartSend((SECRET,)))
    await world.shares.cancel(session.id)
    await world.clock.advance(600)
    assert world.shares.sessions() == [world.now(session)]
    await world.clock.advance(1)
    assert world.shares.sessions() == []
    assert refusal(lambda: world.shares.session(session.id)) is Reason.SESSION_NOT_FOUND
    assert refusal(lambda: world.shares.watch(session.id)) is Reason.SESSION_NOT_FOUND


async def test_only_so_many_ended_sessions_are_kept(world: World) -> None:
    """A client that starts and cancels in a loop does not fill the memory."""
    for _ in range(250):
        session = world.shares.start_send(StartSend((SECRET,)))
        await world.shares.cancel(session.id)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await world.settle()
    assert len(world.shares.sessions()) == 200
    assert world.shares.sessions()[0].id == session.id


async def test_closing_ends_all_and_lets_the_outcome_be_told(world: World) -> None:
    """A receiver that has saved gets two seconds to answer its sender; nothing starts any more."""
    told: list[str] = []

    async def telling(job: ReceiveJob, control: ReceiveControl) -> Ending:
        ending = await offering(FRESH)(job, control)
        await world.clock.sleep(1)
        told.append("saved")
        return ending

    world.receiving.script = telling
    received = world.shares.start_receive(StartReceive(code="1234"))
    sent = world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    await world.shares.review(ReviewDecision(received.id, True))
    closing = asyncio.ensure_future(world.shares.close())
    await world.clock.advance(1.5)
    await closing
    assert told == ["saved"]
    assert world.now(sent).state is State.CANCELLED
    assert world.now(received).state is State.SAVED
    assert refusal(lambda: world.shares.start_send(StartSend((SECRET,)))) is Reason.SHUTTING_DOWN


async def test_a_watcher_sees_every_state_once_and_the_end(world: World) -> None:
    """The whole session each time; several changes in one state come as one."""

    async def passing(job: SendJob, control: SendControl) -> Ending:
        control.show_candidates(1)
        control.show_candidates(2)
        control.enter(State.CONNECTED)
        control.show_peer(name="desk\u202e\n", address="10.0.0.2:1")
        control.enter(State.AUTHENTICATED)
        control.enter(State.DELIVERED)
        return Ending(State.SAVED, "reused")

    world.sending.script = passing
    session = world.shares.start_send(StartSend((SECRET,)))
    seen = [one async for one in world.shares.watch(session.id)]
    states = [one.state for one in seen]
    assert states == [
        State.SEEKING,
        State.SEEKING,
        State.CONNECTED,
        State.AUTHENTICATED,
        State.DELIVERED,
        State.SAVED,
    ] or (states == [State.SEEKING, State.CONNECTED, State.AUTHENTICATED, State.DELIVERED, State.SAVED])
    assert (seen[-1].candidates, seen[-1].peer_name, seen[-1].conflict) == (2, "desk", "reused")


async def test_a_watcher_is_not_told_again_what_it_was_told(world: World) -> None:
    """What a driver shows twice is one change."""
    controls: list[SendControl] = []

    async def keeping(job: SendJob, control: SendControl) -> Ending:
        controls.append(control)
        return await forever(job, control)

    world.sending.script = keeping
    session = world.shares.start_send(StartSend((SECRET,)))
    watching = world.shares.watch(session.id)
    await anext(watching)
    await world.settle()
    controls[0].show_candidates(1)
    assert (await anext(watching)).candidates == 1
    following = asyncio.ensure_future(anext(watching))
    await world.settle()
    controls[0].show_candidates(1)
    await world.settle()
    assert not following.done()
    controls[0].show_candidates(2)
    assert (await following).candidates == 2


async def test_a_slow_watcher_holds_little_and_still_gets_the_end(world: World) -> None:
    """A thousand changes wait as at most 32 snapshots."""

    async def restless(job: SendJob, control: SendControl) -> Ending:
        await asyncio.sleep(0)
        for _ in range(500):
            control.enter(State.CONNECTED)
            control.enter(State.SEEKING)
        raise ShareFailed(ShareReason.NO_PEER)

    world.sending.script = restless
    session = world.shares.start_send(StartSend((SECRET,)))
    watching = world.shares.watch(session.id)
    first = await anext(watching)
    await world.settle()
    rest = [one async for one in watching]
    assert first.state is State.SEEKING
    assert len(rest) == 32
    assert rest[-1].state is State.FAILED


async def test_watching_an_ended_session_gives_it_once(world: World) -> None:
    """And ends."""
    session = world.shares.start_send(StartSend((SECRET,)))
    await world.shares.cancel(session.id)
    assert [one.state async for one in world.shares.watch(session.id)] == [State.CANCELLED]
