"""Simulated time: a clock that a test advances, and an event loop that jumps to its next timer when it is idle."""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SETTLE_ROUNDS = 50  # enough for a chain of awaits between two timers


class FakeClock:
    """The Clock port without real time. Starts at `monotonic()` = 1,000 s.

    In an ordinary loop time stands still until `advance`. Under `simulate` it jumps by itself.
    """

    def __init__(self, *, now_ms: int = 1_760_000_000_000) -> None:
        self._monotonic = 1000.0
        self._now_ms = now_ms
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic(self) -> float:
        return self._monotonic

    def now_ms(self) -> int:
        return self._now_ms

    def jump_wall(self, milliseconds: int) -> None:
        """Somebody sets the wall clock; the monotonic one does not notice."""
        self._now_ms += milliseconds

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(loop, SimulatedLoop):
            await asyncio.sleep(seconds)
            return
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._count += 1
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Moves time on, waking every sleeper in its turn; for ordinary loops."""
        target = self._monotonic + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            self.move_to(due)
            if not future.done():
                future.set_result(None)
            await self.settle()
        self.move_to(target)
        await self.settle()

    async def settle(self) -> None:
        """Lets everything that can run without time passing do so."""
        for _ in range(SETTLE_ROUNDS):
            await asyncio.sleep(0)

    def move_to(self, monotonic: float) -> None:
        """Sets the time, both clocks alike; never backwards."""
        step = max(0.0, monotonic - self._monotonic)
        self._monotonic += step
        self._now_ms += round(step * 1000)


class _JumpingSelector(selectors.SelectSelector):
    """Where a real selector would wait, moves the clock instead."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("simulation: everything waits and no timer is set (deadlock)")
        if timeout > 0:
            self._clock.move_to(self._clock.monotonic() + timeout)
            return []  # nothing in a simulation arrives from outside
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in simulated time: a minute takes as long as its callbacks do."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        super().__init__(_JumpingSelector(clock))

    def time(self) -> float:
        return self._clock.monotonic()


def simulate(clock: FakeClock, main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end in simulated time. No threads, sockets or processes inside."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        return runner.run(main)
