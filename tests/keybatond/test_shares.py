"""The registry of shares with scripted drivers: starting, looking on, deciding, storing, ending and forgetting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_core.items import DatabaseBody, Item, ItemKind, ItemRef, SecretBody
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_machine import FakeEntropy, FakeLog
from keybaton_testing.fake_vault import FakeVault
from keybatond.errors import KeybatonError, Reason, ShareFailed, ShareReason
from keybatond.services.share_run import Run
from keybatond.services.share_session import (
    ENDED,
    NEXT_STATES,
    Ending,
    ReceiveControl,
    ReceiveJob,
    Role,
    SendControl,
    SendJob,
    ShareProtocol,
    State,
)
from keybatond.services.share_view import ConflictChoice, ReviewDecision, Session, StartReceive, StartSend
from keybatond.services.shares import ShareService
from keybatond.services.vault_types import Change, PutMode

SECRET = ItemRef(ItemKind.SECRET, "key")


def plain(value: str) -> SecretBody:
    return SecretBody("plain", {"value": SecretBytes.from_text(value)})


INCOMING = Payload(None, (SecretPart("0", "key", plain("new")),))
FRESH = Payload(DatabasePart("photos", DatabaseBody()), ())

Send = Callable[[SendJob, SendControl], Awaitable[Ending]]
Receive = Callable[[ReceiveJob, ReceiveControl], Awaitable[Ending]]


class Scripted:
    """Driver of either role: runs `script`, and keeps the jobs it was given."""

    def __init__(self, script: Callable[..., Awaitable[Ending]]) -> None:
        self.script = script
        self.jobs: list[object] = []
        self.cancelled = 0

    async def run(self, job: object, control: object) -> Ending:
        self.jobs.append(job)
        try:
            return await self.script(job, control)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def forever(job: object, control: object) -> Ending:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def offering(payload: Payload) -> Receive:
    """A receiving driver whose sender hands over `payload` once the code is there."""

    async def run(job: ReceiveJob, control: ReceiveControl) -> Ending:
        await control.wait_code()
        control.enter(State.AUTHENTICATED)
        return await control.review(payload)

    return run


class World:
    """A service with everything around it in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.vault = FakeVault()
        self.log = FakeLog()
        self.sending = Scripted(forever)
        self.receiving = Scripted(forever)
        self.shares = ShareService(
            vault=self.vault,
            clock=self.clock,
            entropy=FakeEntropy(),
            log=self.log,
            send_drivers=dict.fromkeys(ShareProtocol, self.sending),
            receive_drivers=dict.fromkeys(ShareProtocol, self.receiving),
        )

    async def settle(self) -> None:
        await self.clock.settle()

    async def in_review(self, payload: Payload = INCOMING) -> Session:
        """A receiving session that waits for the decision."""
        self.receiving.script = offering(payload)
        session = self.shares.start_receive(StartReceive(code="1234"))
        await self.settle()
        assert self.now(session).state is State.REVIEW
        return session

    def now(self, session: Session) -> Session:
        return self.shares.session(session.id)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.vault.apply([Change(Item(SECRET, plain("hush")), PutMode.CREATE)])
    yield world
    closing = asyncio.ensure_future(world.shares.close())
    await world.clock.advance(10)
    await closing


def refusal(call: Callable[[], object]) -> Reason:
    with pytest.raises(KeybatonError) as refused:
        call()
    return refused.value.reason


async def refusal_of(call: Awaitable[object]) -> Reason:
    with pytest.raises(KeybatonError) as refused:
        await call
    return refused.value.reason


# --- starting ----------------------------------------------------------------------------------------------------------


async def test_a_send_shows_its_code_and_what_it_carries(world: World) -> None:
    """A fresh code of four digits, the deadline, and no value."""
    session = world.shares.start_send(StartSend((SECRET,)))
    assert (session.role, session.protocol, session.state) == (Role.SEND, ShareProtocol.KEYBATON, State.SEEKING)
    assert len(session.code) == 4
    assert session.code.isdigit()
    assert session.deadline_at_ms == world.clock.now_ms() + 60_000
    assert session.offer is not None
    assert session.offer.secrets[0].field_names == ("value",)
    assert "hush" not in repr(session)
    await world.settle()
    (job,) = world.sending.jobs
    assert isinstance(job, SendJob)
    assert job == SendJob(INCOMING, session.code, None, 60.0) or job.payload.secrets[0].body == plain("hush")


@pytest.mark.parametrize("digits", [4, 5, 6, 7, 8])
async def test_made_codes_have_the_digits_asked_for(world: World, digits: int) -> None:
    """With leading zeros between Keybaton peers only, as the real Photosphere never makes one."""
    for _ in range(20):
        session = world.shares.start_send(StartSend((SECRET,), digits=digits, protocol=ShareProtocol.PHOTOSPHERE))
        assert len(session.code) == digits
        assert session.code[0] != "0"
        await world.shares.cancel(session.id)


async def test_codes_of_keybaton_may_begin_with_a_zero(world: World) -> None:
    """All 10,000 codes are possible, else the odds are worse than said."""
    codes = set()
    for _ in range(300):
        session = world.shares.start_send(StartSend((SECRET,)))
        codes.add(session.code)
        await world.shares.cancel(session.id)
    assert any(code.startswith("0") for code in codes)
    assert all(len(code) == 4 for code in codes)


@pytest.mark.parametrize("code", ["123", "123456789", "12a4", "１２３４", " 1234", "1234\n"])
async def test_a_keybaton_code_is_four_to_eight_digits(world: World, code: str) -> None:
    """In ASCII; for sends, receives, and codes typed later."""
    assert refusal(lambda: world.shares.start_send(StartSend((SECRET,), code=code))) is Reason.INVALID_CODE
    assert refusal(lambda: world.shares.start_receive(StartReceive(code=code))) is Reason.INVALID_CODE
    session = world.shares.start_receive(StartReceive())
    assert refusal(lambda: world.shares.provide_code(session.id, code)) is Reason.INVALID_CODE


@pytest.mark.parametrize("code", ["1", "Grüße, Welt", "0" * 256])
async def test_with_photosphere_any_string_is_a_code(world: World, code: str) -> None:
    """As there."""
    session = world.shares.start_send(StartSend((SECRET,), code=code, protocol=ShareProtocol.PHOTOSPHERE))
    assert session.code == code
    assert "cannot protect" in session.hint


async def test_photosphere_refuses_what_its_payload_cannot_carry(world: World) -> None:
    """A login, and two secrets at once."""
    login = SecretBody("login", {"username": SecretBytes(b"u"), "password": SecretBytes(b"p")})
    ref = ItemRef(ItemKind.SECRET, "site")
    await world.vault.apply([Change(Item(ref, login), PutMode.CREATE)])
    for items in ((ref,), (SECRET, ref)):
        start = StartSend(items, protocol=ShareProtocol.PHOTOSPHERE)
        assert refusal(lambda start=start: world.shares.start_send(start)) is Reason.INVALID_ARGUMENT
    world.shares.start_send(StartSend((SECRET, ref)))


@pytest.mark.parametrize(
    "start",
    [
        StartSend((SECRET,), digits=3),
        StartSend((SECRET,), digits=9),
        StartSend((SECRET,), timeout_seconds=601),
        StartSend((SECRET,), timeout_seconds=-1),
        StartSend((SECRET,), to="host:0"),
        StartSend((SECRET,), to="a b"),
    ],
)
async def test_a_send_out_of_bounds_is_refused(world: World, start: StartSend) -> None:
    """Nothing is left behind."""
    assert refusal(lambda: world.shares.start_send(start)) is Reason.INVALID_ARGUMENT
    assert world.shares.sessions() == []


async def test_several_sends_and_one_receiver(world: World) -> None:
    """A second receiver is BUSY until the first has ended."""
    for _ in range(32):
        world.shares.start_send(StartSend((SECRET,)))
    assert refusal(lambda: world.shares.start_send(StartSend((SECRET,)))) is Reason.BUSY
    first = world.shares.start_receive(StartReceive())
    assert refusal(lambda: world.shares.start_receive(StartReceive())) is Reason.BUSY
    await world.shares.cancel(first.id)
    world.shares.start_receive(StartReceive())
    assert len(world.shares.sessions()) == 34
    assert len({session.id for session in world.shares.sessions()}) == 34


async def test_with_a_locked_vault_nothing_starts(world: World) -> None:
    """VAULT_LOCKED at once, before anybody has typed a code."""
    world.vault.is_open = False
    assert refusal(lambda: world.shares.start_send(StartSend((SECRET,)))) is Reason.VAULT_LOCKED
    assert refusal(lambda: world.shares.start_receive(StartReceive())) is Reason.VAULT_LOCKED


async def test_a_sender_knows_its_own_agents_receivers(world: World) -> None:
    """By their certificates."""

    async def listening(job: ReceiveJob, control: ReceiveControl) -> Ending:
        control.show_listening(["10.0.0.2:4000"], b"\7" * 32)
        return await forever(job, control)

    world.receiving.script = listening
    receiver = world.shares.start_receive(StartReceive())
    await world.settle()
    assert world.now(receiver).addresses == ("10.0.0.2:4000",)
    assert world.now(receiver).fingerprint == "07" * 32
    world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    job = world.sending.jobs[0]
    assert isinstance(job, SendJob)
    assert job.own_receivers == {b"\7" * 32}


# --- codes and confirmation --------------------------------------------------------------------------------------------


async def test_a_receiver_without_code_says_so_until_it_has_one(world: World) -> None:
    """And asks again after a wrong one; a code that nobody waits for is WRONG_STATE."""
    codes: list[str] = []

    async def twice(job: ReceiveJob, control: ReceiveControl) -> Ending:
        codes.append(await control.wait_code())
        control.code_was_wrong()
        codes.append(await control.wait_code())
        return await forever(job, control)

    world.receiving.script = twice
    session = world.shares.start_receive(StartReceive())
    assert session.needs_code
    await world.settle()
    assert not world.shares.provide_code(session.id, "1111").needs_code
    assert refusal(lambda: world.shares.provide_code(session.id, "1111")) is Reason.WRONG_STATE
    await world.settle()
    assert world.now(session).needs_code
    world.shares.provide_code(session.id, "2222")
    await world.settle()
    assert codes == ["1111", "2222"]
    assert "1111" not in repr(world.now(session))


@pytest.mark.parametrize("accept", [True, False])
async def test_a_peer_is_confirmed_by_the_person(world: World, accept: bool) -> None:
    """The session waits and shows it; an answer that nobody awaits is WRONG_STATE."""
    answers: list[bool] = []

    async def asking(job: SendJob, control: SendControl) -> Ending:
        control.show_peer(address="10.0.0.9:4000")
        answers.append(await control.confirm_peer())
        return await forever(job, control)

    world.sending.script = asking
    session = world.shares.start_send(StartSend((SECRET,), confirm_peer=True))
    assert refusal(lambda: world.shares.confirm_peer(session.id, accept)) is Reason.WRONG_STATE
    await world.settle()
    assert world.now(session).needs_confirmation
    assert world.now(session).peer_address == "10.0.0.9:4000"
    assert not world.shares.confirm_peer(session.id, accept).needs_confirmation
    await world.settle()
    assert answers == [accept]


# --- review ------------------------------------------------------------------------------------------------------------


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


class SlowVault(FakeVault):
    """A vault whose transactions wait for `go`."""

    def __init__(self, base: FakeVault) -> None:
        super().__init__()
        self.items = base.items
        self.go = asyncio.Event()

    async def apply(self, changes: list[Change]):  # type: ignore[no-untyped-def]
        await self.go.wait()
        return await super().apply(changes)


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


# --- ends --------------------------------------------------------------------------------------------------------------


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


# --- watching ----------------------------------------------------------------------------------------------------------


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


# --- the table of states -----------------------------------------------------------------------------------------------


def new_run(role: Role) -> tuple[Run, FakeClock]:
    clock = FakeClock()
    return Run(Session("s", role, ShareProtocol.KEYBATON, State.SEEKING), clock, 60), clock


def brought_to(role: Role, state: State) -> Run:
    """A run in `state`, along the table."""
    paths = {State.SEEKING: [], State.ANNOUNCING: []}
    frontier = [State.SEEKING if role is Role.SEND else State.ANNOUNCING]
    while frontier:
        here = frontier.pop()
        for after in NEXT_STATES[role][here]:
            if after not in paths:
                paths[after] = [*paths[here], after]
                frontier.append(after)
    run, _ = new_run(role)
    for step in paths[state]:
        run.enter(step)
    return run


@pytest.mark.parametrize(
    ("role", "state", "after"),
    [(role, state, after) for role, table in NEXT_STATES.items() for state in table for after in State],
)
def test_every_pair_of_states_is_in_the_table_or_refused(role: Role, state: State, after: State) -> None:
    """The present state again is no step; ends come only by ending."""
    run = brought_to(role, state)
    if after is state or after in NEXT_STATES[role][state]:
        run.enter(after)
        assert run.session.state is after
    else:
        with pytest.raises(RuntimeError):
            run.enter(after)
        assert run.session.state is state


ACTIONS: dict[str, Callable[[Run], object]] = {
    "peer": lambda run: run.show_peer(name="x", address="y"),
    "guesses": lambda run: run.show_guesses(1),
    "candidates": lambda run: run.show_candidates(3),
    "listening": lambda run: run.show_listening(["a"], b"f" * 32),
    "code": lambda run: run.give_code("1234"),
    "ask": lambda run: run.ask_code(),
    "wrong": lambda run: run.code_was_wrong(),
    "confirm": lambda run: run.answer_confirmation(True),
    "saved": lambda run: run.end(State.SAVED, name="n"),
    "failed": lambda run: run.end(State.FAILED, reason="network"),
    **{f"enter {state.name}": lambda run, state=state: run.enter(state) for state in State},  # type: ignore[misc]
}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(Role), st.lists(st.sampled_from(sorted(ACTIONS)), max_size=12), st.sampled_from(sorted(ENDED)))
def test_nothing_changes_after_the_end(role: Role, actions: list[str], ending: State) -> None:
    """Whatever a driver or a client still does."""
    run, clock = new_run(role)
    run.end(ending, reason="why")
    ended = run.session
    for name in actions:
        clock.move_to(clock.monotonic() + 1)
        try:
            ACTIONS[name](run)
        except RuntimeError:
            continue
        assert run.session == ended
    assert replace(run.session) == ended
