"""What a sender may say of a payload that has left: the truth of a receipt, that it never arrived, or that it does not know."""

from __future__ import annotations

import pytest

from keybaton_core import handoff_messages as wire
from keybaton_core import handoff_receiver as receiving
from keybaton_core import handoff_receiver_events as r
from keybaton_core import handoff_sender_events as s
from keybaton_core.handoff_messages import Outcome
from keybaton_testing.handoff_link import SAVED, Link, fresh, kinds, only, receiver, sender


def asked(link: Link, query: str, connection: int = 9) -> tuple[int, bytes]:
    """Status and body of the answer to a question for an outcome on another connection."""
    answer = only(link.b.feed(r.OutcomeAsked(connection, query, True)), r.Answer)
    return answer.status, answer.body


def sid_of(link: Link) -> str:
    return wire.format_sid_query(link.a.sid or b"")


UNKNOWN = (404, wire.encode_refusal(wire.Refusal.UNKNOWN))


def test_the_outcome_is_for_whoever_knows_the_session() -> None:
    """Another sid, or none: unknown."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    for other in ("", "sid=", wire.format_sid_query(bytes(16)), sid_of(link) + "=="):
        assert asked(link, other) == UNKNOWN
    assert asked(link, sid_of(link))[0] == 200


def test_a_receipt_that_does_not_fit_is_nothing_known() -> None:
    """Whoever answers in the receiver's place cannot say saved."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    body = wire.encode_outcome(SAVED, bytes(32))
    assert only(link.a.feed(s.Answered(1, 200, body, fresh())), s.Finish) == s.Finish("unconfirmed")


def test_a_lost_connection_after_the_proof_is_taken_up_again() -> None:
    """The outcome may be asked on a new connection."""
    link = Link(sender(), receiver())
    link.step()
    link.request()  # the payload arrives, its answer does not
    assert kinds(link.a.feed(s.Lost(1))) == {s.Reconnect}
    link.ask = only(link.a.feed(s.Reconnected(1)), s.Ask)
    link.b.feed(r.Decided(SAVED))
    assert kinds(link.step()) == {s.Delivered, s.Concluded}


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("event", [s.Vanished(1), s.DeadlineOver(1, False, True)])
def test_without_the_receiver_nobody_knows(arrived: bool, event: s.Event) -> None:
    """Whether the payload arrived or not: the sender cannot tell, and says that it may have been saved."""
    link = Link(sender(), receiver())
    link.step()
    if arrived:
        link.step()
    link.a.feed(s.Lost(1))
    assert only(link.a.feed(event), s.Finish) == s.Finish("unconfirmed")


def test_a_payload_that_never_arrived_is_known_not_to_have_been_taken() -> None:
    """The receiver says so on the new connection, and takes it no more, should it still come in on the old one."""
    link = Link(sender(), receiver())
    link.step()
    payload = link.ask
    link.a.feed(s.Lost(1))
    link.ask = only(link.a.feed(s.Reconnected(1)), s.Ask)
    assert asked(link, link.ask.path.partition("?")[2], connection=2) == UNKNOWN
    assert link.b.refuses(wire.PAYLOAD_PATH, 1) is wire.Refusal.OUT_OF_TURN
    late = link.b.feed(r.PayloadAsked(1, payload.body or b""))
    assert kinds(late) == {r.Answer}
    assert link.b.phase is receiving.Phase.READY
    assert link.b.guesses_left == 2
    assert only(link.a.feed(s.Answered(1, *UNKNOWN, fresh())), s.Finish) == s.Finish("peer-gone")


def test_a_stranger_cannot_make_the_receiver_forget_a_handshake() -> None:
    """It would have to know the session's id, which only its two ends have seen."""
    link = Link(sender(), receiver())
    link.step()
    for query in ("", "sid=", wire.format_sid_query(bytes(16))):
        assert asked(link, query) == UNKNOWN
    assert s.Delivered in kinds(link.step())


@pytest.mark.parametrize(
    ("status", "body"),
    [UNKNOWN, (410, wire.encode_refusal(wire.Refusal.ENDED)), (500, b"<html>"), (200, b"{}"), (200, b"")],
)
def test_nonsense_after_the_payload_was_taken_is_nothing_known(status: int, body: bytes) -> None:
    """A receiver that had it and now says otherwise, or nothing that can be read."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    assert only(link.a.feed(s.Answered(1, status, body, fresh())), s.Finish) == s.Finish("unconfirmed")


def test_an_unreadable_answer_to_the_payload_is_nothing_known() -> None:
    """It left, and nobody said what became of it."""
    link = Link(sender(), receiver())
    link.step()
    assert only(link.a.feed(s.Answered(1, 500, b"<html>", fresh())), s.Finish) == s.Finish("unconfirmed")


def test_the_outcome_of_the_truth_is_unchanged_by_a_question_before_the_end() -> None:
    """Asked during the review it is `review`, and then what it is."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    assert asked(link, sid_of(link)) == (200, wire.encode_outcome(Outcome("review"), None))
    link.b.feed(r.Decided(SAVED))
    assert only(link.step(), s.Concluded).outcome == SAVED


def test_an_outcome_counts_as_told_once_the_sender_has_closed_that_connection() -> None:
    """Answering into a connection that is broken tells nobody; the end of another one says nothing."""
    link = Link(sender(), receiver())
    link.step()
    link.step()
    link.b.feed(r.Decided(SAVED))
    status, _ = asked(link, sid_of(link), connection=4)
    assert status == 200
    assert link.b.feed(r.Dropped(1)) == []
    assert kinds(link.b.feed(r.Dropped(4))) == {r.Told}
