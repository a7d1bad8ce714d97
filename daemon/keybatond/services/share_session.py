"""One share as everybody sees it: its states, its data, and what a protocol driver may do with it.

Drivers (handoff, Photosphere; send, receive) run against SendControl and ReceiveControl; `shares.py` implements these, keeps
the registry, tells watchers, and stores what is accepted. A driver ends by returning an Ending or raising ShareFailed.
"""

from __future__ import annotations

import enum
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Protocol

from keybaton_core.payload import Payload


class Role(enum.IntEnum):
    """Equal to the API's ShareRole."""

    SEND = 1
    RECEIVE = 2


class ShareProtocol(enum.IntEnum):
    """Equal to the API's ShareProtocol."""

    KEYBATON = 1
    PHOTOSPHERE = 2


class State(enum.IntEnum):
    """Equal to the API's ShareState."""

    SEEKING = 1
    CONNECTED = 2
    DELIVERED = 3
    ANNOUNCING = 4
    CODE_NEEDED = 5
    REVIEW = 6
    AUTHENTICATED = 7
    SAVED = 8
    DECLINED = 9
    FAILED = 10
    CANCELLED = 11
    EXPIRED = 12


UNCONFIRMED_HINT = "It had left and may have been saved: look on the other device before you send it again."

ENDED = frozenset({State.SAVED, State.DECLINED, State.FAILED, State.CANCELLED, State.EXPIRED})

# From each state of a role, where it may go without ending. Every state that has not ended may also go to any of ENDED.
NEXT_STATES: dict[Role, dict[State, frozenset[State]]] = {
    Role.SEND: {
        State.SEEKING: frozenset({State.CONNECTED}),
        State.CONNECTED: frozenset({State.SEEKING, State.AUTHENTICATED}),
        State.AUTHENTICATED: frozenset({State.DELIVERED}),
        State.DELIVERED: frozenset(),
    },
    Role.RECEIVE: {
        State.ANNOUNCING: frozenset({State.CODE_NEEDED, State.AUTHENTICATED}),
        State.CODE_NEEDED: frozenset({State.ANNOUNCING}),
        State.AUTHENTICATED: frozenset({State.REVIEW}),
        State.REVIEW: frozenset(),
    },
}

SEEK_SECONDS = 60  # until `authenticated`
REVIEW_SECONDS = 600


@dataclass(frozen=True)
class SendJob:
    """What a driver is to send. `own_receivers` are fingerprints of this agent's own receivers: never candidates.

    They are looked up at each use: a receiver may start, or get another certificate, after the send has begun.
    """

    payload: Payload
    code: str = field(repr=False)
    to: str | None  # HOST[:PORT]
    timeout: float = SEEK_SECONDS
    own_receivers: Container[bytes] = frozenset()
    confirm_peer: bool = False


@dataclass(frozen=True)
class ReceiveJob:
    """How a driver is to receive. `offer_nonce` is that of the offer which this answers, 32 hexadecimal digits.

    `own_offers` are nonces of this agent's own offers, looked up at each use as own receivers are.
    """

    code_is_final: bool = False
    timeout: float = SEEK_SECONDS
    offer_nonce: str | None = None
    own_offers: Container[str] = frozenset()


@dataclass(frozen=True)
class Ending:
    """How a share ended: `saved` or `declined`. `conflict` is "", "reused", "replaced" or "renamed"."""

    state: State
    conflict: str = ""
    hint: str = ""


class Control(Protocol):
    """What both roles' drivers may do."""

    def enter(self, state: State) -> None:
        """Moves on along NEXT_STATES; RuntimeError for a step that is not in the table."""

    def show_peer(self, *, name: str | None = None, address: str | None = None) -> None:
        """Sets what is known of the other side."""

    def show_guesses(self, left: int) -> None:
        """Wrong guesses that remain."""


class SendControl(Control, Protocol):
    """What a sending driver may do."""

    def show_seeking(self, nonce: str) -> None:
        """The nonce by which the network knows this offer."""

    def show_candidates(self, count: int) -> None:
        """Receivers heard so far."""

    def show_only_photosphere(self, only: bool) -> None:
        """Whether so far only receivers were heard that speak the other protocol. Shown until the next state."""

    async def confirm_peer(self) -> bool:
        """Asks the person whether the shown address is the right peer; True at once when none was to be asked."""


class ReceiveControl(Control, Protocol):
    """What a receiving driver may do."""

    def show_listening(self, addresses: list[str], fingerprint: bytes) -> None:
        """Where this receiver can be reached (HOST:PORT) and its certificate."""

    def show_senders(self, names: tuple[str, ...]) -> None:
        """What the devices call themselves that offer something now."""

    def sender(self) -> str:
        """The name of the device to take from; empty: any."""

    def code(self) -> str | None:
        """The code, when it has been typed."""

    async def wait_code(self) -> str:
        """Waits until a code has been typed; the session shows that it is needed."""

    def code_was_wrong(self) -> None:
        """Forgets the typed code, so that the next `wait_code` asks again."""

    async def review(self, payload: Payload) -> Ending:
        """Shows the payload, waits for the decision, stores what was accepted, and says how it ended.

        Raises ShareFailed: EXPIRED after the review limit, STORAGE, LOCKED, CONFLICT. Nothing is half-saved then.
        """


class SendDriver(Protocol):
    """One protocol's sending side."""

    async def run(self, job: SendJob, control: SendControl) -> Ending:
        """Runs one share to its end. Raises ShareFailed. Cancelling it ends it at once and tells the peer."""


class ReceiveDriver(Protocol):
    """One protocol's receiving side."""

    async def run(self, job: ReceiveJob, control: ReceiveControl) -> Ending:
        """Runs one share to its end. Raises ShareFailed. Cancelling it ends it at once and tells the peer."""
