"""The sender's side of a handoff as a table: events in, effects out. No clock, no sockets, no randomness.

Attempts at several receivers go on side by side; each proof is verified in turn, and a wrong one spends a guess. Nothing of the
payload leaves before a receiver has proved that it knows the code.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keybaton_core import handoff_messages as wire
from keybaton_core.cpace import LowOrderPoint, calculate_generator, multiply
from keybaton_core.encoding import Malformed
from keybaton_core.handoff_keys import HandoffKeys, Transcript, channel_identifier, plaintext_digest
from keybaton_core.handoff_messages import Refusal
from keybaton_core.handoff_sender_events import (
    Answered,
    Ask,
    Ban,
    Cancelled,
    Concluded,
    Connected,
    DeadlineOver,
    Delivered,
    Drop,
    Effect,
    Event,
    Finish,
    ForeignHeard,
    Fresh,
    GraceOver,
    Idle,
    Live,
    Lost,
    Proved,
    Reconnect,
    Reconnected,
    ShowContact,
    ShowGuesses,
    StartGrace,
    Vanished,
)
from keybaton_core.secret import SecretBytes

GUESSES = 3
GRACE_SECONDS = 5.0  # as the receiver's
ANSWER_SECONDS = 3.0  # of silence, after which a connection is dropped
READY_SECONDS = 20.0 + ANSWER_SECONDS  # the receiver holds the request for up to 20 s
PAYLOAD_SECONDS = 30.0  # 1.5 MiB over a bad wireless network
OUTCOME_SECONDS = 60.0 + ANSWER_SECONDS  # the receiver holds the request for up to 60 s
END_SECONDS = 0.5
AGAIN_SECONDS = 0.5  # between two handshakes, or two questions, that led nowhere


class Phase(enum.Enum):
    """Where the session stands."""

    SEEKING = "seeking"
    PROVED = "proved"
    DELIVERED = "delivered"
    ENDED = "ended"


class Stage(enum.Enum):
    """What an attempt has asked last."""

    HANDSHAKE = "handshake"
    READY = "ready"
    END = "end"
    PAYLOAD = "payload"
    OUTCOME = "outcome"


class OutOfPlace(RuntimeError):
    """Our own driver fed an event that the phase or the attempt does not take."""


@dataclass
class _Attempt:
    fingerprint: bytes
    stage: Stage = Stage.HANDSHAKE
    contact: bool = False  # it has spoken the protocol
    rounds: int = 0  # handshakes that came before the code
    ci: bytes = b""
    fresh: Fresh = field(default=Fresh(b"", b""), repr=False)
    ya: bytes = b""


class SenderMachine:
    """One sending session. `hello` is its ADa; the payload's plaintext stays within."""

    def __init__(self, code: SecretBytes, plaintext: SecretBytes, hello: bytes) -> None:
        self.phase = Phase.SEEKING
        self.guesses_left = GUESSES
        self._code = code
        self._plaintext = plaintext
        self._digest = plaintext_digest(plaintext)
        self._hello = hello
        self._attempts: dict[int, _Attempt] = {}
        self._proved: tuple[int, HandoffKeys, bytes] | None = None  # attempt, keys, sid
        self._met: set[str] = set()  # what the deadline's reason is chosen from

    def feed(self, event: Event) -> list[Effect]:
        """What follows from an event. Raises OutOfPlace for a pair that is not in TABLE."""
        handler = TABLE.get((self.phase, type(event)))
        if handler is None:
            raise OutOfPlace(f"{type(event).__name__} in phase {self.phase.value}")
        return handler(self, event)

    @property
    def sid(self) -> bytes | None:
        """The session id of the handshake that proved the receiver."""
        return self._proved[2] if self._proved is not None else None

    # --- attempts ---

    def _connected(self, event: Connected) -> list[Effect]:
        attempt = self._attempts[event.attempt] = _Attempt(event.fingerprint)
        return [self._shake_hands(event.attempt, attempt, event.fresh, 0.0)]

    def _shake_hands(self, number: int, attempt: _Attempt, fresh: Fresh, delay: float) -> Ask:
        attempt.stage = Stage.HANDSHAKE
        attempt.fresh = fresh
        attempt.ci = channel_identifier(attempt.fingerprint)
        attempt.ya = multiply(fresh.scalar, calculate_generator(self._code.reveal(), attempt.ci, fresh.sid))
        body = wire.encode_handshake_request(wire.HandshakeRequest(fresh.sid, attempt.ya, self._hello))
        return Ask(number, "POST", wire.HANDSHAKE_PATH, body, ANSWER_SECONDS, delay)

    def _answered(self, event: Answered) -> list[Effect]:
        attempt = self._attempts.get(event.attempt)
        if attempt is None:
            return []  # dropped while its answer was on the way
        handler = ANSWERS.get((self.phase, attempt.stage))
        if handler is None:
            raise OutOfPlace(f"an answer to {attempt.stage.value} in phase {self.phase.value}")
        try:
            return handler(self, attempt, event)
        except (Malformed, LowOrderPoint, wire.WrongVersion) as error:
            if isinstance(error, wire.WrongVersion):
                self._met.add("version")
            return self._misspoken(event.attempt)

    def _misspoken(self, number: int) -> list[Effect]:
        """What came back is not this protocol. It tested no guess of anybody's."""
        if self.phase is Phase.SEEKING:
            return self._drop(number, failed=True)
        return self._finish("unconfirmed")

    def _handshake_answered(self, attempt: _Attempt, event: Answered) -> list[Effect]:
        if event.status != 200:
            return self._handshake_refused(attempt, event)
        reply = wire.decode_handshake_reply(event.body)
        name = wire.decode_hello(reply.adb)
        transcript = Transcript(attempt.ci, attempt.fresh.sid, attempt.ya, self._hello, reply.yb, reply.adb)
        keys = HandoffKeys(transcript, attempt.fresh.scalar, reply.yb)
        if not keys.proves_receiver(reply.mac_b):
            return self._wrong_proof(event.attempt, attempt)
        self.phase = Phase.PROVED
        self._proved = (event.attempt, keys, attempt.fresh.sid)
        others: list[Effect] = [Drop(other, failed=False) for other in self._attempts if other != event.attempt]
        self._attempts = {event.attempt: attempt}
        attempt.stage = Stage.PAYLOAD
        body = wire.encode_payload_request(wire.PayloadRequest(keys.mac_a(), keys.seal(self._plaintext)))
        ask = Ask(event.attempt, "POST", wire.PAYLOAD_PATH, body, PAYLOAD_SECONDS)
        contact = [] if attempt.contact else [ShowContact(event.attempt)]
        return [*contact, Live(event.attempt), Proved(event.attempt, name), ask, *others]

    def _handshake_refused(self, attempt: _Attempt, event: Answered) -> list[Effect]:
        refusal = wire.decode_refusal(event.status, event.body)
        if refusal is Refusal.CODE_NEEDED:
            self._met.add("waiting")
            attempt.stage = Stage.READY
            ask = Ask(event.attempt, "GET", wire.READY_PATH, None, READY_SECONDS, self._pause(attempt))
            return [*self._contact(event.attempt, attempt), Idle(event.attempt), ask]
        if refusal is Refusal.BUSY:
            self._met.add("busy")
            return [
                Idle(event.attempt),
                self._shake_hands(event.attempt, attempt, event.fresh, AGAIN_SECONDS),
            ]
        self._met |= HINTS.get(refusal, set())
        return self._drop(event.attempt, failed=True)

    def _ready_answered(self, attempt: _Attempt, event: Answered) -> list[Effect]:
        if event.status != 200:
            self._met |= HINTS.get(wire.decode_refusal(event.status, event.body), set())
            return self._drop(event.attempt, failed=True)
        if wire.decode_state(event.body, "ready", "code-needed") == "ready":
            return [
                Live(event.attempt),
                self._shake_hands(event.attempt, attempt, event.fresh, 0.0),
            ]
        return [Ask(event.attempt, "GET", wire.READY_PATH, None, READY_SECONDS, AGAIN_SECONDS)]

    def _wrong_proof(self, number: int, attempt: _Attempt) -> list[Effect]:
        self.guesses_left -= 1
        self._met.add("failed")
        attempt.stage = Stage.END
        effects: list[Effect] = [
            ShowGuesses(self.guesses_left),
            Ban(attempt.fingerprint),
            *self._silent(attempt),
            Ask(number, "POST", wire.END_PATH, wire.encode_end("wrong-code"), END_SECONDS),
        ]
        return effects if self.guesses_left else [*effects, *self._finish("guesses-used-up")]

    def _end_answered(self, attempt: _Attempt, event: Answered) -> list[Effect]:
        final = event.status == 200 and wire.decode_state(event.body, "again", "final", "noted") == "final"
        drop = self._drop(event.attempt, failed=True)
        return [*drop, StartGrace()] if final else drop

    def _payload_answered(self, attempt: _Attempt, event: Answered) -> list[Effect]:
        if event.status != 200:
            refusal = wire.decode_refusal(event.status, event.body)
            reasons = {
                Refusal.PAYLOAD_INVALID: "payload-invalid",
                Refusal.PAYLOAD_TOO_LARGE: "payload-too-large",
                Refusal.OUT_OF_TURN: "busy",  # another sender was quicker
                Refusal.ENDED: "cancelled",
            }
            reason = reasons.get(refusal, "peer-gone")
            return self._finish(reason, by_peer=reason != "peer-gone")
        wire.decode_state(event.body, "review")
        return self._delivered(event.attempt, attempt)

    def _delivered(self, number: int, attempt: _Attempt) -> list[Effect]:
        self.phase = Phase.DELIVERED
        return [Delivered(), self._ask_outcome(number, attempt, 0.0)]

    def _ask_outcome(self, number: int, attempt: _Attempt, delay: float) -> Ask:
        assert self._proved is not None
        attempt.stage = Stage.OUTCOME
        path = f"{wire.OUTCOME_PATH}?{wire.format_sid_query(self._proved[2])}"
        return Ask(number, "GET", path, None, OUTCOME_SECONDS, delay)

    def _outcome_answered(self, attempt: _Attempt, event: Answered) -> list[Effect]:
        assert self._proved is not None
        if event.status != 200:
            refusal = wire.decode_refusal(event.status, event.body)
            never = self.phase is Phase.PROVED and refusal is Refusal.UNKNOWN
            return self._finish("peer-gone" if never else "unconfirmed")
        outcome, receipt = wire.decode_outcome(event.body)
        if outcome.state == "review":
            arrived: list[Effect] = [] if self.phase is Phase.DELIVERED else [Delivered()]
            self.phase = Phase.DELIVERED
            return [*arrived, self._ask_outcome(event.attempt, attempt, AGAIN_SECONDS)]
        if not self._proved[1].proves_outcome(receipt, self._digest, outcome.receipt_text()):
            return self._finish("unconfirmed")
        if outcome.state == "failed":
            return self._finish(outcome.detail, by_peer=True)
        early: list[Effect] = [] if self.phase is Phase.DELIVERED else [Delivered()]
        self._end()
        return [*early, Concluded(outcome)]

    def _lost_seeking(self, event: Lost) -> list[Effect]:
        return self._drop(event.attempt, failed=True) if event.attempt in self._attempts else []

    def _lost_proved(self, event: Lost) -> list[Effect]:
        return [Reconnect(event.attempt)] if event.attempt in self._attempts else []

    def _reconnected(self, event: Reconnected) -> list[Effect]:
        return [self._ask_outcome(event.attempt, self._attempts[event.attempt], 0.0)]

    def _vanished(self, event: Vanished) -> list[Effect]:
        return self._finish("unconfirmed")

    # --- the session ---

    @property
    def only_photosphere(self) -> bool:
        """Whether all that was heard and understood so far is Photosphere, which is not spoken here."""
        return self.phase is Phase.SEEKING and self._met == {"photosphere"}

    def _foreign_heard(self, event: ForeignHeard) -> list[Effect]:
        self._met.add("version" if event.version else "photosphere")
        return []

    def _grace_over(self, event: GraceOver) -> list[Effect]:
        return [] if any(attempt.contact for attempt in self._attempts.values()) else self._finish("wrong-code")

    def _deadline_over(self, event: DeadlineOver) -> list[Effect]:
        if event.crowded:
            self._met.add("crowded")
        for met, reason in DEADLINE_REASONS:
            if met in self._met:
                return self._finish(reason)
        return self._finish("no-peer" if event.reachable or event.heard else "network")

    def _too_long(self, event: DeadlineOver) -> list[Effect]:
        return self._finish("unconfirmed")

    def _cancelled(self, event: Cancelled) -> list[Effect]:
        return self._finish("cancelled")

    def _nothing(self, event: Event) -> list[Effect]:
        return []

    # --- shared steps ---

    def _pause(self, attempt: _Attempt) -> float:
        attempt.rounds += 1
        return AGAIN_SECONDS if attempt.rounds > 1 else 0.0

    def _contact(self, number: int, attempt: _Attempt) -> list[Effect]:
        first = not any(other.contact for other in self._attempts.values())
        attempt.contact = True
        return [ShowContact(number)] if first else []

    def _silent(self, attempt: _Attempt) -> list[Effect]:
        """This attempt is no contact any more; another may be, or none."""
        if not attempt.contact:
            return []
        attempt.contact = False
        return [ShowContact(next((n for n, other in self._attempts.items() if other.contact), None))]

    def _drop(self, number: int, *, failed: bool) -> list[Effect]:
        attempt = self._attempts.pop(number)
        return [Drop(number, failed), *self._silent(attempt)]

    def _finish(self, reason: str, *, by_peer: bool = False) -> list[Effect]:
        self._end()
        return [Finish(reason, by_peer)]

    def _end(self) -> None:
        self.phase = Phase.ENDED
        self._plaintext.wipe()
        self._code.wipe()


# When the time is over: the first of these that was met says why.
DEADLINE_REASONS: tuple[tuple[str, str], ...] = (
    ("failed", "wrong-code"),
    ("spent", "guesses-used-up"),
    ("crowded", "many-announcers"),
    ("waiting", "expired"),
    ("busy", "busy"),
    ("version", "wrong-version"),
    ("photosphere", "photosphere-only"),
)

# What a refusal is remembered as. Nobody has proved anything yet: it ends nothing, it only names the reason in the end.
HINTS: dict[Refusal, set[str]] = {
    Refusal.BUSY: {"busy"},
    Refusal.WRONG_VERSION: {"version"},
    Refusal.GUESSES_USED_UP: {"spent"},
}

_M = SenderMachine

ANSWERS: dict[tuple[Phase, Stage], Callable[[SenderMachine, _Attempt, Answered], list[Effect]]] = {
    (Phase.SEEKING, Stage.HANDSHAKE): _M._handshake_answered,
    (Phase.SEEKING, Stage.READY): _M._ready_answered,
    (Phase.SEEKING, Stage.END): _M._end_answered,
    (Phase.PROVED, Stage.PAYLOAD): _M._payload_answered,
    (Phase.PROVED, Stage.OUTCOME): _M._outcome_answered,
    (Phase.DELIVERED, Stage.OUTCOME): _M._outcome_answered,
}

TABLE: dict[tuple[Phase, type[Any]], Callable[[SenderMachine, Any], list[Effect]]] = {
    (Phase.SEEKING, Connected): _M._connected,
    (Phase.SEEKING, Answered): _M._answered,
    (Phase.SEEKING, Lost): _M._lost_seeking,
    (Phase.SEEKING, ForeignHeard): _M._foreign_heard,
    (Phase.SEEKING, GraceOver): _M._grace_over,
    (Phase.SEEKING, DeadlineOver): _M._deadline_over,
    (Phase.SEEKING, Cancelled): _M._cancelled,
    (Phase.PROVED, Answered): _M._answered,
    (Phase.PROVED, Lost): _M._lost_proved,
    (Phase.PROVED, Reconnected): _M._reconnected,
    (Phase.PROVED, Vanished): _M._vanished,
    (Phase.PROVED, ForeignHeard): _M._nothing,
    (Phase.PROVED, GraceOver): _M._nothing,
    (Phase.PROVED, DeadlineOver): _M._too_long,
    (Phase.PROVED, Cancelled): _M._cancelled,
    (Phase.DELIVERED, Answered): _M._answered,
    (Phase.DELIVERED, Lost): _M._lost_proved,
    (Phase.DELIVERED, Reconnected): _M._reconnected,
    (Phase.DELIVERED, Vanished): _M._vanished,
    (Phase.DELIVERED, ForeignHeard): _M._nothing,
    (Phase.DELIVERED, GraceOver): _M._nothing,
    (Phase.DELIVERED, DeadlineOver): _M._too_long,
    (Phase.DELIVERED, Cancelled): _M._cancelled,
    (Phase.ENDED, Answered): _M._nothing,
    (Phase.ENDED, Lost): _M._nothing,
    (Phase.ENDED, ForeignHeard): _M._nothing,
    (Phase.ENDED, GraceOver): _M._nothing,
    (Phase.ENDED, DeadlineOver): _M._nothing,
    (Phase.ENDED, Cancelled): _M._nothing,
}
