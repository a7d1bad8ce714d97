"""The life of one session's driver: it runs under a guard that ends what is overdue, and its end becomes the session's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from keybatond.errors import ShareFailed, ShareReason
from keybatond.ports import Clock, Log
from keybatond.services.share_run import Run
from keybatond.services.share_session import UNCONFIRMED_HINT, Ending, State

OVERDUE_SECONDS = 5  # a driver keeps its own deadline and knows the better reason; this one makes sure
FAREWELL_SECONDS = 70  # after the outcome a receiver still answers the sender, who may ask for up to 60 s at a time
_CHECK_SECONDS = 15.0  # a new phase may have an earlier limit than the one that the guard sleeps for

_END_STATES = {
    ShareReason.CANCELLED: State.CANCELLED,
    ShareReason.EXPIRED: State.EXPIRED,
    ShareReason.DECLINED: State.DECLINED,
}


async def live(run: Run, drive: Callable[[], Coroutine[Any, Any, Ending]], clock: Clock, log: Log) -> None:
    """Runs the driver to its end. The session has ended when this returns, however that came about."""
    driver = asyncio.ensure_future(drive())
    guard = asyncio.ensure_future(_overdue(run, clock))
    try:
        await asyncio.wait({driver, guard}, return_when=asyncio.FIRST_COMPLETED)
        if driver.done():
            _conclude(run, driver, log)
        elif run.handed_over:
            run.end(State.FAILED, reason=ShareReason.UNCONFIRMED.value, hint=UNCONFIRMED_HINT)
        else:
            run.end(State.EXPIRED, reason=ShareReason.EXPIRED.value)
    finally:
        run.end(State.CANCELLED, reason=ShareReason.CANCELLED.value)
        driver.cancel()
        guard.cancel()
        await asyncio.gather(driver, guard, return_exceptions=True)
        session = run.session
        log.event("share_ended", session=session.id, state=session.state.name.lower(), reason=session.reason)


async def _overdue(run: Run, clock: Clock) -> None:
    """Returns when the session, or its farewell after the end, has lasted too long."""
    while True:
        limit = run.limit + OVERDUE_SECONDS if run.ended_at is None else run.ended_at + FAREWELL_SECONDS
        left = limit - clock.monotonic()
        if left <= 0:
            return
        await clock.sleep(min(left, _CHECK_SECONDS))


def _conclude(run: Run, driver: asyncio.Future[Ending], log: Log) -> None:
    try:
        ending = driver.result()
    except ShareFailed as failed:
        run.end(_END_STATES.get(failed.reason, State.FAILED), reason=failed.reason.value, hint=failed.hint)
    except asyncio.CancelledError:
        run.end(State.CANCELLED, reason=ShareReason.CANCELLED.value)
    except Exception as error:  # a fault of ours must not leave a session that never ends
        log.event("share_broken", session=run.session.id, error=type(error).__name__)
        why, hint = ShareReason.NETWORK, "An internal error ended the share; the agent's log has more."
        if run.handed_over:
            why, hint = ShareReason.UNCONFIRMED, UNCONFIRMED_HINT
        run.end(State.FAILED, reason=why.value, hint=hint)
    else:
        reason = ShareReason.DECLINED.value if ending.state is State.DECLINED else ""
        run.end(ending.state, reason=reason, conflict=ending.conflict, hint=ending.hint)
