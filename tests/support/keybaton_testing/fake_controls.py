"""Scripted share controls: what a person would do in a session, and a record of what the session showed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from keybaton_core.payload import Payload
from keybatond.services.share_session import NEXT_STATES, Ending, Role, State


class FakeControl:
    """Keeps the states and shown data of one session; refuses steps that are not in the table."""

    def __init__(self, role: Role, first: State) -> None:
        self._role = role
        self.states = [first]
        self.peer_name: str | None = None
        self.peer_address: str | None = None
        self.guesses_left: int | None = None

    @property
    def state(self) -> State:
        return self.states[-1]

    def enter(self, state: State) -> None:
        if state not in NEXT_STATES[self._role].get(self.state, frozenset()):
            raise RuntimeError(f"no step from {self.state.name} to {state.name}")
        self.states.append(state)

    def show_peer(self, *, name: str | None = None, address: str | None = None) -> None:
        self.peer_name = name if name is not None else self.peer_name
        self.peer_address = address if address is not None else self.peer_address

    def show_guesses(self, left: int) -> None:
        self.guesses_left = left


class FakeSendControl(FakeControl):
    """The SendControl port. `confirm` is what the person says about the peer's address."""

    def __init__(self, *, confirm: bool = True) -> None:
        super().__init__(Role.SEND, State.SEEKING)
        self._confirm = confirm
        self.candidates = 0
        self.only_photosphere: list[bool] = []  # each time that it changed
        self.nonce = ""

    def show_seeking(self, nonce: str) -> None:
        self.nonce = nonce

    def show_only_photosphere(self, only: bool) -> None:
        if only != (bool(self.only_photosphere) and self.only_photosphere[-1]):
            self.only_photosphere.append(only)

    def show_candidates(self, count: int) -> None:
        self.candidates = count

    async def confirm_peer(self) -> bool:
        return self._confirm


Decide = Callable[[Payload], Awaitable[Ending]]


async def accept(payload: Payload) -> Ending:
    """Saves everything at once."""
    return Ending(State.SAVED)


class FakeReceiveControl(FakeControl):
    """The ReceiveControl port: types the codes in turn (each after its pause in seconds), reviews with `decide`.

    `wanted` is the device that the person names, if any.
    """

    def __init__(
        self,
        *codes: str,
        decide: Decide = accept,
        pause: Callable[[], Awaitable[None]] | None = None,
        known: bool = True,
        wanted: str = "",
    ) -> None:
        super().__init__(Role.RECEIVE, State.ANNOUNCING)
        self._codes = list(codes)
        self._known = known  # the first code was given at the start
        self._decide = decide
        self._pause = pause
        self._wanted = wanted
        self.senders: tuple[str, ...] = ()
        self.payload: Payload | None = None
        self.asked = 0
        self.wrong = 0
        self.addresses: list[str] = []
        self.fingerprints: list[bytes] = []

    def show_listening(self, addresses: list[str], fingerprint: bytes) -> None:
        self.addresses = addresses
        self.fingerprints.append(fingerprint)

    def show_senders(self, names: tuple[str, ...]) -> None:
        self.senders = names

    def sender(self) -> str:
        return self._wanted

    def code(self) -> str | None:
        return self._codes[0] if self._known and self._codes else None

    async def wait_code(self) -> str:
        self.asked += 1
        if self._pause is not None:
            await self._pause()
        if not self._codes:
            await asyncio.get_running_loop().create_future()
        self._known = True
        return self._codes[0]

    def code_was_wrong(self) -> None:
        self.wrong += 1
        self._known = False
        if self._codes:
            self._codes.pop(0)

    async def review(self, payload: Payload) -> Ending:
        self.payload = payload
        self.enter(State.REVIEW)
        return await self._decide(payload)
