"""The tasks of one handoff session: all of them end with it, and a fault in one ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from keybatond.ports import Clock
from keybatond.services.deadlines import within

T = TypeVar("T")


class Scope(Generic[T]):
    """Owns tasks and the session's result; the first result or failure counts."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs `work` beside the others."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    @property
    def over(self) -> bool:
        """True once there is a result."""
        return self._result.done()

    def succeed(self, result: T) -> None:
        """Ends the session with a result."""
        if not self.over:
            self._result.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Ends the session with a failure."""
        if not self.over:
            self._result.set_exception(error)

    async def result(self) -> T:
        """Waits for the result."""
        return await asyncio.shield(self._result)

    async def close(self) -> None:
        """Cancels what still runs and waits until it has stopped."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not self._result.done():
            self._result.cancel()
        elif not self._result.cancelled():
            self._result.exception()  # seen, also when nobody waits for it any more


async def briefly(clock: Clock, seconds: float, *work: Coroutine[Any, Any, object]) -> None:
    """Does farewell work side by side, as far as it gets in `seconds`; its failures are nobody's loss any more."""
    if work:
        with contextlib.suppress(TimeoutError):
            await within(clock, seconds, _all(work))


async def _all(work: tuple[Coroutine[Any, Any, object], ...]) -> None:
    await asyncio.gather(*work, return_exceptions=True)
