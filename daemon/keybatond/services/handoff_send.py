"""Sending over Keybaton's own protocol: carries out what the sender's machine wants, over several connections at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from keybaton_core import handoff_messages as wire
from keybaton_core.announcements import NONCE_BYTES
from keybaton_core.candidates import Candidate, CandidateBook
from keybaton_core.cpace import SCALAR_BYTES
from keybaton_core.handoff_keys import SID_BYTES
from keybaton_core.handoff_payload import PayloadTooLarge, encode_payload
from keybaton_core.handoff_sender import ANSWER_SECONDS, END_SECONDS, GRACE_SECONDS, SenderMachine
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
from keybaton_core.items import ItemRefused
from keybaton_core.names import NameRefused
from keybaton_core.secret import SecretBytes
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Address, Discovery, TlsConnection, Transport
from keybatond.ports import Clock, DeviceInfo, Entropy, Log
from keybatond.services.handoff_redial import redial
from keybatond.services.handoff_scope import Scope, briefly
from keybatond.services.handoff_search import Search
from keybatond.services.handoff_words import send_failed
from keybatond.services.share_session import REVIEW_SECONDS, Ending, SendControl, SendJob, State

CONNECT_SECONDS = ANSWER_SECONDS
PULSE_SECONDS = 0.25  # how often the book is asked whether somebody's turn has come by mere waiting
TELL_SECONDS = 3.0  # a receiver of our own answers within milliseconds, once it has been started
RECONNECT_SECONDS = 15.0  # for a receiver that has the payload to be found again
RECONNECT_PAUSE_SECONDS = 0.25
CLOSE_SECONDS = 0.1
OUTCOME_SPARE_SECONDS = 4.0  # beyond the receiver's own limit, which ends the review with a reason


class HandoffSend:
    """Implements SendDriver."""

    def __init__(
        self,
        *,
        clock: Clock,
        discovery: Discovery,
        transport: Transport,
        entropy: Entropy,
        device: DeviceInfo,
        log: Log,
    ) -> None:
        self.clock = clock
        self.discovery = discovery
        self.transport = transport
        self.entropy = entropy
        self.device = device
        self.log = log

    async def run(self, job: SendJob, control: SendControl) -> Ending:
        """One share to its end."""
        try:
            plaintext = encode_payload(job.payload)
        except PayloadTooLarge:
            raise ShareFailed(
                ShareReason.PAYLOAD_TOO_LARGE, "One handoff carries at most 1 MiB; send fewer items at once."
            ) from None
        except (NameRefused, ItemRefused) as refused:
            raise ShareFailed(
                ShareReason.PAYLOAD_INVALID, f"It cannot be sent: {refused.field} {refused.problem}."
            ) from None
        return await _Sending(self, job, control, plaintext).run()


class _Line:
    """One attempt's connection and what is to be asked on it next."""

    def __init__(self, candidate: Candidate, connection: TlsConnection) -> None:
        self.candidate = candidate
        self.address = Address(*candidate.endpoint)
        self.connection = connection
        self.asks: asyncio.Queue[Ask] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None


class _Sending:
    """One session."""

    def __init__(self, ports: HandoffSend, job: SendJob, control: SendControl, plaintext: SecretBytes) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._job = job
        self._control = control
        self._machine = SenderMachine(
            SecretBytes.from_text(job.code), plaintext, wire.encode_hello(ports.device.name())
        )
        nonce = ports.entropy.token(NONCE_BYTES).hex()
        control.show_seeking(nonce)
        self._book = CandidateBook(job.own_receivers, nonce)
        self._search = Search(
            clock=ports.clock,
            discovery=ports.discovery,
            transport=ports.transport,
            log=ports.log,
            book=self._book,
            nonce=nonce,
            device=ports.device.name(),
            changed=self._dial_soon,
            foreign=lambda version: self._feed(ForeignHeard(version)),
        )
        self._seeking: list[asyncio.Task[None]] = []  # until a receiver has proved itself
        self._scope: Scope[Ending] = Scope()
        self._lines: dict[int, _Line] = {}
        self._attempts = 0
        self._grace: asyncio.Task[None] | None = None
        self._limit: asyncio.Task[None] | None = None
        self._words: set[asyncio.Task[None]] = set()  # last requests under way
        self._closing: set[TlsConnection] = set()
        self._connected = False
        self._dialling = False  # a look at the book is due

    async def run(self) -> Ending:
        self._seeking = [self._scope.start(self._search.run(self._job.to)), self._scope.start(self._pulse())]
        self._limit = self._scope.start(self._after(self._job.timeout, self._deadline))
        try:
            return await self._scope.result()
        except asyncio.CancelledError:
            await self._say_cancelled()
            raise
        finally:
            await self._close()

    async def _after(self, seconds: float, event: Callable[[], Event]) -> None:
        await self._clock.sleep(seconds)
        self._feed(event())

    def _deadline(self) -> Event:
        crowded = self._book.crowded or not self._book.all_tried()
        return DeadlineOver(len(self._book), crowded, self._search.reachable)

    async def _pulse(self) -> None:
        tell_from = self._clock.monotonic() + TELL_SECONDS
        while True:  # until a receiver has proved itself
            await self._clock.sleep(PULSE_SECONDS)
            if self._clock.monotonic() >= tell_from:
                self._control.show_only_photosphere(self._machine.only_photosphere and not len(self._book))
            due = self._book.wake_at()
            if due is not None and due <= self._clock.monotonic():
                self._dial()

    # --- connections ---

    def _dial_soon(self) -> None:
        # Once for all the datagrams of one wake-up: a flood of them is cheap.
        if not self._dialling:
            self._dialling = True
            asyncio.get_running_loop().call_soon(self._dial)

    def _dial(self) -> None:
        self._dialling = False
        if self._scope.over or self._machine.sid is not None:
            return
        plan = self._book.plan(self._clock.monotonic())
        for candidate in plan.drop:
            number = next((n for n, line in self._lines.items() if line.candidate is candidate), None)
            if number is not None:
                self._feed(Lost(number))
        for candidate in plan.open:
            self._scope.start(self._attempt(candidate))
        self._control.show_candidates(len(self._book))

    async def _attempt(self, candidate: Candidate) -> None:
        try:
            connection = await self._ports.transport.connect(
                Address(*candidate.endpoint), fingerprint=candidate.fingerprint, timeout=CONNECT_SECONDS
            )
        except ShareFailed:
            self._leave(candidate, failed=True)
            return
        if self._machine.sid is not None or not self._book.connected(
            candidate, connection.fingerprint, self._clock.monotonic()
        ):
            # Another address of the same receiver was quicker, or the named address still shows the old certificate.
            self._leave(candidate, failed=candidate.fingerprint is None)
            self._shut(connection)
            return
        self._attempts += 1
        line = self._lines[self._attempts] = _Line(candidate, connection)
        line.task = asyncio.current_task()
        try:
            self._feed(Connected(self._attempts, connection.fingerprint, self._fresh()))
            await self._speak(self._attempts, line)
        finally:
            # A task that was cancelled holds this frame: with the line holding the task, neither would be freed for long.
            line.task = None

    async def _speak(self, number: int, line: _Line) -> None:
        while True:  # until the attempt is dropped or the session ends
            ask = await line.asks.get()
            if ask.delay:
                await self._clock.sleep(ask.delay)
            self._feed(await self._ask(line, ask))

    async def _ask(self, line: _Line, ask: Ask) -> Event:
        try:
            reply = await line.connection.request(
                ask.method, ask.path, ask.body, timeout=ask.timeout, limit=wire.BODY_MAX_BYTES
            )
        except ShareFailed:
            return Lost(ask.attempt)
        return Answered(ask.attempt, reply.status, reply.body, self._fresh())

    async def _reconnect(self, number: int, line: _Line) -> None:
        until = self._clock.monotonic() + RECONNECT_SECONDS
        self._shut(line.connection)
        fingerprint = line.connection.fingerprint
        endpoints = dict.fromkeys([line.candidate.endpoint, *self._book.endpoints(fingerprint)])
        addresses = [Address(*endpoint) for endpoint in endpoints]
        while self._clock.monotonic() < until:
            found = await redial(
                self._ports.transport, fingerprint, addresses, timeout=CONNECT_SECONDS, shut=self._shut
            )
            if found is not None:
                line.connection, line.address = found
                self._control.show_peer(address=str(line.address))
                self._feed(Reconnected(number))
                return
            await self._clock.sleep(RECONNECT_PAUSE_SECONDS)
        self._feed(Vanished(number))

    async def _last_word(self, line: _Line, ask: Ask) -> None:
        self._feed(await self._ask(line, ask))

    def _fresh(self) -> Fresh:
        return Fresh(self._ports.entropy.token(SID_BYTES), self._ports.entropy.token(SCALAR_BYTES))

    def _leave(self, candidate: Candidate, *, failed: bool) -> None:
        self._book.closed(candidate, self._clock.monotonic(), failed=failed)
        self._dial()

    def _shut(self, connection: TlsConnection) -> None:
        async def close() -> None:
            await connection.close()
            self._closing.discard(connection)

        self._closing.add(connection)
        if not self._scope.over:
            self._scope.start(close())

    # --- effects ---

    def _feed(self, event: Event) -> None:
        for effect in self._machine.feed(event):
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Ask():
                self._do_ask(effect)
            case Drop(number, failed):
                self._do_drop(number, failed)
            case Ban(fingerprint):
                self._book.ban(fingerprint)
                self._search.widen = True
            case Idle(number):
                self._book.idle(self._lines[number].candidate)
            case Live(number):
                self._book.busy(self._lines[number].candidate)
            case ShowContact(contact):
                self._do_show_contact(contact)
            case ShowGuesses(left):
                self._control.show_guesses(left)
            case Proved(_, name):
                self._do_proved(name)
            case Delivered():
                self._control.enter(State.DELIVERED)
            case Reconnect(number):
                self._scope.start(self._reconnect(number, self._lines[number]))
            case StartGrace():
                if self._grace is not None:
                    self._grace.cancel()
                self._grace = self._scope.start(self._after(GRACE_SECONDS, GraceOver))
            case Concluded(outcome):
                state = State.SAVED if outcome.state == "saved" else State.DECLINED
                self._scope.succeed(Ending(state, outcome.detail))
            case Finish(reason, by_peer):
                named = self._job.to is not None
                self._scope.fail(send_failed(ShareReason(reason), by_peer=by_peer, heard=len(self._book), named=named))

    def _do_ask(self, ask: Ask) -> None:
        line = self._lines[ask.attempt]
        if ask.path != wire.END_PATH:
            line.asks.put_nowait(ask)
            return
        task = self._scope.start(self._last_word(line, ask))
        self._words.add(task)
        task.add_done_callback(self._words.discard)

    def _do_drop(self, number: int, failed: bool) -> None:
        line = self._lines.pop(number)
        self._shut(line.connection)
        self._book.closed(line.candidate, self._clock.monotonic(), failed=failed)
        if line.task is not None:
            # Also the running one: it goes no further than its next wait.
            line.task.cancel()
        self._dial_soon()

    def _do_show_contact(self, number: int | None) -> None:
        if (number is not None) is not self._connected:
            self._connected = number is not None
            self._control.enter(State.CONNECTED if self._connected else State.SEEKING)
        if number is not None:
            self._control.show_peer(address=str(self._lines[number].address))

    def _do_proved(self, name: str) -> None:
        self._control.show_peer(name=name)
        self._control.enter(State.AUTHENTICATED)
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self._scope.start(self._after(REVIEW_SECONDS + OUTCOME_SPARE_SECONDS, self._deadline))
        for task in self._seeking:
            task.cancel()

    # --- the end ---

    async def _say_cancelled(self) -> None:
        """Tells the receiver that has proved itself. Others see their connection end, and hold nothing of ours."""
        sid = self._machine.sid
        self._feed(Cancelled())
        if sid is None:
            return
        path = f"{wire.END_PATH}?{wire.format_sid_query(sid)}"
        await briefly(self._clock, END_SECONDS, *(self._say_end(line, path) for line in self._lines.values()))

    async def _say_end(self, line: _Line, path: str) -> None:
        # On a connection of its own: the line waits for the outcome, or still carries the payload.
        connection = await self._ports.transport.connect(
            line.address, fingerprint=line.connection.fingerprint, timeout=END_SECONDS
        )
        self._closing.add(connection)
        await connection.request("POST", path, wire.encode_end("cancelled"), timeout=END_SECONDS)

    async def _close(self) -> None:
        if self._words:
            await briefly(self._clock, END_SECONDS, *(_finished(task) for task in self._words))
        await self._scope.close()
        open_still = self._closing | {line.connection for line in self._lines.values()}
        await briefly(self._clock, CLOSE_SECONDS, *(connection.close() for connection in open_still))


async def _finished(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
