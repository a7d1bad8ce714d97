"""What happens to a sending handoff (events) and what its machine wants done (effects).

An attempt is one try at one receiver over one connection, numbered by the driver.
"""

from __future__ import annotations

from dataclasses import dataclass

from keybaton_core.handoff_messages import Outcome


@dataclass(frozen=True)
class Fresh:
    """Randomness for one handshake: 16 bytes and 32 bytes, used once."""

    sid: bytes
    scalar: bytes


# --- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Connected:
    """A connection stands, to the certificate with this SHA-256."""

    attempt: int
    fingerprint: bytes
    fresh: Fresh


@dataclass(frozen=True)
class Answered:
    """The attempt's last Ask was answered."""

    attempt: int
    status: int
    body: bytes
    fresh: Fresh


@dataclass(frozen=True)
class Lost:
    """The attempt's connection is gone, or its Ask was not answered in time."""

    attempt: int


@dataclass(frozen=True)
class Reconnected:
    """A new connection to the same certificate stands."""

    attempt: int


@dataclass(frozen=True)
class Vanished:
    """The receiver could not be reached again."""

    attempt: int


@dataclass(frozen=True)
class ForeignHeard:
    """A receiver of another protocol version announced itself; 0 is Photosphere."""

    version: int


@dataclass(frozen=True)
class GraceOver:
    """GRACE_SECONDS have passed since the last StartGrace."""


@dataclass(frozen=True)
class DeadlineOver:
    """Time is over. `heard`: receivers announced; `crowded`: some had no turn; `reachable`: any datagram could leave."""

    heard: int
    crowded: bool
    reachable: bool


@dataclass(frozen=True)
class Cancelled:
    """The person, or the agent's end, stops the session."""


Event = Connected | Answered | Lost | Reconnected | Vanished | ForeignHeard | GraceOver | DeadlineOver | Cancelled

# --- effects -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """One request; its answer comes back as Answered or Lost. `delay` seconds are waited first."""

    attempt: int
    method: str
    path: str
    body: bytes | None
    timeout: float
    delay: float = 0.0


@dataclass(frozen=True)
class Drop:
    """Close the attempt's connection; `failed`: not to be tried again soon."""

    attempt: int
    failed: bool


@dataclass(frozen=True)
class Ban:
    """Never try this certificate again."""

    fingerprint: bytes


@dataclass(frozen=True)
class Idle:
    """The attempt's receiver waits for its person; its connection may be given up for another's."""

    attempt: int


@dataclass(frozen=True)
class Live:
    """The attempt's receiver can shake hands: its connection is not to be given up."""

    attempt: int


@dataclass(frozen=True)
class ShowContact:
    """Whether some receiver is connected and speaks the protocol (`attempt` is one of them)."""

    attempt: int | None


@dataclass(frozen=True)
class ShowGuesses:
    left: int


@dataclass(frozen=True)
class Proved:
    """The receiver knew the code; `name` is its device. Every other attempt is over."""

    attempt: int
    name: str


@dataclass(frozen=True)
class Delivered:
    """The receiver has the payload."""


@dataclass(frozen=True)
class Reconnect:
    """Open a new connection to the attempt's certificate, at any of its addresses: Reconnected or Vanished."""

    attempt: int


@dataclass(frozen=True)
class StartGrace:
    """Feed GraceOver after GRACE_SECONDS; a later one replaces it."""


@dataclass(frozen=True)
class Concluded:
    """The receiver proved what became of the payload: saved or declined."""

    outcome: Outcome


@dataclass(frozen=True)
class Finish:
    """The session ends with a reason of the closed list; `by_peer`: the receiver said so, and proved it."""

    reason: str
    by_peer: bool = False


Effect = (
    Ask
    | Drop
    | Ban
    | Idle
    | Live
    | ShowContact
    | ShowGuesses
    | Proved
    | Delivered
    | Reconnect
    | StartGrace
    | Concluded
    | Finish
)
