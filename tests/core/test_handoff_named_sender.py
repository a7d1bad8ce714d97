"""A receiver that is for one named device: what others are told, and what the name is worth to whoever takes it."""

from __future__ import annotations

from keybaton_core import handoff_messages as wire
from keybaton_core import handoff_receiver as receiving
from keybaton_core import handoff_receiver_events as r
from keybaton_core import handoff_sender_events as s
from keybaton_core.handoff_payload import encode_payload
from keybaton_core.handoff_sender import SenderMachine
from keybaton_core.secret import SecretBytes
from keybaton_testing.handoff_link import CODE, OTHER, PAYLOAD, Link, kinds, only, receiver, sender


def test_a_handshake_of_another_device_than_the_named_one_costs_nobody_anything() -> None:
    """It is told nothing that a code could be tested against, may ask again, and the device that was named comes through."""
    b = receiver(None)
    b.feed(r.CodeTyped(SecretBytes.from_text(OTHER), "tablet"))
    link = Link(sender(), b)
    for _ in range(10):
        reply = link.request()
        assert reply is not None
        assert (reply.status, reply.body, reply.close) == (409, wire.encode_refusal(wire.Refusal.BUSY), False)
        assert s.Idle in kinds(link.answer(reply))
    assert (link.a.guesses_left, b.guesses_left) == (3, 3)
    named = SenderMachine(SecretBytes.from_text(OTHER), encode_payload(PAYLOAD), wire.encode_hello("TABLET"))
    assert s.Proved in kinds(Link(named, b, 2).step())


def test_whoever_takes_the_name_guesses_as_before() -> None:
    """A name opens nothing: each handshake under it spends a guess, and the third is the last."""
    b = receiver(None, final=True)
    b.feed(r.CodeTyped(SecretBytes.from_text(CODE), "desk"))
    for number in (1, 2, 3):
        assert s.Ban in kinds(Link(sender(OTHER), b, number).step())
        assert b.guesses_left == 3 - number
        b.feed(r.Dropped(number))
    assert b.phase is receiving.Phase.ENDED


def test_only_other_devices_than_the_named_one_is_told_at_the_deadline() -> None:
    """The sender says busy, the receiver no-peer and what kind of it."""
    b = receiver(None)
    b.feed(r.CodeTyped(SecretBytes.from_text(CODE), "tablet"))
    link = Link(sender(), b)
    link.step()
    assert only(b.feed(r.DeadlineOver()), r.Finish) == r.Finish("no-peer", "sender")
    assert only(link.a.feed(s.DeadlineOver(1, False, True)), s.Finish).reason == "busy"
