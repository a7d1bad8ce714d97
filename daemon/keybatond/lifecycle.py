"""How the agent starts, runs and stops: READY last, everything undone in reverse, nothing for longer than a deadline."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from keybatond.logs import AgentLog
from keybatond.ports import Clock
from keybatond.rpc.lazy import Load
from keybatond.rpc.server import RpcServer

GRACE_SECONDS = 2.0  # for calls that run when the agent is told to end
STOP_SECONDS = 20  # then the kernel ends us: systemd would wait for longer
LATER_SECONDS = 0.5  # loading the logger and D-Bus is not to delay the first answer

Work = Callable[[], Coroutine[Any, Any, None]]


class Agent(NamedTuple):
    """The wired parts, as far as starting and stopping goes."""

    server: RpcServer
    services: Mapping[str, Load]
    log: AgentLog
    clock: Clock
    background: Sequence[Work]  # each runs as long as the agent, or returns early
    later: Sequence[Work]  # the same, begun after the first answers
    end_streams: Sequence[Callable[[], None]]  # watches would otherwise last through the grace period
    close: Sequence[Work]  # the first before the server stops, so that peers and watchers hear of it; the rest after


async def serve(agent: Agent, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
    """Answers calls until SIGTERM, SIGINT or SIGHUP, or until a background task fails, which it then raises."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(number: signal.Signals) -> None:
        agent.log.event("told to end", signal=number.name)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, tell, number)
    await agent.server.start(agent.services)
    ready()
    agent.log.event("started", pid=os.getpid())
    tasks = [asyncio.create_task(_background(agent, told, work, 0.0)) for work in agent.background]
    tasks += [asyncio.create_task(_background(agent, told, work, LATER_SECONDS)) for work in agent.later]
    try:
        await told.wait()
    finally:
        signal.alarm(STOP_SECONDS)
        stopping()
        await _stop(agent, tasks)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _background(agent: Agent, told: asyncio.Event, work: Work, delay: float) -> None:
    try:
        await agent.clock.sleep(delay)
        await work()
    except Exception as error:
        _note(agent, "background failed", error)
        told.set()
        raise


async def _closed(agent: Agent, close: Work) -> None:
    """One step of the end. What fails in it does not keep the others from being undone, the keys among them."""
    try:
        await close()
    except Exception as error:
        _note(agent, "close failed", error)


def _note(agent: Agent, event: str, error: Exception) -> None:
    from keybatond.rpc.errors import where

    agent.log.event(event, error=type(error).__name__, where=where(error))


async def _stop(agent: Agent, tasks: Sequence[asyncio.Task[None]]) -> None:
    agent.log.event("stopping")
    for end in agent.end_streams:
        end()
    first, *rest = agent.close
    await _closed(agent, first)
    await agent.server.stop(GRACE_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for close in rest:
        await _closed(agent, close)
    agent.log.event("stopped")
    agent.log.open()
