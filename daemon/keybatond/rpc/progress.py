"""Turns a long operation that reports progress into a stream: counts while it runs, its result as the last value."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Progress
from keybatond.rpc.limits import WORKS_MAX

_Result = TypeVar("_Result")

# Operations go on to their end when nobody listens any more: stopping them half-way is worse than finishing.
_running: set[asyncio.Task[object]] = set()


class Counted(NamedTuple):
    """How far it is."""

    done: int
    total: int


class Finished(NamedTuple, Generic[_Result]):
    """What came of it."""

    result: _Result


async def with_progress(
    operation: Callable[[Progress], Awaitable[_Result]],
) -> AsyncIterator[Counted | Finished[_Result]]:
    """Runs `operation`, giving the latest count whenever the reader is ready for one. Raises what it raises.

    BUSY when WORKS_MAX run already.
    """
    if len(_running) >= WORKS_MAX:
        raise KeybatonError(Reason.BUSY, limit=str(WORKS_MAX), busy="Too many checks, backups or the like are running")
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    latest: list[Counted] = []

    def progress(done: int, total: int) -> None:
        latest[:] = [Counted(done, total)]
        loop.call_soon_threadsafe(news.set)

    async def run() -> _Result:
        return await operation(progress)

    task = asyncio.create_task(run())
    _running.add(task)
    task.add_done_callback(_running.discard)
    task.add_done_callback(lambda _: news.set())
    while not task.done():
        await news.wait()
        news.clear()
        if latest:
            yield latest.pop()
    yield Finished(await task)
