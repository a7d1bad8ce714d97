"""Every pair of phase and event, and any order of them: what follows is derived from the machines' own tables."""

from __future__ import annotations

import random
from typing import Any

import pytest

from keybaton_core import handoff_messages as wire
from keybaton_core import handoff_receiver as receiving
from keybaton_core import handoff_receiver_events as r
from keybaton_core import handoff_sender as sending
from keybaton_core import handoff_sender_events as s
from keybaton_core.handoff_messages import Outcome
from keybaton_core.handoff_receiver import ReceiverMachine
from keybaton_core.handoff_sender import SenderMachine
from keybaton_core.secret import SecretBytes
from keybaton_testing.handoff_link import (
    CODE,
    FINGERPRINT,
    SAVED,
    Link,
    chance,
    fresh,
    kinds,
    receiver,
    sender,
)

# --- every pair, every order ---------------------------------------------------------------------------------------------

R_EVENTS: dict[type[Any], Any] = {
    r.CodeTyped: lambda: r.CodeTyped(SecretBytes.from_text(CODE)),
    r.Renewed: lambda: r.Renewed(FINGERPRINT),
    r.ReadyAsked: lambda: r.ReadyAsked(chance.randrange(4), chance.random() < 0.5),
    r.HandshakeAsked: lambda: r.HandshakeAsked(chance.randrange(4), _handshake(), chance.randbytes(32)),
    r.PayloadAsked: lambda: r.PayloadAsked(chance.randrange(4), chance.randbytes(8)),
    r.OutcomeAsked: lambda: r.OutcomeAsked(chance.randrange(4), "sid=x", chance.random() < 0.5),
    r.EndSaid: lambda: r.EndSaid(chance.randrange(4), "", wire.encode_end(chance.choice(["wrong-code", "cancelled"]))),
    r.Dropped: lambda: r.Dropped(chance.randrange(4)),
    r.Decided: lambda: r.Decided(SAVED),
    r.GraceOver: r.GraceOver,
    r.DeadlineOver: r.DeadlineOver,
    r.Cancelled: r.Cancelled,
}


def _handshake() -> bytes:
    return Link(sender(), receiver()).ask.body or b""


def in_phase(phase: receiving.Phase) -> ReceiverMachine:
    if phase is receiving.Phase.RENEWING:
        return ReceiverMachine(wire.encode_hello("laptop"), code_is_final=False)
    if phase is receiving.Phase.CODE_NEEDED:
        return receiver(None)
    machine = receiver()
    if phase is receiving.Phase.READY:
        return machine
    link = Link(sender(), machine)
    link.step()
    link.step()
    if phase is receiving.Phase.ENDED:
        machine.feed(r.Decided(SAVED))
    return machine


@pytest.mark.parametrize("phase", list(receiving.Phase))
@pytest.mark.parametrize("kind", list(R_EVENTS))
def test_the_receiver_takes_exactly_the_pairs_of_its_table(phase: receiving.Phase, kind: type[Any]) -> None:
    """Every pair that is not in the table is refused; every one that is has effects and never fails."""
    machine = in_phase(phase)
    assert machine.phase is phase
    event = R_EVENTS[kind]()
    if (phase, kind) in receiving.TABLE:
        machine.feed(event)
    else:
        with pytest.raises(receiving.OutOfPlace):
            machine.feed(event)
        assert machine.phase is phase


def test_the_tables_know_every_event() -> None:
    """No event class was forgotten, and whatever a peer may ask has an answer in every phase."""
    assert {kind for _, kind in receiving.TABLE} == set(R_EVENTS) == set(r.Event.__args__)
    assert {kind for _, kind in sending.TABLE} == set(s.Event.__args__)
    for kind in (r.ReadyAsked, r.HandshakeAsked, r.PayloadAsked, r.OutcomeAsked, r.EndSaid, r.Dropped):
        assert all((phase, kind) in receiving.TABLE for phase in receiving.Phase)


S_EVENTS: dict[type[Any], Any] = {
    s.Connected: lambda: s.Connected(7, FINGERPRINT, fresh()),
    s.Answered: lambda: s.Answered(1, *chance.choice(S_ANSWERS), fresh()),
    s.Lost: lambda: s.Lost(1),
    s.Reconnected: lambda: s.Reconnected(1),
    s.Vanished: lambda: s.Vanished(1),
    s.ForeignHeard: lambda: s.ForeignHeard(0),
    s.GraceOver: s.GraceOver,
    s.DeadlineOver: lambda: s.DeadlineOver(0, False, True),
    s.Cancelled: s.Cancelled,
}
S_ANSWERS = [
    (200, b"{}"),
    (200, wire.encode_state("ready")),
    (200, wire.encode_state("code-needed")),
    (200, wire.encode_state("review")),
    (200, wire.encode_state("final")),
    (200, wire.encode_outcome(SAVED, bytes(32))),
    (200, wire.encode_outcome(Outcome("review"), None)),
    (200, wire.encode_handshake_reply(wire.HandshakeReply(b"\x09" + bytes(31), wire.encode_hello("x"), bytes(32)))),
    *((wire.STATUS[one], wire.encode_refusal(one)) for one in wire.Refusal),
    (500, b"<html>"),
]


def s_phase(phase: sending.Phase) -> SenderMachine:
    link = Link(sender(), receiver())
    if phase is sending.Phase.SEEKING:
        return link.a
    link.step()
    if phase is not sending.Phase.PROVED:
        link.step()
    if phase is sending.Phase.ENDED:
        link.a.feed(s.Cancelled())
    return link.a


@pytest.mark.parametrize("phase", list(sending.Phase))
@pytest.mark.parametrize("kind", list(S_EVENTS))
def test_the_sender_takes_exactly_the_pairs_of_its_table(phase: sending.Phase, kind: type[Any]) -> None:
    """Every pair that is not in the table is refused; every one that is never fails."""
    machine = s_phase(phase)
    assert machine.phase is phase
    event = S_EVENTS[kind]()
    if (phase, kind) in sending.TABLE:
        machine.feed(event)
    else:
        with pytest.raises(sending.OutOfPlace):
            machine.feed(event)
        assert machine.phase is phase


def _pick(chance: random.Random, table: dict[Any, Any], phase: Any) -> type[Any]:
    kinds_here = [kind for where, kind in table if where is phase]
    rare = (r.Cancelled, r.DeadlineOver, s.Cancelled, s.DeadlineOver)  # they end it
    kind = chance.choice(kinds_here)
    return chance.choice(kinds_here) if kind in rare and chance.random() < 0.95 else kind


@pytest.mark.parametrize("seed", range(30))
def test_no_order_of_events_breaks_the_receiver(seed: int) -> None:
    """Any events in any order, as the table allows: guesses stay within 0 and 3, and nothing unproved is reviewed."""
    own = random.Random(seed)
    for _ in range(10):
        machine = ReceiverMachine(wire.encode_hello("laptop"), code_is_final=own.random() < 0.5)
        for _ in range(40):
            kind = _pick(own, receiving.TABLE, machine.phase)
            effects = machine.feed(R_EVENTS[kind]())
            assert 0 <= machine.guesses_left <= 3
            assert r.Review not in kinds(effects)
            answers = [effect for effect in effects if isinstance(effect, r.Answer | r.Hold)]
            asked = kind in (r.ReadyAsked, r.HandshakeAsked, r.PayloadAsked, r.OutcomeAsked, r.EndSaid)
            assert len(answers) == asked


@pytest.mark.parametrize("seed", range(30))
def test_no_order_of_events_breaks_the_sender(seed: int) -> None:
    """Any events and answers in any order: nobody who has not proved the code gets the payload."""
    own = random.Random(seed)
    for _ in range(10):
        machine = sender()
        number = 0
        for _ in range(40):
            kind = _pick(own, sending.TABLE, machine.phase)
            event = S_EVENTS[kind]()
            if kind is s.Connected:
                number += 1
                event = s.Connected(number, own.randbytes(32), fresh())
            elif kind in (s.Answered, s.Lost):
                event = type(event)(own.randrange(number + 2), *list(vars(event).values())[1:])
            effects = machine.feed(event)
            asks = [effect for effect in effects if isinstance(effect, s.Ask)]
            assert not any(ask.path == wire.PAYLOAD_PATH for ask in asks)
            assert 0 <= machine.guesses_left <= 3
