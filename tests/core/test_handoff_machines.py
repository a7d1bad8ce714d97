"""The two session machines: every pair of phase and event, every order of events, and the rules of guesses and turns."""

from __future__ import annotations

import random
from typing import Any

import pytest

from keybaton_core import handoff_messages as wire
from keybaton_core import handoff_receiver as receiving
from keybaton_core import handoff_receiver_events as r
from keybaton_core import handoff_sender as sending
from keybaton_core import handoff_sender_events as s
from keybaton_core.encoding import encode_object
from keybaton_core.handoff_messages import Outcome
from keybaton_core.handoff_payload import encode_payload
from keybaton_core.handoff_receiver import ReceiverMachine
from keybaton_core.handoff_sender import SenderMachine
from keybaton_core.items import SecretBody
from keybaton_core.payload import Payload, SecretPart
from keybaton_core.secret import SecretBytes

CODE, OTHER = "4821", "1111"
FINGERPRINT = bytes(range(32))
PAYLOAD = Payload(None, (SecretPart("0", "wifi", SecretBody("plain", {"value": SecretBytes(b"v")})),))
SAVED = Outcome("saved")

_chance = random.Random(7)


def fresh() -> s.Fresh:
    return s.Fresh(_chance.randbytes(16), _chance.randbytes(32))


def sender(code: str = CODE, plaintext: SecretBytes | None = None) -> SenderMachine:
    return SenderMachine(SecretBytes.from_text(code), plaintext or encode_payload(PAYLOAD), wire.encode_hello("desk"))


def receiver(code: str | None = CODE, *, final: bool = False) -> ReceiverMachine:
    machine = ReceiverMachine(wire.encode_hello("laptop"), code_is_final=final)
    machine.feed(r.Renewed(FINGERPRINT))
    if code is not None:
        machine.feed(r.CodeTyped(SecretBytes.from_text(code)))
    return machine


def only(effects: list[Any], kind: type[Any]) -> Any:
    found = [effect for effect in effects if isinstance(effect, kind)]
    assert len(found) == 1, effects
    return found[0]


def kinds(effects: list[Any]) -> set[type[Any]]:
    return {type(effect) for effect in effects}


class Link:
    """One sender's attempt on one connection to the receiver: carries requests over and answers back."""

    def __init__(self, a: SenderMachine, b: ReceiverMachine, number: int = 1, fingerprint: bytes = FINGERPRINT) -> None:
        self.a, self.b, self.number = a, b, number
        self.ask: s.Ask = only(a.feed(s.Connected(number, fingerprint, fresh())), s.Ask)
        self.seen_a: list[Any] = []
        self.seen_b: list[Any] = []

    def request(self, *, last: bool = False) -> r.Answer | None:
        """Puts the pending request to the receiver; None: held."""
        path, _, query = self.ask.path.partition("?")
        body = self.ask.body or b""
        event: r.Event = {
            wire.READY_PATH: r.ReadyAsked(self.number, last),
            wire.HANDSHAKE_PATH: r.HandshakeAsked(self.number, body, _chance.randbytes(32)),
            wire.PAYLOAD_PATH: r.PayloadAsked(self.number, body),
            wire.OUTCOME_PATH: r.OutcomeAsked(self.number, query, last),
            wire.END_PATH: r.EndSaid(self.number, query, body),
        }[path]
        self.seen_b = self.b.feed(event)
        return next((effect for effect in self.seen_b if isinstance(effect, r.Answer)), None)

    def answer(self, reply: r.Answer) -> list[Any]:
        """Gives the answer to the sender and keeps its next request."""
        self.seen_a = self.a.feed(s.Answered(self.number, reply.status, reply.body, fresh()))
        self.ask = next((effect for effect in self.seen_a if isinstance(effect, s.Ask)), self.ask)
        return self.seen_a

    def step(self) -> list[Any]:
        reply = self.request()
        assert reply is not None
        return self.answer(reply)


# --- the straight way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [SAVED, Outcome("saved", "reused"), Outcome("declined")])
def test_a_share_goes_through_and_the_sender_hears_the_truth(outcome: Outcome) -> None:
    """Handshake, payload, outcome with its receipt."""
    link = Link(sender(), receiver())
    assert only(link.step(), s.Proved).name == "laptop"
    assert s.Delivered in kinds(link.step())
    assert only(link.seen_b, r.Review).payload == PAYLOAD
    assert only(link.seen_b, r.Proved).name == "desk"
    assert link.request() is None
    link.b.feed(r.Decided(outcome))
    assert only(link.step(), s.Concluded).outcome == outcome
    assert r.Told in kinds(link.seen_b)


@pytest.mark.parametrize("reason", sorted(wire.FAILURES))
def test_a_failure_on_the_receiver_is_told_with_its_reason(reason: str) -> None:
    """A full disk, a locked vault, a conflict: the sender hears which."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    link.b.feed(r.Decided(Outcome("failed", reason)))
    assert only(link.step(), s.Finish) == s.Finish(reason, by_peer=True)


def test_before_the_code_is_typed_nothing_costs_a_guess() -> None:
    """The sender waits, the receiver shows that somebody does, and then it goes on."""
    link = Link(sender(), receiver(None))
    assert s.Idle in kinds(link.step())
    assert link.ask.path == wire.READY_PATH
    assert link.request() is None
    assert r.SenderWaits in kinds(link.seen_b)
    link.b.feed(r.CodeTyped(SecretBytes.from_text(CODE)))
    assert link.step() and link.ask.path == wire.HANDSHAKE_PATH
    assert s.Proved in kinds(link.step())
    assert (link.a.guesses_left, link.b.guesses_left) == (3, 2)


# --- guesses ------------------------------------------------------------------------------------------------------------


def test_a_guess_is_spent_before_the_answer_and_refunded_by_a_valid_proof() -> None:
    """The receiver counts down with the handshake and up with the payload."""
    link = Link(sender(), receiver())
    link.step()
    assert link.b.guesses_left == 2
    link.step()
    assert link.b.guesses_left == 3


def test_a_wrong_code_spends_one_at_each_end_and_leaves_the_certificate_alone() -> None:
    """The receiver then makes a new certificate and asks again, and the next share on it goes through."""
    a, b = sender(), receiver(OTHER)
    link = Link(a, b)
    assert only(link.step(), s.Ban).fingerprint == FINGERPRINT
    assert wire.decode_end(link.ask.body or b"") == "wrong-code"
    link.step()
    assert r.AskAgain in kinds(link.seen_b)
    assert (a.guesses_left, b.guesses_left) == (2, 2)
    b.feed(r.CodeTyped(SecretBytes.from_text(CODE)))
    assert b.phase is receiving.Phase.RENEWING
    b.feed(r.Renewed(bytes(32)))
    again = Link(a, b, 2, bytes(32))
    assert s.Proved in kinds(again.step())


@pytest.mark.parametrize("body", [b"", b"{}", wire.encode_state("review"), b"\xff"])
def test_garbage_in_answer_to_an_end_drops_the_attempt(body: bytes) -> None:
    """A false receiver gains nothing by answering nonsense after its guess failed."""
    link = Link(sender(), receiver(OTHER))
    link.step()
    assert s.Drop in kinds(link.a.feed(s.Answered(1, 200, body, fresh())))
    assert link.a.attempts() == []


def test_three_wrong_codes_end_both_sides() -> None:
    """Spent guesses stay spent over certificates."""
    a, b = sender(), receiver(OTHER)
    for number in range(3):
        fingerprint = bytes([number]) * 32
        if number:
            b.feed(r.Renewed(fingerprint))
            b.feed(r.CodeTyped(SecretBytes.from_text(OTHER)))
        link = Link(a, b, number, FINGERPRINT if not number else fingerprint)
        link.step()
        reply = link.request()
        assert reply is not None
    assert only(link.seen_a, s.Finish).reason == "guesses-used-up"
    assert only(link.seen_b, r.Finish).reason == "guesses-used-up"


def test_four_open_handshakes_are_one_too_many() -> None:
    """The fourth is told to wait, at no cost, and gets its turn when a guess comes back."""
    b = receiver()
    links = [Link(sender(), b, number) for number in range(4)]
    for link in links[:3]:
        link.step()
    fourth = links[3].request()
    assert fourth is not None and wire.decode_refusal(fourth.status, fourth.body) is wire.Refusal.BUSY
    assert b.guesses_left == 0 and b.phase is receiving.Phase.READY


def test_open_handshakes_that_break_off_use_the_guesses_up() -> None:
    """Whoever got an answer and left may have tested a code."""
    b = receiver()
    for number in range(3):
        Link(sender(), b, number).step()
    b.feed(r.Dropped(0))
    b.feed(r.Dropped(1))
    assert only(b.feed(r.Dropped(2)), r.Finish).reason == "guesses-used-up"


def test_a_sender_that_waits_hears_that_the_guesses_are_used_up() -> None:
    """Somebody else has spent them: it seeks on, and says so when its time is over."""
    a, b = sender(), receiver()
    for number in range(3):
        Link(sender(), b, number).step()
    for number in range(3):
        b.feed(r.Dropped(number))
    link = Link(a, b, 9)
    assert b.refuses(wire.HANDSHAKE_PATH, 9) is wire.Refusal.GUESSES_USED_UP
    assert kinds(link.step()) == {s.Drop}
    assert only(a.feed(s.DeadlineOver(1, False, True)), s.Finish).reason == "guesses-used-up"


def test_a_wrong_code_is_not_believed_while_another_handshake_is_open() -> None:
    """An attacker who spends a guess cannot throw an honest sender out half-way."""
    b = receiver()
    honest, attacker = Link(sender(), b, 1), Link(sender(OTHER), b, 2)
    honest.step()
    attacker.step()
    attacker.step()
    assert r.AskAgain not in kinds(attacker.seen_b)
    assert s.Delivered in kinds(honest.step())


def test_a_code_that_is_final_leaves_five_seconds_for_another_sender() -> None:
    """Both ends go on, and then end with wrong-code."""
    a, b = sender(), receiver(OTHER, final=True)
    link = Link(a, b)
    link.step()
    assert s.StartGrace in kinds(link.step())
    assert r.StartGrace in kinds(link.seen_b)
    assert only(a.feed(s.GraceOver()), s.Finish).reason == "wrong-code"
    assert only(b.feed(r.GraceOver()), r.Finish).reason == "wrong-code"


def test_the_grace_waits_for_a_handshake_that_is_open() -> None:
    """A right sender who came in the last second is not cut off."""
    b = receiver(CODE, final=True)
    wrong, right = Link(sender(OTHER), b, 1), Link(sender(), b, 2)
    wrong.step()
    wrong.step()
    right.step()
    assert b.feed(r.GraceOver()) == []
    assert s.Delivered in kinds(right.step())


# --- what peers may not do ----------------------------------------------------------------------------------------------


def refusal(answer: r.Answer | None) -> wire.Refusal:
    assert answer is not None
    return wire.decode_refusal(answer.status, answer.body)


def test_a_handshake_belongs_to_its_connection() -> None:
    """A second one on it, and its payload on another, are out of turn."""
    b = receiver()
    link = Link(sender(), b, 1)
    link.step()
    assert b.refuses(wire.HANDSHAKE_PATH, 1) is wire.Refusal.OUT_OF_TURN
    assert b.refuses(wire.PAYLOAD_PATH, 2) is wire.Refusal.OUT_OF_TURN
    assert b.refuses(wire.PAYLOAD_PATH, 1) is None
    assert refusal(only(b.feed(r.PayloadAsked(2, link.ask.body or b"")), r.Answer)) is wire.Refusal.OUT_OF_TURN
    assert refusal(only(b.feed(r.HandshakeAsked(1, b"", bytes(32))), r.Answer)) is wire.Refusal.OUT_OF_TURN


def test_a_session_takes_one_payload() -> None:
    """During review and after it every other sender is turned away."""
    b = receiver()
    first, second = Link(sender(), b, 1), Link(sender(), b, 2)
    first.step()
    second.step()
    first.step()
    assert refusal(second.request()) is wire.Refusal.OUT_OF_TURN
    assert refusal(Link(sender(), b, 3).request()) is wire.Refusal.BUSY
    assert b.refuses(wire.HANDSHAKE_PATH, 4) is wire.Refusal.BUSY
    b.feed(r.Decided(SAVED))
    assert refusal(Link(sender(), b, 5).request()) is wire.Refusal.ENDED


def test_a_payload_cannot_be_put_in_twice() -> None:
    """The same sealed bytes again on the same connection are out of turn."""
    link = Link(sender(), receiver())
    link.step()
    body = link.ask.body or b""
    link.step()
    assert refusal(only(link.b.feed(r.PayloadAsked(1, body)), r.Answer)) is wire.Refusal.OUT_OF_TURN


def test_the_outcome_is_for_whoever_knows_the_session() -> None:
    """Another sid, none, or one before there was a payload: unknown."""
    link = Link(sender(), receiver())
    link.step()
    query = wire.format_sid_query(link.a.sid or b"")
    assert refusal(only(link.b.feed(r.OutcomeAsked(9, query, True)), r.Answer)) is wire.Refusal.UNKNOWN
    link.step()
    for other in ("", "sid=", wire.format_sid_query(bytes(16)), query + "=="):
        assert refusal(only(link.b.feed(r.OutcomeAsked(9, other, True)), r.Answer)) is wire.Refusal.UNKNOWN
    assert only(link.b.feed(r.OutcomeAsked(9, query, True)), r.Answer).status == 200


def test_only_the_proved_sender_can_cancel_a_review() -> None:
    """A stranger's end is noted and nothing more."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    body = wire.encode_end("cancelled")
    assert r.Finish not in kinds(link.b.feed(r.EndSaid(7, "", body)))
    assert r.Finish not in kinds(link.b.feed(r.EndSaid(7, wire.format_sid_query(bytes(16)), body)))
    query = wire.format_sid_query(link.a.sid or b"")
    assert only(link.b.feed(r.EndSaid(7, query, body)), r.Finish).reason == "cancelled"


def test_an_end_without_a_handshake_changes_nothing() -> None:
    """A stranger cannot make the receiver forget its code."""
    b = receiver()
    for reason in ("wrong-code", "cancelled"):
        effects = b.feed(r.EndSaid(5, "", wire.encode_end(reason)))
        assert kinds(effects) == {r.Answer}
    assert (b.phase, b.guesses_left) == (receiving.Phase.READY, 3)


@pytest.mark.parametrize("change", ["mac", "seal", "garbage", "plaintext"])
def test_an_altered_payload_is_refused_as_a_whole(change: str) -> None:
    """A wrong proof costs the guess; a right proof with a broken seal or payload ends the session, with nothing to review."""
    plaintext = SecretBytes(b'{"version":1,"secrets":[],"x":1}') if change == "plaintext" else None
    link = Link(sender(plaintext=plaintext), receiver())
    link.step()
    request = wire.decode_payload_request(link.ask.body or b"")
    body = {
        "mac": wire.encode_payload_request(wire.PayloadRequest(bytes(32), request.sealed)),
        "seal": wire.encode_payload_request(wire.PayloadRequest(request.mac_a, request.sealed[:-1] + b"\0")),
        "garbage": b"{",
        "plaintext": link.ask.body or b"",
    }[change]
    effects = link.b.feed(r.PayloadAsked(1, body))
    assert r.Review not in kinds(effects)
    if change in ("mac", "garbage"):
        assert r.Proved not in kinds(effects) and link.b.guesses_left == 2
    else:
        assert only(effects, r.Finish).reason == "payload-invalid"
        assert only(link.answer(only(effects, r.Answer)), s.Finish).reason == "payload-invalid"


@pytest.mark.parametrize(
    "point", ["00" * 32, "01" + "00" * 31, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"]
)
def test_a_low_order_point_gets_no_answer_and_costs_nothing(point: str) -> None:
    """Either side gives the run up before anything that depends on the code has left it."""
    b = receiver()
    request = wire.HandshakeRequest(bytes(16), bytes.fromhex(point), wire.encode_hello("x"))
    answer = only(b.feed(r.HandshakeAsked(1, wire.encode_handshake_request(request), bytes(32))), r.Answer)
    assert refusal(answer) is wire.Refusal.MALFORMED and b.guesses_left == 3
    a = sender()
    a.feed(s.Connected(1, FINGERPRINT, fresh()))
    reply = wire.HandshakeReply(bytes.fromhex(point), wire.encode_hello("x"), bytes(32))
    effects = a.feed(s.Answered(1, 200, wire.encode_handshake_reply(reply), fresh()))
    assert kinds(effects) == {s.Drop} and a.guesses_left == 3


def test_another_certificate_in_between_ends_in_a_failed_proof() -> None:
    """Relaying a handshake under the relay's own certificate proves nothing, although the code is right."""
    link = Link(sender(), receiver(), fingerprint=bytes(32))
    assert s.Ban in kinds(link.step())


def test_another_version_is_named_at_the_end() -> None:
    """In the hello of either side, or in an announcement."""
    hello = encode_object({"version": 2, "name": "x", "suites": []})
    a = SenderMachine(SecretBytes.from_text(CODE), encode_payload(PAYLOAD), hello)
    b = receiver()
    link = Link(a, b)
    assert s.Drop in kinds(link.step())
    assert only(a.feed(s.DeadlineOver(1, False, True)), s.Finish).reason == "wrong-version"
    assert only(b.feed(r.DeadlineOver()), r.Finish).reason == "wrong-version"
    c = sender()
    c.feed(s.ForeignHeard(2))
    assert only(c.feed(s.DeadlineOver(0, False, True)), s.Finish).reason == "wrong-version"


@pytest.mark.parametrize(
    ("events", "over", "reason"),
    [
        ([], s.DeadlineOver(0, False, True), "no-peer"),
        ([], s.DeadlineOver(3, False, True), "no-peer"),
        ([], s.DeadlineOver(0, False, False), "network"),
        ([s.ForeignHeard(0)], s.DeadlineOver(0, False, True), "photosphere-only"),
        ([s.ForeignHeard(0), s.ForeignHeard(3)], s.DeadlineOver(0, False, True), "wrong-version"),
        ([s.ForeignHeard(0)], s.DeadlineOver(9, True, True), "many-announcers"),
    ],
)
def test_the_deadline_says_what_was_met(events: list[Any], over: s.DeadlineOver, reason: str) -> None:
    """The reason of a send that found nobody is the most telling one."""
    a = sender()
    for event in events:
        a.feed(event)
    assert only(a.feed(over), s.Finish).reason == reason


def test_a_receipt_that_does_not_fit_is_nothing_known() -> None:
    """Whoever answers in the receiver's place cannot say saved."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    body = wire.encode_outcome(SAVED, bytes(32))
    assert only(link.a.feed(s.Answered(1, 200, body, fresh())), s.Finish) == s.Finish("peer-gone")


def test_a_lost_connection_after_the_proof_is_taken_up_again() -> None:
    """The outcome may be asked on a new connection; a receiver that never comes back is gone."""
    link = Link(sender(), receiver())
    link.step()
    link.request()  # the payload arrives, its answer does not
    assert kinds(link.a.feed(s.Lost(1))) == {s.Reconnect}
    link.ask = only(link.a.feed(s.Reconnected(1)), s.Ask)
    link.b.feed(r.Decided(SAVED))
    assert kinds(link.step()) == {s.Delivered, s.Concluded}
    other = Link(sender(), receiver())
    other.step()
    other.a.feed(s.Lost(1))
    assert only(other.a.feed(s.Vanished(1)), s.Finish).reason == "peer-gone"


# --- every pair, every order ---------------------------------------------------------------------------------------------

R_EVENTS: dict[type[Any], Any] = {
    r.CodeTyped: lambda: r.CodeTyped(SecretBytes.from_text(CODE)),
    r.Renewed: lambda: r.Renewed(FINGERPRINT),
    r.ReadyAsked: lambda: r.ReadyAsked(_chance.randrange(4), _chance.random() < 0.5),
    r.HandshakeAsked: lambda: r.HandshakeAsked(_chance.randrange(4), _handshake(), _chance.randbytes(32)),
    r.PayloadAsked: lambda: r.PayloadAsked(_chance.randrange(4), _chance.randbytes(8)),
    r.OutcomeAsked: lambda: r.OutcomeAsked(_chance.randrange(4), "sid=x", _chance.random() < 0.5),
    r.EndSaid: lambda: r.EndSaid(
        _chance.randrange(4), "", wire.encode_end(_chance.choice(["wrong-code", "cancelled"]))
    ),
    r.Dropped: lambda: r.Dropped(_chance.randrange(4)),
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
    s.Answered: lambda: s.Answered(1, *_chance.choice(S_ANSWERS), fresh()),
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
    chance = random.Random(seed)
    for _ in range(10):
        machine = ReceiverMachine(wire.encode_hello("laptop"), code_is_final=chance.random() < 0.5)
        for _ in range(40):
            kind = _pick(chance, receiving.TABLE, machine.phase)
            effects = machine.feed(R_EVENTS[kind]())
            assert 0 <= machine.guesses_left <= 3
            assert r.Review not in kinds(effects)
            answers = [effect for effect in effects if isinstance(effect, r.Answer | r.Hold)]
            asked = kind in (r.ReadyAsked, r.HandshakeAsked, r.PayloadAsked, r.OutcomeAsked, r.EndSaid)
            assert len(answers) == asked


@pytest.mark.parametrize("seed", range(30))
def test_no_order_of_events_breaks_the_sender(seed: int) -> None:
    """Any events and answers in any order: nobody who has not proved the code gets the payload."""
    chance = random.Random(seed)
    for _ in range(10):
        machine = sender()
        number = 0
        for _ in range(40):
            kind = _pick(chance, sending.TABLE, machine.phase)
            event = S_EVENTS[kind]()
            if kind is s.Connected:
                number += 1
                event = s.Connected(number, chance.randbytes(32), fresh())
            elif kind in (s.Answered, s.Lost):
                event = type(event)(chance.randrange(number + 2), *list(vars(event).values())[1:])
            effects = machine.feed(event)
            asks = [effect for effect in effects if isinstance(effect, s.Ask)]
            assert not any(ask.path == wire.PAYLOAD_PATH for ask in asks)
            assert 0 <= machine.guesses_left <= 3
