"""What happens to a receiving handoff (events) and what its machine wants done (effects)."""

from __future__ import annotations

from dataclasses import dataclass

from keybaton_core.handoff_messages import Outcome
from keybaton_core.payload import Payload
from keybaton_core.secret import SecretBytes

# --- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CodeTyped:
    """The person has given the code, and the name of the device that it is of (empty: any)."""

    code: SecretBytes
    sender: str = ""


@dataclass(frozen=True)
class Renewed:
    """A server with this certificate (SHA-256) serves from now on."""

    fingerprint: bytes


@dataclass(frozen=True)
class ReadyAsked:
    """`last`: it cannot be held any longer."""

    connection: int
    last: bool


@dataclass(frozen=True)
class HandshakeAsked:
    """`scalar`: 32 fresh random bytes."""

    connection: int
    body: bytes
    scalar: bytes


@dataclass(frozen=True)
class PayloadAsked:
    connection: int
    body: bytes


@dataclass(frozen=True)
class OutcomeAsked:
    connection: int
    query: str
    last: bool


@dataclass(frozen=True)
class EndSaid:
    connection: int
    query: str
    body: bytes


@dataclass(frozen=True)
class Dropped:
    """A connection has ended, or its proof did not come in time."""

    connection: int


@dataclass(frozen=True)
class Decided:
    """The review is over."""

    outcome: Outcome


@dataclass(frozen=True)
class GraceOver:
    """GRACE_SECONDS have passed since the last StartGrace."""


@dataclass(frozen=True)
class DeadlineOver:
    """The time until `authenticated` is over."""


@dataclass(frozen=True)
class Cancelled:
    """The person, or the agent's end, stops the session."""


Event = (
    CodeTyped
    | Renewed
    | ReadyAsked
    | HandshakeAsked
    | PayloadAsked
    | OutcomeAsked
    | EndSaid
    | Dropped
    | Decided
    | GraceOver
    | DeadlineOver
    | Cancelled
)

# --- effects -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a request is told."""

    connection: int
    status: int
    body: bytes
    close: bool = False


@dataclass(frozen=True)
class Hold:
    """The request is to be asked again after the next change."""

    connection: int


@dataclass(frozen=True)
class SenderWaits:
    """A sender is there and the code is not."""

    connection: int


@dataclass(frozen=True)
class AwaitProof:
    """Feed Dropped unless the payload arrives on this connection within PROOF_SECONDS."""

    connection: int


@dataclass(frozen=True)
class ShowGuesses:
    left: int


@dataclass(frozen=True)
class AskAgain:
    """Forget the code, make a new certificate (Renewed), ask for a code."""


@dataclass(frozen=True)
class StartGrace:
    """Feed GraceOver after GRACE_SECONDS; a later one replaces it."""


@dataclass(frozen=True)
class Proved:
    """The other side knew the code; `name` is its device."""

    connection: int
    name: str


@dataclass(frozen=True)
class Review:
    payload: Payload


@dataclass(frozen=True)
class Told:
    """The sender has been given the outcome, and has closed the connection on which it was."""


@dataclass(frozen=True)
class Finish:
    """The session ends without an outcome of its review; `reason` is one of the closed list.

    `field`: of payload-invalid what was refused; of no-peer "sender" where only other devices came than the one named.
    """

    reason: str
    field: str = ""


Effect = (
    Answer | Hold | SenderWaits | AwaitProof | ShowGuesses | AskAgain | StartGrace | Proved | Review | Told | Finish
)
