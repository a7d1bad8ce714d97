"""Starting shares: what is refused, codes, and the peer that a person confirms."""

from __future__ import annotations

import asyncio

import pytest

from keybaton_core.items import Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_testing.share_world import (
    INCOMING,
    SECRET,
    World,
    forever,
    plain,
    refusal,
)
from keybatond.errors import Reason
from keybatond.services.share_session import (
    Ending,
    ReceiveControl,
    ReceiveJob,
    Role,
    SendControl,
    SendJob,
    ShareProtocol,
    State,
)
from keybatond.services.share_view import StartReceive, StartSend
from keybatond.services.vault_types import Change, PutMode


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


async def test_no_text_form_of_a_share_holds_its_code(world: World) -> None:
    """Neither what a client asks for, nor the driver's job, nor the session: a log or a traceback may print them."""
    sent = StartSend((SECRET,), code="90817263")
    received = StartReceive(code="90817263")
    sessions = [world.shares.start_send(sent), world.shares.start_receive(received)]
    await world.settle()
    shown = repr([sent, received, *sessions, *world.sending.jobs, *world.receiving.jobs])
    assert "SendJob" in shown
    assert "90817263" not in shown


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


@pytest.mark.parametrize(
    "start",
    [
        StartSend((SECRET,), digits=4),
        StartSend((SECRET,), digits=8),
        StartSend((SECRET,), timeout_seconds=600),
        StartSend((SECRET,), to="host:65535"),
    ],
)
async def test_a_send_at_the_bounds_is_taken(world: World, start: StartSend) -> None:
    """Codes of four and of eight digits, ten minutes, the last port."""
    session = world.shares.start_send(start)
    assert len(session.code) == (start.digits or 4)
    assert session.deadline_at_ms == world.clock.now_ms() + (start.timeout_seconds or 60) * 1000


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
    assert b"\7" * 32 in job.own_receivers
    assert b"\6" * 32 not in job.own_receivers


async def test_a_sender_knows_receivers_and_certificates_that_came_after_its_own_start(world: World) -> None:
    """A receive that starts later, its new certificate after a wrong code, and its last one while it says farewell."""
    again = asyncio.Event()

    async def renewing(job: ReceiveJob, control: ReceiveControl) -> Ending:
        control.show_listening([], b"\7" * 32)
        await again.wait()
        control.show_listening([], b"\x08" * 32)
        return await forever(job, control)

    world.receiving.script = renewing
    world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    own = world.sending.jobs[0].own_receivers
    receiver = world.shares.start_receive(StartReceive())
    await world.settle()
    assert b"\7" * 32 in own
    again.set()
    await world.settle()
    assert b"\7" * 32 in own
    assert b"\x08" * 32 in own
    await world.shares.cancel(receiver.id)
    assert b"\x08" * 32 in own


async def test_a_receiver_knows_its_own_agents_offers(world: World) -> None:
    """By their nonces: a device that sends and receives at once does not offer to itself."""

    async def seeking(job: SendJob, control: SendControl) -> Ending:
        control.show_seeking("ab" * 16)
        return await forever(job, control)

    world.sending.script = seeking
    world.shares.start_receive(StartReceive())
    await world.settle()
    job = world.receiving.jobs[0]
    assert isinstance(job, ReceiveJob)
    assert "ab" * 16 not in job.own_offers
    world.shares.start_send(StartSend((SECRET,)))
    await world.settle()
    assert "ab" * 16 in job.own_offers


async def test_the_device_to_take_from_is_named_at_the_start_or_with_the_code(world: World) -> None:
    """With each code anew, also as any; without a word it stays. The devices that offer are shown."""
    named: list[str] = []

    async def thrice(job: ReceiveJob, control: ReceiveControl) -> Ending:
        control.show_senders(("desk", "laptop"))
        named.append(control.sender())
        while True:
            await control.wait_code()
            named.append(control.sender())
            control.code_was_wrong()

    world.receiving.script = thrice
    session = world.shares.start_receive(StartReceive(sender="desk"))
    await world.settle()
    assert world.now(session).senders == ("desk", "laptop")
    for sender in (None, "laptop", None, ""):
        world.shares.provide_code(session.id, "1111", sender)
        await world.settle()
    assert named == ["desk", "desk", "laptop", "laptop", ""]


@pytest.mark.parametrize("name", ["x" * 65, "ü" * 33, " desk", "de\u202esk", "a\nb"])
async def test_what_no_device_can_be_called_is_refused(world: World, name: str) -> None:
    """At the start and with the code; the code is still awaited then."""
    assert refusal(lambda: world.shares.start_receive(StartReceive(sender=name))) is Reason.INVALID_ARGUMENT
    session = world.shares.start_receive(StartReceive())
    assert refusal(lambda: world.shares.provide_code(session.id, "1111", name)) is Reason.INVALID_ARGUMENT
    assert world.now(session).needs_code


async def test_photosphere_senders_have_no_names(world: World) -> None:
    """An option that could do nothing is refused."""
    start = StartReceive(ShareProtocol.PHOTOSPHERE, sender="desk")
    assert refusal(lambda: world.shares.start_receive(start)) is Reason.INVALID_ARGUMENT


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
