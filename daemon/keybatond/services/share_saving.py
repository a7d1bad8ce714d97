"""A receiving session's review: waits for the decision, stores what was accepted in one transaction, says how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from keybaton_core.items import ItemRefused
from keybaton_core.names import NameRefused
from keybaton_core.payload import Payload
from keybatond.errors import KeybatonError, Reason, ShareFailed, ShareReason
from keybatond.ports import Clock
from keybatond.services.deadlines import within
from keybatond.services.share_environment import checked_environment, environment_beside, plan_environment
from keybatond.services.share_offer import ShareVault, offer_beside
from keybatond.services.share_review import Plan, plan
from keybatond.services.share_run import Run
from keybatond.services.share_session import REVIEW_SECONDS, Ending, State
from keybatond.services.share_view import Offer, ReviewDecision, Session

# The vault changed between the review and the write: the person looks again.
_ASK_AGAIN = frozenset({Reason.CONFLICT, Reason.INVALID_ARGUMENT})
_RACED = frozenset({Reason.NAME_TAKEN, Reason.VERSION_CONFLICT, Reason.NOT_FOUND})
_NOT_STORED: Mapping[Reason, tuple[ShareReason, str]] = {
    Reason.VAULT_LOCKED: (ShareReason.LOCKED, "The vault was locked meanwhile. Nothing was saved."),
    Reason.VAULT_ABSENT: (ShareReason.LOCKED, "There is no vault yet. Nothing was saved."),
    Reason.STORAGE_FULL: (ShareReason.STORAGE, "The disk is full. Nothing was saved."),
    Reason.STORAGE_READ_ONLY: (ShareReason.STORAGE, "The vault cannot be written. Nothing was saved."),
}
_UNSTORABLE = (ShareReason.STORAGE, "The vault could not store it. Nothing was saved.")


class ReceiveRun(Run):
    """A receiving session. `decide` comes from the person's side, `review` from the driver's task."""

    def __init__(
        self,
        first: Session,
        clock: Clock,
        timeout: float,
        vault: ShareVault,
        *,
        environment: str = "",
        sender: str = "",
    ) -> None:
        """`environment`: where variables go, if not as offered; `sender`: the device to take from, empty: any."""
        super().__init__(first, clock, timeout, sender=sender)
        self._vault = vault
        self._target = environment
        self._pending: tuple[ReviewDecision, asyncio.Future[None]] | None = None
        self._decided = asyncio.Event()
        self._given_up: ShareFailed | None = None
        self._storing: asyncio.Task[Ending] | None = None

    @property
    def storing(self) -> bool:
        """True while a transaction is under way."""
        return self._storing is not None and not self._storing.done()

    async def decide(self, decision: ReviewDecision) -> None:
        """Hands the decision over and waits until it is carried out.

        Raises KeybatonError: WRONG_STATE, CONFLICT and INVALID_ARGUMENT (the review goes on), VAULT_LOCKED, STORAGE_*.
        """
        if self.session.state is not State.REVIEW or self._pending is not None:
            raise KeybatonError(Reason.WRONG_STATE, state=self.session.state.name)
        reply: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending = (decision, reply)
        self._decided.set()
        await reply

    async def settle(self) -> None:
        """Waits for a transaction that has begun: it cannot be called back, and its outcome is the session's."""
        if self._storing is not None:
            await asyncio.wait({self._storing})

    def give_up(self, reason: ShareReason, hint: str) -> None:
        """Fails a review in which nothing is being stored: at once for whoever looks on; its driver tells the sender why."""
        self._given_up = ShareFailed(reason, hint)
        self.end(State.FAILED, reason=reason.value, hint=hint)
        self._decided.set()

    async def review(self, payload: Payload) -> Ending:
        """See ReceiveControl."""
        if self._given_up is not None:
            raise self._given_up
        try:
            payload.checked()
            self.show_offer(self._beside(payload))
        except (NameRefused, ItemRefused) as error:
            raise ShareFailed(ShareReason.PAYLOAD_INVALID, f"Refused: {error.field} {error.problem}.") from None
        except KeybatonError as error:
            raise _share_failure(error) from None
        self.enter(State.REVIEW)
        try:
            return await within(self._clock, REVIEW_SECONDS, self._until_decided(payload))
        except TimeoutError:
            if self._storing is not None and self._storing.exception() is None:
                return self._storing.result()
            raise ShareFailed(ShareReason.EXPIRED, "Nobody decided in time. Nothing was saved.") from None
        finally:
            self._reply(self._last_word())

    def _beside(self, payload: Payload) -> Offer:
        if payload.environment is None:
            return offer_beside(payload, self._vault)
        return environment_beside(payload.environment, self._target or payload.environment.environment, self._vault)

    def _planned(self, decision: ReviewDecision, payload: Payload) -> Plan:
        part = payload.environment
        if part is None:
            return plan(decision, payload, self._vault)
        if decision.environment:
            self._target = checked_environment(decision.environment)
        return plan_environment(decision, part, self._target or part.environment, self._vault)

    def _last_word(self) -> KeybatonError | None:
        """For a decision that was under way when the review was cancelled: what became of it."""
        if self.session.state is State.SAVED:
            return None
        error = self._storing.exception() if self._storing is not None and self._storing.done() else None
        wrong_state = KeybatonError(Reason.WRONG_STATE, state=self.session.state.name)
        return error if isinstance(error, KeybatonError) else wrong_state

    def _reply(self, error: KeybatonError | None) -> None:
        if self._pending is None:
            return
        _, reply = self._pending
        self._pending = None
        if reply.done():  # the caller went away
            return
        if error is None:
            reply.set_result(None)
        else:
            reply.set_exception(error)

    async def _until_decided(self, payload: Payload) -> Ending:
        while True:  # one turn for each decision of a person; `within` bounds it
            await self._decided.wait()
            self._decided.clear()
            if self._given_up is not None:
                raise self._given_up
            if self._pending is None:
                continue
            decision, _ = self._pending
            try:
                ending = await self._carry_out(decision, payload)
            except KeybatonError as error:
                if error.reason not in _ASK_AGAIN:
                    self._reply(error)
                    raise _share_failure(error) from None
                self._look_again(payload, error)
            else:
                self._reply(None)
                return ending

    def _look_again(self, payload: Payload, error: KeybatonError) -> None:
        try:
            self.show_offer(self._beside(payload))
        except KeybatonError as locked:
            self._reply(locked)
            raise _share_failure(locked) from None
        self._reply(error)

    async def _carry_out(self, decision: ReviewDecision, payload: Payload) -> Ending:
        if not decision.accept:
            self.end(State.DECLINED, reason=ShareReason.DECLINED.value)
            return Ending(State.DECLINED)
        self._storing = asyncio.create_task(self._store(self._planned(decision, payload)))
        cancelled = False
        while not self._storing.done():
            try:
                await asyncio.shield(self._storing)
            except asyncio.CancelledError:
                cancelled = True
            except KeybatonError:
                break
        if cancelled:
            raise asyncio.CancelledError
        try:
            return self._storing.result()
        except KeybatonError:
            self._storing = None
            raise

    async def _store(self, wanted: Plan) -> Ending:
        if wanted.changes:
            try:
                await self._vault.apply(list(wanted.changes))
            except KeybatonError as error:
                if error.reason in _RACED:
                    raise KeybatonError(Reason.CONFLICT, name=wanted.name, kind="", key="", problem="changed") from None
                raise
        self.end(State.SAVED, conflict=wanted.conflict, name=wanted.name, names=wanted.names)
        return Ending(State.SAVED, wanted.conflict)


def _share_failure(error: KeybatonError) -> ShareFailed:
    return ShareFailed(*_NOT_STORED.get(error.reason, _UNSTORABLE))
