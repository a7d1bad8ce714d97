"""The rules of a handoff on its two machines: guesses, turns, what peers may not do, and the reasons in the end."""

from __future__ import annotations

from typing import Any

import pytest

from keybaton_core import handoff_messages as wire
from keybaton_core import handoff_receiver as receiving
from keybaton_core import handoff_receiver_events as r
from keybaton_core import handoff_sender_events as s
from keybaton_core.encoding import encode_object
from keybaton_core.handoff_messages import Outcome
from keybaton_core.handoff_payload import encode_payload
from keybaton_core.handoff_sender import AGAIN_SECONDS, SenderMachine
from keybaton_core.secret import SecretBytes
from keybaton_testing.handoff_link import (
    CODE,
    FINGERPRINT,
    OTHER,
    PAYLOAD,
    SAVED,
    Link,
    fresh,
    kinds,
    only,
    receiver,
    sender,
)

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
    ended = link.step()
    assert only(ended, s.Concluded).outcome == outcome
    assert s.Delivered not in kinds(ended)  # it was told once
    assert kinds(link.b.feed(r.Dropped(1))) == {r.Told}


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


def test_a_sender_waits_at_once_and_from_the_second_time_on_with_a_pause() -> None:
    """A receiver that says now ready, now not, is not asked without end."""
    link = Link(sender(), receiver())
    for delay in (0.0, AGAIN_SECONDS, AGAIN_SECONDS):
        assert link.ask.path == wire.HANDSHAKE_PATH
        refused = wire.encode_refusal(wire.Refusal.CODE_NEEDED)
        link.answer(r.Answer(1, wire.STATUS[wire.Refusal.CODE_NEEDED], refused))
        assert (link.ask.path, link.ask.delay) == (wire.READY_PATH, delay)
        link.answer(r.Answer(1, 200, wire.encode_state("ready")))


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
    assert only(link.a.feed(s.Answered(1, 200, body, fresh())), s.Drop) == s.Drop(1, failed=True)
    assert link.a.feed(s.Lost(1)) == []


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
    asked = only(
        b.feed(r.ReadyAsked(3, True)), r.Answer
    )  # nor is another let in with the code that was said to be wrong
    assert wire.decode_state(asked.body, "ready", "code-needed") == "code-needed"
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


def test_the_proved_sender_can_cancel_on_its_connection_without_a_sid() -> None:
    """It is known by what it came on."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    assert only(link.b.feed(r.EndSaid(1, "", wire.encode_end("cancelled"))), r.Finish).reason == "cancelled"


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
