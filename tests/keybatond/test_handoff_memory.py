"""What a sender's session keeps of attempts that came to nothing."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref

from keybaton_testing.fake_clock import simulate
from keybaton_testing.fake_network import FakeConnection
from keybaton_testing.handoff_attacker import Attacker
from keybaton_testing.handoff_pair import Lan, outcome_of
from keybatond.network_ports import Address

STALLING = 60


def test_an_attempt_that_was_given_up_is_freed_at_once() -> None:
    """Without the collector, which counts objects: each connection has 256 KiB that are none."""
    lan = Lan()
    made: weakref.WeakSet[FakeConnection] = weakref.WeakSet()
    transport = lan.desk.host.transport
    connect = transport.connect

    async def noted(to: Address, *, fingerprint: bytes | None, timeout: float, legacy: bool = False) -> FakeConnection:
        connection = await connect(to, fingerprint=fingerprint, timeout=timeout, legacy=legacy)
        made.add(connection)
        return connection

    transport.connect = noted  # type: ignore[method-assign]

    async def main() -> tuple[int, int]:
        attacker = Attacker(lan.network, random.Random(1))
        sending = asyncio.ensure_future(outcome_of(lan.desk.send(lan.job(timeout=30), lan.sender)))
        for _ in range(STALLING):
            server = await attacker.serve("stall")
            await attacker.announce(server.port, server.fingerprint)
            await lan.clock.sleep(0.4)
        await lan.clock.sleep(3)
        held = len(made)
        await sending
        return held, len(transport.connects)

    gc.collect()
    gc.disable()
    try:
        held, tried = simulate(lan.clock, main())
    finally:
        gc.enable()
    assert tried > STALLING // 2
    assert held == 0
