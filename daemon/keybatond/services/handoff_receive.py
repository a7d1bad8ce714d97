"""Receiving over Keybaton's own protocol: serves, announces, and carries out what the receiver's machine wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from keybaton_core import handoff_messages as wire
from keybaton_core.handoff_messages import FAILURES, Outcome
from keybaton_core.handoff_receiver import GRACE_SECONDS, PROOF_SECONDS, Phase, ReceiverMachine
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
    Event,
    Finish,
    GraceOver,
    Proved,
    Renewed,
    Review,
    SenderWaits,
    ShowGuesses,
    StartGrace,
    Told,
)
from keybaton_core.offers import OfferBook
from keybaton_core.payload import Payload
from keybaton_core.secret import SecretBytes
from keybatond.errors import ShareFailed, ShareReason
from keybatond.network_ports import Discovery, Interface, Interfaces, TlsServer, Transport
from keybatond.ports import Clock, DeviceInfo, Entropy, Log
from keybatond.services.handoff_desk import Desk
from keybatond.services.handoff_herald import Herald
from keybatond.services.handoff_scope import Scope, briefly
from keybatond.services.handoff_words import receive_failed
from keybatond.services.share_session import Ending, ReceiveControl, ReceiveJob, State

COMMON_NAME = "Keybaton handoff"
FAREWELL_SECONDS = 60.0  # after saved or declined: in which the sender may still fetch it
BAD_FAREWELL_SECONDS = 3.0  # the same after a failed review, which is shown only then
LAST_ANSWERS_SECONDS = 0.25  # for answers to leave before the server closes


class HandoffReceive:
    """Implements ReceiveDriver."""

    def __init__(
        self,
        *,
        clock: Clock,
        discovery: Discovery,
        transport: Transport,
        interfaces: Interfaces,
        entropy: Entropy,
        device: DeviceInfo,
        log: Log,
    ) -> None:
        self.clock = clock
        self.discovery = discovery
        self.transport = transport
        self.interfaces = interfaces
        self.entropy = entropy
        self.device = device
        self.log = log

    async def run(self, job: ReceiveJob, control: ReceiveControl) -> Ending:
        """One share to its end. The session is over for its person before the last answers are given."""
        return await _Receiving(self, job, control).run()


class _Receiving:
    """One session."""

    def __init__(self, ports: HandoffReceive, job: ReceiveJob, control: ReceiveControl) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._job = job
        self._control = control
        self._machine = ReceiverMachine(wire.encode_hello(ports.device.name()), code_is_final=job.code_is_final)
        self._herald = Herald(
            clock=ports.clock,
            discovery=ports.discovery,
            log=ports.log,
            nonce=job.offer_nonce,
            offers=OfferBook(job.own_offers),
            sender=control.sender,
            show=control.show_senders,
        )
        self._scope: Scope[Ending] = Scope()
        self._announcing: asyncio.Task[None] | None = None  # until a sender has proved itself
        self._servers: list[tuple[TlsServer, Desk]] = []
        self._generations = 0
        self._grace: asyncio.Task[None] | None = None
        self._limit: asyncio.Task[None] | None = None
        self._review: asyncio.Task[None] | None = None
        self._proofs: dict[int, asyncio.Task[None]] = {}
        self._waiters: set[int] = set()  # connections of senders that wait for the code
        self._shows_waiting = False
        self._told = asyncio.Event()

    async def run(self) -> Ending:
        self._limit = self._scope.start(self._after(self._job.timeout, DeadlineOver))
        try:
            self._take_code()
            await self._serve()
            self._announcing = self._scope.start(self._announce())
            ending = await self._scope.result()
            await briefly(self._clock, FAREWELL_SECONDS, self._told.wait())
            return ending
        except asyncio.CancelledError:
            await self._stop_review()
            self._feed(Cancelled())
            raise
        finally:
            await self._close()

    # --- the code and the server ---

    def _take_code(self) -> None:
        code = self._control.code()
        if code is not None:
            self._code_typed(code)
        else:
            self._scope.start(self._wait_code())

    async def _wait_code(self) -> None:
        code = await self._control.wait_code()
        self._waiters.clear()
        self._show_waiters()
        self._code_typed(code)

    def _code_typed(self, code: str) -> None:
        self._feed(CodeTyped(SecretBytes.from_text(code), self._control.sender()))

    async def _serve(self) -> None:
        self._generations += 1
        desk = Desk(
            clock=self._clock,
            entropy=self._ports.entropy,
            generation=self._generations,
            feed=self._feed,
            refuses=self._machine.refuses,
            begun=self._payload_begun,
        )
        server = await self._ports.transport.serve(desk, common_name=COMMON_NAME)
        self._servers.append((server, desk))
        self._feed(Renewed(server.fingerprint))
        self._control.show_listening(_listening(self._ports.interfaces.up(), server.port), server.fingerprint)
        self._control.show_guesses(self._machine.guesses_left)
        self._herald.serve(server.port, server.fingerprint)

    async def _renew(self) -> None:
        old_server, old_desk = self._servers[-1]
        await self._serve()
        old_desk.close()
        self._waiters.clear()
        self._show_waiters()
        await briefly(self._clock, LAST_ANSWERS_SECONDS, old_desk.quiet())
        await old_server.close()
        self._servers.pop(0)

    async def _announce(self) -> None:
        try:
            await self._herald.run()
        except (
            ShareFailed
        ) as failed:  # no network at all: whoever was given the address may still come, as over loopback
            self._ports.log.event("discovery_failed", reason=failed.reason.value)

    # --- events ---

    async def _after(self, seconds: float, event: Callable[[], Event]) -> None:
        await self._clock.sleep(seconds)
        self._feed(event())

    def _payload_begun(self, connection: int) -> None:
        # From here on the transport's own deadlines for a body count.
        timer = self._proofs.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _feed(self, event: Event) -> Answer | None:
        if isinstance(event, Dropped):
            self._waiters.discard(event.connection)
            self._show_waiters()
            self._payload_begun(event.connection)
        machine = self._machine
        before = (machine.phase, machine.guesses_left)
        answer: Answer | None = None
        for effect in machine.feed(event):
            if isinstance(effect, Answer):
                answer = effect
            else:
                self._do(effect)
        if before != (machine.phase, machine.guesses_left):
            for _, desk in self._servers:
                desk.changed()
        return answer

    # --- effects ---

    def _do(self, effect: Effect) -> None:
        match effect:
            case SenderWaits(connection):
                self._waiters.add(connection)
                self._show_waiters()
            case AwaitProof(connection):
                dropped = Dropped(connection)
                self._proofs[connection] = self._scope.start(self._after(PROOF_SECONDS, lambda: dropped))
            case ShowGuesses(left):
                self._control.show_guesses(left)
            case AskAgain():
                self._control.code_was_wrong()
                self._scope.start(self._wait_code())
                self._scope.start(self._renew())
            case StartGrace():
                if self._grace is not None:
                    self._grace.cancel()
                self._grace = self._scope.start(self._after(GRACE_SECONDS, GraceOver))
            case Proved(connection, name):
                self._do_proved(connection, name)
            case Review(payload):
                self._review = self._scope.start(self._have_reviewed(payload))
            case Told():
                self._told.set()
            case Finish(reason, field):
                if self._review is not None:
                    self._review.cancel()
                self._scope.fail(receive_failed(ShareReason(reason), field))

    def _show_waiters(self) -> None:
        # CODE_NEEDED means more than that no code was typed: a sender is there and waits for it.
        waiting = bool(self._waiters)
        if waiting is self._shows_waiting or self._machine.phase is Phase.ENDED:
            return
        self._shows_waiting = waiting
        self._control.enter(State.CODE_NEEDED if waiting else State.ANNOUNCING)

    def _do_proved(self, connection: int, name: str) -> None:
        self._waiters.clear()
        self._show_waiters()
        address = next((desk.peers[connection] for _, desk in self._servers if connection in desk.peers), None)
        self._control.show_peer(name=name, address=None if address is None else str(address))
        self._control.enter(State.AUTHENTICATED)
        if self._limit is not None:
            self._limit.cancel()
        if self._announcing is not None:
            self._announcing.cancel()

    async def _have_reviewed(self, payload: Payload) -> None:
        try:
            ending = await self._control.review(payload)
        except ShareFailed as failed:
            reason = failed.reason.value if failed.reason.value in FAILURES else ShareReason.STORAGE.value
            self._feed(Decided(Outcome("failed", reason)))
            await briefly(self._clock, BAD_FAREWELL_SECONDS, self._told.wait())
            self._scope.fail(failed)
            return
        if ending.state is State.SAVED:
            self._feed(Decided(Outcome("saved", ending.conflict)))
        else:
            self._feed(Decided(Outcome("declined")))
        self._scope.succeed(ending)

    # --- the end ---

    async def _stop_review(self) -> None:
        if self._review is not None:
            self._review.cancel()
            await asyncio.gather(self._review, return_exceptions=True)

    async def _close(self) -> None:
        quiet = []
        for _, desk in self._servers:
            desk.changed()
            quiet.append(desk.quiet())
        await briefly(self._clock, LAST_ANSWERS_SECONDS, *quiet)
        await self._scope.close()
        await asyncio.gather(*(server.close() for server, _ in self._servers))


def _listening(interfaces: list[Interface], port: int) -> list[str]:
    """HOST:PORT for each address that another device can use as it stands: a link-local one has another scope there.

    Where there is loopback alone, its addresses: another user of this machine can send to them.
    """
    alone = all(one.loopback for one in interfaces)
    hosts = dict.fromkeys(
        one.address for one in interfaces if one.loopback is alone and not one.address.lower().startswith("fe80")
    )
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]
