"""LogindWatch against a logind on a private bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.fake_logind import OUR_UID, OURS, THEIRS, FakeLogind
from keybaton_testing.fake_machine import FakeLog
from keybatond.adapters.logind_watch import RETRY_SECONDS, LogindWatch

SOON = 10  # seconds; only a failing test waits that long


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():
            await asyncio.sleep(0.01)


class Watched:
    """A watch on a fake logind, and the locks that it asked for."""

    def __init__(self, logind: FakeLogind) -> None:
        self.logind = logind
        self.log = FakeLog()
        self.clock = FakeClock()
        self.locks = 0
        self.held_at_lock: list[int] = []
        self.failure: Exception | None = None
        self.task: asyncio.Task[None]
        self.watch = LogindWatch(self._lock, self.clock, self.log, address=logind.address, user_id=OUR_UID)

    async def _lock(self) -> None:
        self.locks += 1
        self.held_at_lock.append(self.logind.holds)
        if self.failure is not None:
            raise self.failure

    def events(self, name: str) -> int:
        return sum(event == name for event, _ in self.log.events)


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    async with FakeLogind() as logind:
        one = Watched(logind)
        task = one.task = asyncio.create_task(one.watch.run())
        try:
            await until(lambda: one.events("logind watched") == 1)
            yield one
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_sleep_waits_until_the_keys_are_gone() -> None:
    """The inhibitor is held while the lock runs, let go after it, and taken again after the sleep."""
    async with watched() as one:
        assert one.logind.holds == 1
        one.logind.prepare_for_sleep(True)
        await until(lambda: one.locks == 1 and one.logind.holds == 0)
        assert one.held_at_lock == [1]
        one.logind.prepare_for_sleep(False)
        await until(lambda: one.logind.holds == 1)
        assert one.locks == 1


async def test_a_lock_of_this_users_screen_counts_and_another_users_does_not() -> None:
    """Both the signal Lock and the hint of a screen locker; unlocking the screen does nothing."""
    async with watched() as one:
        one.logind.lock_session(THEIRS)
        one.logind.set_locked_hint(THEIRS, True)
        one.logind.set_locked_hint(OURS, False)
        one.logind.lock_session(OURS)
        await until(lambda: one.locks == 1)
        one.logind.set_locked_hint(OURS, True)
        await until(lambda: one.locks == 2)


async def test_a_stranger_on_the_bus_cannot_lock() -> None:
    """A signal sent straight to the agent by anyone but logind is ignored."""
    async with watched() as one:
        await one.logind.forge_sleep()
        one.logind.lock_session(OURS)
        await until(lambda: one.locks == 1)
        assert [fields["reason"] for event, fields in one.log.events if event == "lock by logind"] == ["screen"]


async def test_a_lock_that_fails_does_not_end_the_watch() -> None:
    """It is logged, the sleep goes on, the next signal is heard."""
    async with watched() as one:
        one.failure = RuntimeError()
        one.logind.prepare_for_sleep(True)
        await until(lambda: one.logind.holds == 0)
        assert one.events("lock delayed") == 1
        one.logind.lock_session(OURS)
        await until(lambda: one.locks == 2)


async def test_a_lost_bus_is_logged_once_a_minute() -> None:
    """The watch does not spin while the bus is away; its inhibitor is not kept."""
    async with watched() as one:
        one.logind.stop_bus()
        await until(lambda: one.events("logind not watched") == 1)
        await one.clock.settle()
        await until(lambda: one.logind.holds == 0)
        assert one.events("logind not watched") == 1


async def test_a_bus_that_went_for_good_is_looked_for_again() -> None:
    """Only where there was none from the start the watch ends: a bus that is restarted has no socket for a moment."""
    async with watched() as one:
        one.logind.stop_bus()
        await until(lambda: one.events("logind not watched") == 1)
        Path(one.logind.address.removeprefix("unix:path=")).unlink(missing_ok=True)
        await one.clock.advance(RETRY_SECONDS)
        await until(lambda: one.events("logind not watched") == 2)
        assert not one.task.done()


@pytest.mark.parametrize("address", ["nonsense", "pigeon:path=/bus"])
async def test_an_address_that_names_no_bus_ends_nothing(address: str) -> None:
    """It comes from the environment; the agent goes on without logind."""
    log = FakeLog()
    clock = FakeClock()

    async def lock() -> None:
        raise AssertionError

    task = asyncio.create_task(LogindWatch(lock, clock, log, address=address).run())
    await until(lambda: len(log.events) == 1)
    await clock.settle()
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_bus_that_lets_nobody_in_ends_nothing(tmp_path: Path) -> None:
    """It answers the greeting with a refusal, as a bus with another user's policy does."""
    log = FakeLog()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"REJECTED\r\n")
        await reader.read()
        writer.close()

    async def lock() -> None:
        raise AssertionError

    server = await asyncio.start_unix_server(refuse, tmp_path / "bus")
    task = asyncio.create_task(LogindWatch(lock, FakeClock(), log, address=f"unix:path={tmp_path}/bus").run())
    try:
        await until(lambda: bool(log.events))
        assert log.events == [("logind not watched", {"reason": "_Lost"})]
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


async def test_without_a_system_bus_it_says_so_once_and_ends() -> None:
    """No D-Bus is no error."""
    log = FakeLog()

    async def lock() -> None:
        raise AssertionError

    await LogindWatch(lock, FakeClock(), log, address="unix:path=/nonexistent/bus").run()
    assert log.events == [("logind not watched", {"reason": "FileNotFoundError"})]
