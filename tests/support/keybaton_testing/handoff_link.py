"""The two session machines joined without a network: requests carried over and answers back, one at a time."""

from __future__ import annotations

import random
from typing import Any

from keybaton_core import handoff_messages as wire
from keybaton_core import handoff_receiver_events as r
from keybaton_core import handoff_sender_events as s
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

chance = random.Random(7)


def fresh() -> s.Fresh:
    return s.Fresh(chance.randbytes(16), chance.randbytes(32))


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
        events: dict[str, r.Event] = {
            wire.READY_PATH: r.ReadyAsked(self.number, last),
            wire.HANDSHAKE_PATH: r.HandshakeAsked(self.number, body, chance.randbytes(32)),
            wire.PAYLOAD_PATH: r.PayloadAsked(self.number, body),
            wire.OUTCOME_PATH: r.OutcomeAsked(self.number, query, last),
            wire.END_PATH: r.EndSaid(self.number, query, body),
        }
        self.seen_b = self.b.feed(events[path])
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
