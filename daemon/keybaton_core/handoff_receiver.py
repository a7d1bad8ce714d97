"""The receiver's side of a handoff as a table: events in, effects out. No clock, no sockets, no randomness.

A guess is spent before a handshake is answered, since the answer lets whoever asked test one code in private; it is given back
when the proof that follows is valid. What a peer may ask is in the table for every phase; our own events only where they fit.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keybaton_core import handoff_messages as wire
from keybaton_core.cpace import LowOrderPoint, calculate_generator, multiply
from keybaton_core.encoding import Malformed
from keybaton_core.handoff_keys import HandoffKeys, SealBroken, Transcript, channel_identifier, plaintext_digest
from keybaton_core.handoff_messages import Outcome, Refusal
from keybaton_core.handoff_payload import decode_payload
from keybaton_core.handoff_receiver_events import (
    Answer,
    AskAgain,
    AwaitProof,
    Cancelled,
    CodeTyped,
    DeadlineOver,
    Decided,
    Dropped,
    Effect,
    EndSaid,
    Event,
    Finish,
    GraceOver,
    HandshakeAsked,
    Hold,
    OutcomeAsked,
    PayloadAsked,
    Proved,
    ReadyAsked,
    Renewed,
    Review,
    SenderWaits,
    ShowGuesses,
    StartGrace,
    Told,
)
from keybaton_core.offers import same_device
from keybaton_core.secret import SecretBytes

GUESSES = 3
GRACE_SECONDS = 5.0  # in which another sender may still come, where nobody can type again
PROOF_SECONDS = 3.0  # in which the payload has to begin to follow a handshake


class Phase(enum.Enum):
    """Where the session stands."""

    CODE_NEEDED = "code-needed"
    READY = "ready"
    RENEWING = "renewing"  # a certificate is being made: the first, or a new one after a wrong code
    REVIEW = "review"
    ENDED = "ended"


class OutOfPlace(RuntimeError):
    """Our own driver fed an event that the phase does not take."""


@dataclass
class _Handshake:
    """One that was answered: its guess is spent, its proof is awaited."""

    sid: bytes
    keys: HandoffKeys
    name: str


class ReceiverMachine:
    """One receiving session, in want of its first certificate. `hello` is its ADb."""

    def __init__(self, hello: bytes, *, code_is_final: bool) -> None:
        self.phase = Phase.RENEWING
        self.guesses_left = GUESSES
        self._fingerprint = b""
        self._hello = hello
        self._final = code_is_final
        self._code: SecretBytes | None = None
        self._sender = ""  # the device that the code is of; empty: any
        self._pending: dict[int, _Handshake] = {}
        self._used: set[int] = set()  # connections that have had their handshake
        self._renew = False  # the code is known to be wrong, but another handshake is still open
        self._proved: _Handshake | None = None
        self._proved_on = 0
        self._digest = b""
        self._outcome: Outcome | None = None
        self._answered: set[int] = set()  # connections that were given the outcome
        self._ended = Refusal.ENDED  # what is said to whoever comes after the end
        self._met: set[str] = set()  # what the deadline's reason is chosen from

    def feed(self, event: Event) -> list[Effect]:
        """What follows from an event. Raises OutOfPlace for a pair that is not in TABLE."""
        handler = TABLE.get((self.phase, type(event)))
        if handler is None:
            raise OutOfPlace(f"{type(event).__name__} in phase {self.phase.value}")
        return handler(self, event)

    def refuses(self, path: str, connection: int) -> Refusal | None:
        """Why a body is not even read, or None."""
        if path == wire.HANDSHAKE_PATH:
            if self.phase in (Phase.REVIEW, Phase.ENDED):
                return Refusal.BUSY if self.phase is Phase.REVIEW else self._ended
            return Refusal.OUT_OF_TURN if connection in self._used else None
        if path == wire.PAYLOAD_PATH and connection not in self._pending:
            return self._ended if self.phase is Phase.ENDED else Refusal.OUT_OF_TURN
        return None

    # --- our own side ---

    def _code_typed(self, event: CodeTyped) -> list[Effect]:
        self._code = event.code
        self._sender = event.sender
        if self.phase is Phase.CODE_NEEDED:
            self.phase = Phase.READY
        return []

    def _renewed(self, event: Renewed) -> list[Effect]:
        self._fingerprint = event.fingerprint
        self.phase = Phase.CODE_NEEDED if self._code is None else Phase.READY
        return []

    def _decided(self, event: Decided) -> list[Effect]:
        self._outcome = event.outcome
        self.phase = Phase.ENDED
        return []

    def _grace_over(self, event: GraceOver) -> list[Effect]:
        return [] if self._pending else self._finish("wrong-code")

    def _deadline_over(self, event: DeadlineOver) -> list[Effect]:
        for met, *ending in DEADLINE_ENDINGS:
            if met in self._met:
                return self._finish(*ending)
        return self._finish("no-peer")

    def _cancelled(self, event: Cancelled) -> list[Effect]:
        return self._finish("cancelled")

    def _nothing(self, event: Event) -> list[Effect]:
        return []

    # --- what peers ask ---

    def _ready_asked(self, event: ReadyAsked) -> list[Effect]:
        self._met.add("sender")
        if self.phase is Phase.READY and not self._renew and self.guesses_left:
            return [Answer(event.connection, 200, wire.encode_state("ready"))]
        if self.phase is not Phase.READY or self._renew:
            waits: list[Effect] = [SenderWaits(event.connection)]
            if event.last:
                return [*waits, Answer(event.connection, 200, wire.encode_state("code-needed"))]
            return [*waits, Hold(event.connection)]
        return _refuse(event.connection, Refusal.BUSY) if event.last else [Hold(event.connection)]

    def _handshake_early(self, event: HandshakeAsked) -> list[Effect]:
        self._met.add("sender")
        return [SenderWaits(event.connection), *_refuse(event.connection, Refusal.CODE_NEEDED)]

    def _handshake_asked(self, event: HandshakeAsked) -> list[Effect]:
        if self._renew:
            return self._handshake_early(event)
        if event.connection in self._used:
            return _refuse(event.connection, Refusal.OUT_OF_TURN)
        if not self.guesses_left:
            return _refuse(event.connection, Refusal.BUSY)
        assert self._code is not None
        try:
            request = wire.decode_handshake_request(event.body)
            name = wire.decode_hello(request.ada)
            if self._sender and not same_device(name, self._sender):
                # Its code is another one. A stranger can take any name, and then spends a guess as it would have without.
                self._met.add("others")
                return _refuse(event.connection, Refusal.BUSY)
            ci = channel_identifier(self._fingerprint)
            yb = multiply(event.scalar, calculate_generator(self._code.reveal(), ci, request.sid))
            transcript = Transcript(ci, request.sid, request.ya, request.ada, yb, self._hello)
            keys = HandoffKeys(transcript, event.scalar, request.ya)
        except wire.WrongVersion:
            self._met.add("version")
            return _refuse(event.connection, Refusal.WRONG_VERSION)
        except (Malformed, LowOrderPoint):
            return _refuse(event.connection, Refusal.MALFORMED)
        self._met.add("sender")
        self.guesses_left -= 1
        self._used.add(event.connection)
        self._pending[event.connection] = _Handshake(request.sid, keys, name)
        reply = wire.encode_handshake_reply(wire.HandshakeReply(yb, self._hello, keys.mac_b()))
        return [AwaitProof(event.connection), Answer(event.connection, 200, reply)]

    def _payload_asked(self, event: PayloadAsked) -> list[Effect]:
        handshake = self._pending.pop(event.connection, None)
        if handshake is None:
            return _refuse(event.connection, Refusal.OUT_OF_TURN)
        try:
            request = wire.decode_payload_request(event.body)
        except Malformed:
            return [*_refuse(event.connection, Refusal.MALFORMED), *self._failed()]
        if not handshake.keys.proves_sender(request.mac_a):
            return [*_refuse(event.connection, Refusal.NOT_PROVED), *self._failed()]
        self.guesses_left += 1
        proved: list[Effect] = [ShowGuesses(self.guesses_left), Proved(event.connection, handshake.name)]
        try:
            plaintext = handshake.keys.open(request.sealed)
            payload = decode_payload(plaintext)
        except (SealBroken, Malformed) as broken:
            field = broken.field if isinstance(broken, Malformed) else "sealed"
            answer = Answer(event.connection, 422, wire.encode_refusal(Refusal.PAYLOAD_INVALID, field), close=True)
            return [*proved, answer, *self._finish("payload-invalid", field)]
        self._proved, self._proved_on = handshake, event.connection
        self._digest = plaintext_digest(plaintext)
        plaintext.wipe()
        self._pending.clear()
        self.phase = Phase.REVIEW
        return [*proved, Review(payload), Answer(event.connection, 200, wire.encode_state("review"))]

    def _outcome_asked(self, event: OutcomeAsked) -> list[Effect]:
        if not self._knows(event.query):
            return _refuse(event.connection, Refusal.UNKNOWN)
        assert self._proved is not None
        if self._outcome is None:
            body = wire.encode_outcome(Outcome("review"), None)
            return [Answer(event.connection, 200, body)] if event.last else [Hold(event.connection)]
        receipt = self._proved.keys.receipt(self._digest, self._outcome.receipt_text())
        # The sender closes once it has it. Closing here would look alike on a connection that is broken already.
        self._answered.add(event.connection)
        return [Answer(event.connection, 200, wire.encode_outcome(self._outcome, receipt))]

    def _dropped_after(self, event: Dropped) -> list[Effect]:
        return [Told()] if event.connection in self._answered else []

    def _end_said(self, event: EndSaid) -> list[Effect]:
        try:
            reason = wire.decode_end(event.body)
        except Malformed:
            return _refuse(event.connection, Refusal.MALFORMED)
        if self._pending.pop(event.connection, None) is None:
            return [Answer(event.connection, 200, wire.encode_state("noted"), close=True)]
        state = "again"
        if reason == "wrong-code":
            state = "final" if self._final else "again"
            self._renew = not self._final
        return [Answer(event.connection, 200, wire.encode_state(state), close=True), *self._failed()]

    def _end_in_review(self, event: EndSaid) -> list[Effect]:
        try:
            wire.decode_end(event.body)
        except Malformed:
            return _refuse(event.connection, Refusal.MALFORMED)
        answer = Answer(event.connection, 200, wire.encode_state("noted"), close=True)
        if event.connection == self._proved_on or self._knows(event.query):
            return [answer, *self._finish("cancelled")]
        return [answer]

    def _dropped(self, event: Dropped) -> list[Effect]:
        self._used.discard(event.connection)
        return [] if self._pending.pop(event.connection, None) is None else self._failed()

    def _busy(self, event: ReadyAsked | HandshakeAsked) -> list[Effect]:
        return _refuse(event.connection, Refusal.BUSY)

    def _out_of_turn(self, event: PayloadAsked) -> list[Effect]:
        return _refuse(event.connection, Refusal.OUT_OF_TURN)

    def _unknown(self, event: OutcomeAsked) -> list[Effect]:
        """No payload of this sid was taken, and after this answer none is: the sender says that nothing was handed over."""
        given_up = [number for number, one in self._pending.items() if _is_sid(event.query, one.sid)]
        for number in given_up:
            del self._pending[number]
        refused = _refuse(event.connection, Refusal.UNKNOWN)
        return [*refused, *self._failed()] if given_up else refused

    def _over(self, event: ReadyAsked | HandshakeAsked | PayloadAsked | EndSaid) -> list[Effect]:
        return _refuse(event.connection, self._ended)

    # --- shared steps ---

    def _failed(self) -> list[Effect]:
        """A handshake was answered and its guess stays spent."""
        self._met.add("failed")
        effects: list[Effect] = [ShowGuesses(self.guesses_left)]
        if self._pending:
            return effects
        if not self.guesses_left:
            return [*effects, *self._finish("guesses-used-up")]
        if self._final:
            return [*effects, StartGrace()]
        if self._renew:
            self._renew = False
            self._code = None
            self.phase = Phase.RENEWING
            return [*effects, AskAgain()]
        return effects

    def _finish(self, reason: str, field: str = "") -> list[Effect]:
        if self._proved is not None:
            self._outcome = Outcome("failed", reason)
        if reason == "guesses-used-up":
            self._ended = Refusal.GUESSES_USED_UP
        self._pending.clear()
        self._code = None
        self.phase = Phase.ENDED
        return [Finish(reason, field)]

    def _knows(self, query: str) -> bool:
        return self._proved is not None and _is_sid(query, self._proved.sid)


def _is_sid(query: str, sid: bytes) -> bool:
    try:
        return wire.parse_sid_query(query) == sid
    except Malformed:
        return False


def _refuse(connection: int, refusal: Refusal) -> list[Effect]:
    # What comes on the connection after these is not wanted: the peer starts afresh.
    close = refusal not in (Refusal.CODE_NEEDED, Refusal.BUSY)
    return [Answer(connection, wire.STATUS[refusal], wire.encode_refusal(refusal), close=close)]


# When the time is over: the first of these that was met says why.
DEADLINE_ENDINGS = (
    ("failed", "wrong-code"),
    ("others", "no-peer", "sender"),
    ("sender", "expired"),
    ("version", "wrong-version"),
)

_Handler = Callable[[ReceiverMachine, Any], list[Effect]]
_M = ReceiverMachine

TABLE: dict[tuple[Phase, type[Any]], _Handler] = {
    (Phase.CODE_NEEDED, CodeTyped): _M._code_typed,
    (Phase.CODE_NEEDED, ReadyAsked): _M._ready_asked,
    (Phase.CODE_NEEDED, HandshakeAsked): _M._handshake_early,
    (Phase.CODE_NEEDED, PayloadAsked): _M._out_of_turn,
    (Phase.CODE_NEEDED, OutcomeAsked): _M._unknown,
    (Phase.CODE_NEEDED, EndSaid): _M._end_said,
    (Phase.CODE_NEEDED, Dropped): _M._dropped,
    (Phase.CODE_NEEDED, DeadlineOver): _M._deadline_over,
    (Phase.CODE_NEEDED, Cancelled): _M._cancelled,
    (Phase.READY, ReadyAsked): _M._ready_asked,
    (Phase.READY, HandshakeAsked): _M._handshake_asked,
    (Phase.READY, PayloadAsked): _M._payload_asked,
    (Phase.READY, OutcomeAsked): _M._unknown,
    (Phase.READY, EndSaid): _M._end_said,
    (Phase.READY, Dropped): _M._dropped,
    (Phase.READY, GraceOver): _M._grace_over,
    (Phase.READY, DeadlineOver): _M._deadline_over,
    (Phase.READY, Cancelled): _M._cancelled,
    (Phase.RENEWING, CodeTyped): _M._code_typed,
    (Phase.RENEWING, Renewed): _M._renewed,
    (Phase.RENEWING, ReadyAsked): _M._ready_asked,
    (Phase.RENEWING, HandshakeAsked): _M._handshake_early,
    (Phase.RENEWING, PayloadAsked): _M._out_of_turn,
    (Phase.RENEWING, OutcomeAsked): _M._unknown,
    (Phase.RENEWING, EndSaid): _M._end_said,
    (Phase.RENEWING, Dropped): _M._dropped,
    (Phase.RENEWING, DeadlineOver): _M._deadline_over,
    (Phase.RENEWING, Cancelled): _M._cancelled,
    (Phase.REVIEW, ReadyAsked): _M._busy,
    (Phase.REVIEW, HandshakeAsked): _M._busy,
    (Phase.REVIEW, PayloadAsked): _M._out_of_turn,
    (Phase.REVIEW, OutcomeAsked): _M._outcome_asked,
    (Phase.REVIEW, EndSaid): _M._end_in_review,
    (Phase.REVIEW, Dropped): _M._dropped,
    (Phase.REVIEW, GraceOver): _M._nothing,
    (Phase.REVIEW, DeadlineOver): _M._nothing,
    (Phase.REVIEW, Decided): _M._decided,
    (Phase.REVIEW, Cancelled): _M._cancelled,
    (Phase.ENDED, ReadyAsked): _M._over,
    (Phase.ENDED, HandshakeAsked): _M._over,
    (Phase.ENDED, PayloadAsked): _M._over,
    (Phase.ENDED, OutcomeAsked): _M._outcome_asked,
    (Phase.ENDED, EndSaid): _M._over,
    (Phase.ENDED, Dropped): _M._dropped_after,
    (Phase.ENDED, GraceOver): _M._nothing,
    (Phase.ENDED, DeadlineOver): _M._nothing,
    (Phase.ENDED, Cancelled): _M._nothing,
}
