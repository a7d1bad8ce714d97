"""Custody over fakes: locks, idle time, and several callers at once."""

from __future__ import annotations

import asyncio

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.custody_machine import (
    KEYCHAIN,
    WORDS,
    Machine,
    no_progress,
    refused,
)
from keybaton_testing.fake_clock import FakeClock, simulate
from keybaton_testing.fake_keystore import FakeKeystore
from keybatond.errors import Reason
from keybatond.ports import KeyRecord
from keybatond.services.custody import WAIT_SECONDS


async def test_lock_drops_the_keys_first_and_then_tells_everybody() -> None:
    """Callbacks see a closed vault; one that fails does not keep the others from running; a locked vault tells nobody."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    seen: list[bool] = []

    async def failing() -> None:
        raise RuntimeError

    async def noting() -> None:
        seen.append(machine.vault.is_open)

    machine.custody.on_lock(failing)
    machine.custody.on_lock(noting)
    await machine.custody.lock()
    await machine.custody.lock()
    assert seen == [False]


async def test_a_lock_ends_when_the_keys_are_overwritten() -> None:
    """What holds a sleep back until then would else let it go while a write still has them."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    machine.vault.writes_end.clear()
    locking = asyncio.create_task(machine.custody.lock())
    await machine.clock.settle()
    assert not machine.vault.is_open
    assert not locking.done()
    machine.vault.writes_end.set()
    await locking


async def test_a_lock_that_fails_does_not_make_every_later_change_wait() -> None:
    """Whatever goes wrong in a change, the next one has its turn."""
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    machine.vault.close_failure = RuntimeError("no more threads")
    slow = asyncio.create_task(machine.custody.lock())
    rekey = asyncio.create_task(machine.custody.rekey(None, None, no_progress))
    failed, _ = await asyncio.gather(slow, rekey, return_exceptions=True)
    assert isinstance(failed, RuntimeError)
    machine.vault.close_failure = None
    async with asyncio.timeout(5):
        await machine.custody.unlock()
    assert machine.vault.is_open


def test_the_idle_lock_comes_after_the_idle_time_and_activity_delays_it() -> None:
    """60 minutes by default, counted from the last touch; nothing locks twice; zero means never."""

    async def run() -> None:
        machine = Machine()
        machine.clock = clock
        machine.custody._clock = clock
        await machine.custody.init(KEYCHAIN, None)
        watch = asyncio.create_task(machine.custody.watch_idle())
        await asyncio.sleep(3000)
        machine.custody.touch()
        await asyncio.sleep(3599)
        assert machine.vault.is_open
        await asyncio.sleep(2)
        assert not machine.vault.is_open
        await machine.custody.unlock()
        await asyncio.sleep(3601)
        assert not machine.vault.is_open
        watch.cancel()
        await Machine(idle=0).custody.watch_idle()

    clock = FakeClock()
    simulate(clock, run())


class SlowKeystore(FakeKeystore):
    """Answers a load only when told."""

    def __init__(self, stored: dict[str, tuple[bytes, bytes | None]]) -> None:
        super().__init__(KEYCHAIN, stored)
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        self.asked.set()
        await self.go.wait()
        return await super().load(record, passphrase)


async def _slow_machine() -> tuple[Machine, SlowKeystore]:
    machine = Machine()
    await machine.custody.init(KEYCHAIN, None)
    later = machine.restarted()
    slow = SlowKeystore(machine.stored)
    later.custody._keys._keystores = {KEYCHAIN: slow}
    return later, slow


async def _rekeying_machine() -> tuple[Machine, SlowKeystore, asyncio.Task[None]]:
    """Open, in the middle of a rekey that goes on when the keystore does."""
    machine, slow = await _slow_machine()
    slow.go.set()
    await machine.custody.unlock()
    slow.go.clear()
    slow.asked.clear()
    rekeying = asyncio.create_task(machine.custody.rekey(None, None, no_progress))
    await slow.asked.wait()
    return machine, slow, rekeying


async def test_a_lock_ends_an_unlock_that_waits_for_its_keystore() -> None:
    """Suspend while a keychain asks a person: the lock wins at once, the unlock says VAULT_LOCKED, the vault stays closed."""
    machine, slow = await _slow_machine()
    unlocking = asyncio.create_task(machine.custody.unlock())
    await slow.asked.wait()
    await asyncio.wait_for(machine.custody.lock(), 1)
    assert await refused(unlocking) is Reason.VAULT_LOCKED  # type: ignore[arg-type]
    assert not machine.vault.is_open


async def test_a_lock_that_came_first_wins_over_an_unlock() -> None:
    """Whoever unlocks at that moment is told that the vault is locked, not that it is open."""
    machine = (await _slow_machine())[0].restarted()
    unlocking, locking = asyncio.create_task(machine.custody.unlock()), asyncio.create_task(machine.custody.lock())
    assert await refused(asyncio.wait_for(unlocking, 10)) is Reason.VAULT_LOCKED
    await locking
    assert not machine.vault.is_open


async def test_concurrent_unlocks_ask_the_keystore_once() -> None:
    """Calls are one after the other: the second finds the vault open."""
    machine, slow = await _slow_machine()
    slow.go.set()
    await asyncio.gather(*(machine.custody.unlock() for _ in range(20)))
    assert machine.vault.is_open


def test_a_change_that_takes_too_long_makes_the_next_one_busy_and_a_lock_follows_it() -> None:
    """BUSY after 10 s instead of waiting for ever; the lock that was refused is made up for when the change ends."""

    async def run() -> None:
        machine, slow, rekeying = await _rekeying_machine()
        assert await refused(machine.custody.backup("/b", WORDS, no_progress)) is Reason.BUSY
        assert await refused(machine.custody.lock()) is Reason.BUSY
        slow.go.set()
        await rekeying
        assert not machine.vault.is_open
        await machine.restarted().custody.unlock()

    simulate(FakeClock(), run())


@pytest.mark.parametrize("ends", [True, False])
def test_the_end_waits_for_a_change_that_runs_but_not_for_ever(ends: bool) -> None:
    """The keys are there until the change has ended, or for 10 s; either way the next agent opens the vault."""

    async def run() -> None:
        machine, slow, rekeying = await _rekeying_machine()
        closing = asyncio.create_task(machine.custody.close())
        await asyncio.sleep(WAIT_SECONDS - 1)
        assert machine.vault.is_open
        assert not closing.done()
        if ends:
            slow.go.set()
        await closing
        assert not machine.vault.is_open
        assert rekeying.done() is ends
        slow.go.set()
        await asyncio.gather(rekeying, return_exceptions=True)
        await machine.restarted().custody.unlock()

    simulate(FakeClock(), run())


async def test_a_change_goes_on_when_its_caller_leaves() -> None:
    """A client that hangs up during a rekey does not leave it to chance which key the vault needs."""
    machine, slow, caller = await _rekeying_machine()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    slow.go.set()
    await machine.custody.lock()
    assert len(machine.stored) == 1
    await machine.restarted().custody.unlock()
