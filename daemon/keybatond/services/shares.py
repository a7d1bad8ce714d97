"""The registry of shares: starts them, lets clients look on and decide, ends them on time, forgets them ten minutes later."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from keybaton_core.host_port import split_host_port
from keybaton_core.names import DEVICE_NAME_MAX_BYTES, plain
from keybaton_core.photosphere_payload import check_sendable
from keybatond.errors import KeybatonError, Reason, ShareReason, refused
from keybatond.ports import Clock, Entropy, Log
from keybatond.services.deadlines import within
from keybatond.services.share_codes import DEFAULT_DIGITS, checked_code, make_code
from keybatond.services.share_environment import checked_environment
from keybatond.services.share_life import live
from keybatond.services.share_offer import ShareVault, offer_alone
from keybatond.services.share_outgoing import build_payload
from keybatond.services.share_run import Run
from keybatond.services.share_saving import ReceiveRun
from keybatond.services.share_session import (
    SEEK_SECONDS,
    UNCONFIRMED_HINT,
    Ending,
    ReceiveDriver,
    ReceiveJob,
    Role,
    SendDriver,
    SendJob,
    ShareProtocol,
    State,
)
from keybatond.services.share_view import ReviewDecision, Session, StartReceive, StartSend

KEEP_SECONDS = 600  # an ended session can still be looked at
MAX_TIMEOUT_SECONDS = 600
MAX_RUNNING = 32  # sends at once; each holds sockets and a payload
MAX_KEPT = 200  # ended sessions, against a client that starts them in a loop
CLOSE_SECONDS = 2  # what an ended session gets for its farewell when the agent stops
_LOCKED_HINT = "The vault was locked."
_NONCE = re.compile(r"[0-9a-f]{32}", re.ASCII)

PHOTOSPHERE_HINT = (
    "Photosphere's protocol cannot protect against somebody on the same network who can read or deliver in your place; "
    "use it only where you trust everyone on it."
)


class _Own:
    """Certificates of this agent's receivers and nonces of its offers, as they are at each look; also of ended ones."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._runs = runs

    def __contains__(self, mark: object) -> bool:
        return any(mark in run.marks for run in self._runs.values())


class ShareService:
    """Owns every session of this agent. Methods belong to the event loop's thread."""

    def __init__(
        self,
        *,
        vault: ShareVault,
        clock: Clock,
        entropy: Entropy,
        log: Log,
        send_drivers: Mapping[ShareProtocol, SendDriver],
        receive_drivers: Mapping[ShareProtocol, ReceiveDriver],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called when a session begins and when it ends."""
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self._send_drivers = send_drivers
        self._receive_drivers = receive_drivers
        self._runs: dict[str, Run] = {}  # oldest first
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._own = _Own(self._runs)
        self._on_change = on_change
        self._followers: set[asyncio.Task[None]] = set()
        self._closing = False

    # --- starting ---

    def start_send(self, start: StartSend) -> Session:
        """Starts to send.

        Raises KeybatonError: INVALID_ARGUMENT, INVALID_CODE, NOT_FOUND and its kin, TOO_LARGE, VAULT_LOCKED,
        VAULT_ABSENT, BUSY, SHUTTING_DOWN.
        """
        timeout = self._admit(start.timeout_seconds)
        self._vault.count()  # VAULT_LOCKED or VAULT_ABSENT before anybody has typed a code
        if sum(1 for run in self._runs.values() if not run.ended) >= MAX_RUNNING:
            raise KeybatonError(Reason.BUSY, limit=str(MAX_RUNNING), busy="Too many shares are running")
        self._check_peer(start.to)
        payload = build_payload(start, self._vault)
        if start.protocol is ShareProtocol.PHOTOSPHERE:
            problem = check_sendable(payload)
            if problem is not None:
                raise KeybatonError(Reason.INVALID_ARGUMENT, field="items", problem=problem)
        code = self._code(start)
        offer = offer_alone(payload)
        first = self._first(Role.SEND, start.protocol, code=code, name=payload.name)
        if payload.database is None:
            first = replace(first, names=tuple(part.name for part in payload.secrets))
        run = Run(first, self._clock, timeout, confirm=start.confirm_peer)
        run.show_offer(offer)
        job = SendJob(payload, code, start.to or None, timeout, self._own, start.confirm_peer)
        driver = self._send_drivers[start.protocol]
        return self._begin(run, lambda: driver.run(job, run))

    def _code(self, start: StartSend) -> str:
        if start.code:
            return checked_code(start.code, start.protocol)
        taken = frozenset(run.session.code for run in self._runs.values())
        return make_code(self._entropy, start.protocol, start.digits or DEFAULT_DIGITS, taken)

    def start_receive(self, start: StartReceive) -> Session:
        """Starts to receive. Raises KeybatonError: BUSY, INVALID_ARGUMENT, INVALID_CODE, VAULT_LOCKED, SHUTTING_DOWN."""
        timeout = self._admit(start.timeout_seconds)
        self._vault.count()  # VAULT_LOCKED or VAULT_ABSENT before anybody has typed a code
        if any(run.session.role is Role.RECEIVE and not run.ended for run in self._runs.values()):
            raise KeybatonError(Reason.BUSY, limit="1")
        if start.code_is_final and not start.code:
            raise KeybatonError(Reason.INVALID_ARGUMENT, field="code", problem="is missing, and it is to be final")
        if start.offer_nonce and not _NONCE.fullmatch(start.offer_nonce):
            raise KeybatonError(Reason.INVALID_ARGUMENT, field="offer_nonce", problem="is not 32 hexadecimal digits")
        self._check_sender(start.sender, start.protocol)
        first = self._first(Role.RECEIVE, start.protocol)
        target = checked_environment(start.environment) if start.environment else ""
        run = ReceiveRun(first, self._clock, timeout, self._vault, environment=target, sender=start.sender)
        if start.code:
            run.give_code(checked_code(start.code, start.protocol))
        else:
            run.ask_code()
        job = ReceiveJob(start.code_is_final, timeout, start.offer_nonce or None, self._own)
        driver = self._receive_drivers[start.protocol]
        return self._begin(run, lambda: driver.run(job, run))

    def _admit(self, timeout_seconds: int) -> float:
        if self._closing:
            raise KeybatonError(Reason.SHUTTING_DOWN)
        self._forget()
        if not 0 <= timeout_seconds <= MAX_TIMEOUT_SECONDS:
            raise KeybatonError(
                Reason.INVALID_ARGUMENT, field="timeout_seconds", problem=f"is not 0 to {MAX_TIMEOUT_SECONDS}"
            )
        return float(timeout_seconds or SEEK_SECONDS)

    @staticmethod
    def _check_peer(to: str) -> None:
        if not to:
            return
        try:
            split_host_port(to)
        except ValueError as error:
            raise KeybatonError(Reason.INVALID_ARGUMENT, field="to", problem=str(error)) from None

    @staticmethod
    def _check_sender(name: str, protocol: ShareProtocol) -> None:
        if name and protocol is ShareProtocol.PHOTOSPHERE:
            raise refused("sender", "is not for Photosphere: its senders have no names")
        if len(name.encode()) > DEVICE_NAME_MAX_BYTES or plain(name) != name:
            raise refused("sender", "is no name of a device")

    def _first(self, role: Role, protocol: ShareProtocol, *, code: str = "", name: str = "") -> Session:
        hint = PHOTOSPHERE_HINT if protocol is ShareProtocol.PHOTOSPHERE else ""
        state = State.SEEKING if role is Role.SEND else State.ANNOUNCING
        return Session(self._entropy.token(16).hex(), role, protocol, state, code=code, name=name, hint=hint)

    def _begin(self, run: Run, drive: Callable[[], Coroutine[Any, Any, Ending]]) -> Session:
        session = run.session
        self._runs[session.id] = run
        task = asyncio.create_task(live(run, drive, self._clock, self._log), name=f"share {session.id}")
        self._tasks[session.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(session.id, None))
        follower = asyncio.create_task(self._follow(run))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)
        self._on_change()
        self._log.event(
            "share_started", session=session.id, role=session.role.name.lower(), protocol=session.protocol.name.lower()
        )
        return session

    async def _follow(self, run: Run) -> None:
        """The session's end is what others want to hear of; its driver may say farewell for a minute more."""
        async for _ in run.watch():
            pass
        self._on_change()

    # --- looking on and deciding ---

    def sessions(self) -> list[Session]:
        """Those that run or ended in the last ten minutes, newest first."""
        self._forget()
        return [run.session for run in reversed(self._runs.values())]

    def session(self, session_id: str) -> Session:
        """One of them. SESSION_NOT_FOUND."""
        return self._run(session_id).session

    def watch(self, session_id: str) -> AsyncIterator[Session]:
        """The whole session at once and again after each change; ends with it. SESSION_NOT_FOUND."""
        return self._run(session_id).watch()

    def provide_code(self, session_id: str, code: str, sender: str | None = None) -> Session:
        """Gives the receiver's code, and the device that it is of (empty: any; None: as before).

        INVALID_CODE, INVALID_ARGUMENT, SESSION_NOT_FOUND, WRONG_STATE.
        """
        run = self._run(session_id)
        code = checked_code(code, run.session.protocol)
        self._check_sender(sender or "", run.session.protocol)
        if not run.give_code(code, sender):
            raise self._wrong_state(run)
        return run.session

    def confirm_peer(self, session_id: str, accept: bool) -> Session:
        """Gives the person's word on the peer's address. SESSION_NOT_FOUND, WRONG_STATE."""
        run = self._run(session_id)
        if not run.answer_confirmation(accept):
            raise self._wrong_state(run)
        return run.session

    async def review(self, decision: ReviewDecision) -> Session:
        """Carries out the decision on a payload in REVIEW and returns once it is stored.

        Raises KeybatonError: CONFLICT and INVALID_ARGUMENT leave the session in REVIEW; WRONG_STATE, SESSION_NOT_FOUND;
        VAULT_LOCKED and STORAGE_* have ended it, with nothing saved.
        """
        run = self._run(decision.session_id)
        if not isinstance(run, ReceiveRun):
            raise self._wrong_state(run)
        await run.decide(decision)
        return run.session

    async def cancel(self, session_id: str) -> Session:
        """Ends a session at once; no error when it has ended. What is being stored is stored, and then it is `saved`."""
        run = self._run(session_id)
        await self._stop(run, State.CANCELLED, ShareReason.CANCELLED)
        return run.session

    def _run(self, session_id: str) -> Run:
        self._forget()
        run = self._runs.get(session_id)
        if run is None:
            raise KeybatonError(Reason.SESSION_NOT_FOUND)
        return run

    @staticmethod
    def _wrong_state(run: Run) -> KeybatonError:
        return KeybatonError(Reason.WRONG_STATE, state=run.session.state.name)

    # --- ending ---

    def lock(self) -> None:
        """To be called when the vault is locked: ends each session that holds values."""
        for run in list(self._runs.values()):
            if isinstance(run, ReceiveRun) and run.storing:
                continue  # the transaction knows whether it came before the lock
            if run.session.role is Role.SEND:
                self._end(run, State.FAILED, ShareReason.LOCKED, _LOCKED_HINT)
            elif isinstance(run, ReceiveRun) and run.session.state in {State.AUTHENTICATED, State.REVIEW}:
                run.give_up(ShareReason.LOCKED, _LOCKED_HINT)

    async def close(self) -> None:
        """Ends all sessions and waits for their farewells, each of which is short."""
        self._closing = True
        for run in list(self._runs.values()):
            await self._stop(run, State.CANCELLED, ShareReason.CANCELLED)
        with contextlib.suppress(TimeoutError):  # whoever is not done by then is cancelled
            await within(self._clock, CLOSE_SECONDS, self._farewells())

    async def _farewells(self) -> None:
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _stop(self, run: Run, state: State, reason: ShareReason) -> None:
        if isinstance(run, ReceiveRun):
            await run.settle()
        self._end(run, state, reason)

    def _end(self, run: Run, state: State, reason: ShareReason, hint: str = "") -> None:
        if run.ended:
            return
        run.end(state, reason=reason.value, hint=UNCONFIRMED_HINT if run.handed_over else hint)
        task = self._tasks.get(run.session.id)
        if task is not None:
            task.cancel()

    def _forget(self) -> None:
        now = self._clock.monotonic()
        ended = [run for run in self._runs.values() if run.ended_at is not None]
        for index, run in enumerate(ended):
            old = run.ended_at is not None and now - run.ended_at > KEEP_SECONDS
            if (old or len(ended) - index > MAX_KEPT) and run.session.id not in self._tasks:
                del self._runs[run.session.id]
