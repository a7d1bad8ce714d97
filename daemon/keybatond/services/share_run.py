"""One running session: its state as the table allows, what its watchers see, and how it ended. Drivers act through it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace

from keybaton_core.names import plain
from keybatond.ports import Clock
from keybatond.services.share_session import ENDED, NEXT_STATES, REVIEW_SECONDS, Role, State
from keybatond.services.share_view import Offer, Session

WATCH_BACKLOG = 32  # snapshots that wait for one slow watcher; the oldest are dropped, the last never is
_BEGINNING = {Role.SEND: State.SEEKING, Role.RECEIVE: State.ANNOUNCING}
# Seconds that a state may last; the first ones share the session's own timeout. A Photosphere POST takes up to 60 s, a review
# as long on the other side; a handoff's payload 30 s, and where its answer is lost 15 s and 60 s more until there is another.
_PHASES = {State.AUTHENTICATED: 120.0, State.REVIEW: REVIEW_SECONDS, State.DELIVERED: REVIEW_SECONDS + 60.0}
_HANDED_OVER = frozenset({State.AUTHENTICATED, State.DELIVERED})
_AWAITS_CODE = frozenset({State.ANNOUNCING, State.CODE_NEEDED})


class Run:
    """A session's mutable half. Every change makes a new Session and hands it to all watchers; after the end none does."""

    def __init__(
        self, first: Session, clock: Clock, timeout: float, *, confirm: bool = False, sender: str = ""
    ) -> None:
        """`confirm`: the person is asked about the peer's address; `sender`: the device to take from, empty: any."""
        self._clock = clock
        self._confirm = confirm
        self._confirmation: asyncio.Future[bool] | None = None
        self._code: str | None = None
        self._code_given = asyncio.Event()
        self._watchers: set[_Watcher] = set()
        self.ended_at: float | None = None
        self.limit = 0.0
        self._sender = sender
        self.marks: set[bytes | str] = set()  # what the network knows it by: certificates, the nonce of its offer
        self.session = replace(first, state=_BEGINNING[first.role])
        self._phase(timeout)

    # --- what everybody sees ---

    @property
    def ended(self) -> bool:
        """True once nothing can change any more."""
        return self.session.state in ENDED

    @property
    def handed_over(self) -> bool:
        """True once the payload of a send may have left, and its receiver alone knows what becomes of it."""
        return self.session.role is Role.SEND and self.session.state in _HANDED_OVER

    def _show(self, session: Session) -> None:
        if self.ended or session == self.session:
            return
        self.session = session
        for watcher in self._watchers:
            watcher.push(session)

    async def watch(self) -> AsyncIterator[Session]:
        """The present state at once, then each change; ends with the session."""
        watcher = _Watcher()
        watcher.push(self.session)
        self._watchers.add(watcher)
        try:
            while True:
                session = await watcher.next()
                yield session
                if session.state in ENDED:
                    return
        finally:
            self._watchers.discard(watcher)

    def _phase(self, seconds: float) -> None:
        self.limit = self._clock.monotonic() + seconds
        self._show(replace(self.session, deadline_at_ms=self._clock.now_ms() + int(seconds * 1000)))

    def end(
        self,
        state: State,
        *,
        reason: str = "",
        hint: str = "",
        conflict: str = "",
        names: tuple[str, ...] = (),
        name: str = "",
    ) -> None:
        """Ends the session; the first call counts. The code is forgotten; a standing hint stays unless there is a new one."""
        if self.ended:
            return
        self.ended_at = self._clock.monotonic()
        self._code = None
        if self._confirmation is not None and not self._confirmation.done():
            self._confirmation.set_result(False)
        now = self.session
        self._show(
            replace(
                now, state=state, reason=reason, hint=hint or now.hint, conflict=conflict, name=name or now.name,
                names=names or now.names,
                code="", deadline_at_ms=0, needs_code=False, needs_confirmation=False, only_photosphere=False,
            )
        )  # fmt: skip

    # --- Control ---

    def enter(self, state: State) -> None:
        """Moves on along NEXT_STATES; the present state again is no step."""
        if state is self.session.state:
            return
        if self.ended or state not in NEXT_STATES[self.session.role][self.session.state]:
            raise RuntimeError(f"no step from {self.session.state.name} to {state.name}")
        self._show(replace(self.session, state=state, needs_code=self._needs_code(state), only_photosphere=False))
        if state in _PHASES:
            self._phase(_PHASES[state])

    def show_peer(self, *, name: str | None = None, address: str | None = None) -> None:
        """Sets what is known of the other side; text of the peer is made plain."""
        now = self.session
        name = now.peer_name if name is None else plain(name)
        self._show(
            replace(now, peer_name=name, peer_address=now.peer_address if address is None else plain(address, 80))
        )

    def show_guesses(self, left: int) -> None:
        """Wrong guesses that remain."""
        self._show(replace(self.session, guesses_left=left))

    # --- SendControl ---

    def show_seeking(self, nonce: str) -> None:
        """The nonce by which the network knows this offer."""
        self.marks.add(nonce)

    def show_candidates(self, count: int) -> None:
        """Receivers heard so far."""
        self._show(replace(self.session, candidates=count))

    def show_only_photosphere(self, only: bool) -> None:
        """Whether so far only receivers were heard that speak the other protocol."""
        self._show(replace(self.session, only_photosphere=only))

    async def confirm_peer(self) -> bool:
        """Waits for the person's word when it was asked for; the driver's deadline ends it."""
        if not self._confirm:
            return True
        self._confirmation = asyncio.get_running_loop().create_future()
        self._show(replace(self.session, needs_confirmation=True))
        try:
            return await self._confirmation
        finally:
            self._show(replace(self.session, needs_confirmation=False))

    def answer_confirmation(self, accept: bool) -> bool:
        """Gives the person's word; False when none is awaited."""
        if self._confirmation is None or self._confirmation.done():
            return False
        self._confirmation.set_result(accept)
        self._show(replace(self.session, needs_confirmation=False))
        return True

    # --- ReceiveControl ---

    def show_listening(self, addresses: list[str], fingerprint: bytes) -> None:
        """Where this receiver can be reached."""
        self.marks.add(fingerprint)
        self._show(replace(self.session, addresses=tuple(addresses), fingerprint=fingerprint.hex()))

    def show_senders(self, names: tuple[str, ...]) -> None:
        """What the devices call themselves that offer something now."""
        self._show(replace(self.session, senders=names))

    def sender(self) -> str:
        """The name of the device to take from; empty: any."""
        return self._sender

    def code(self) -> str | None:
        """The code, when it has been typed."""
        return self._code

    async def wait_code(self) -> str:
        """Waits until a code has been typed; `needs_code` is shown meanwhile."""
        while self._code is None:
            self._code_given.clear()
            await self._code_given.wait()
        return self._code

    def give_code(self, code: str, sender: str | None = None) -> bool:
        """Takes the code and the name of the device that it is of (None: as before); False when none is awaited."""
        if self._code is not None or self.session.role is not Role.RECEIVE or self.session.state not in _AWAITS_CODE:
            return False
        self._code = code
        if sender is not None:
            self._sender = sender
        self._code_given.set()
        self._show(replace(self.session, needs_code=False))
        return True

    def ask_code(self) -> None:
        """Shows that a code is awaited, as it is from the start of a receive without one."""
        self._show(replace(self.session, needs_code=True))

    def code_was_wrong(self) -> None:
        """Forgets the typed code, so that the next `wait_code` asks again."""
        self._code = None
        self._show(replace(self.session, needs_code=self._needs_code(self.session.state)))

    def _needs_code(self, state: State) -> bool:
        return self.session.role is Role.RECEIVE and self._code is None and state in _AWAITS_CODE

    def show_offer(self, offer: Offer) -> None:
        """What the share carries."""
        self._show(replace(self.session, offer=offer))


class _Watcher:
    """One watcher's bounded backlog: of several snapshots in one state only the newest waits."""

    def __init__(self) -> None:
        self._backlog: deque[Session] = deque(maxlen=WATCH_BACKLOG)
        self._filled = asyncio.Event()

    def push(self, session: Session) -> None:
        if self._backlog and self._backlog[-1].state is session.state:
            self._backlog.pop()
        self._backlog.append(session)
        self._filled.set()

    async def next(self) -> Session:
        await self._filled.wait()
        session = self._backlog.popleft()
        if not self._backlog:
            self._filled.clear()
        return session
