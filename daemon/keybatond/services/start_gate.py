"""Lets calls in: not while the agent, just started, fetches the vault's key by itself, since they would find it locked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class StartGate:
    """Opens once `attempt` has ended, however it ended. `attempt` has deadlines of its own."""

    def __init__(self, attempt: Callable[[], Awaitable[None]], touch: Callable[[], None]) -> None:
        """`touch` notes that somebody used the agent."""
        self._attempt = attempt
        self._touch = touch
        self._opened = asyncio.Event()

    async def run(self) -> None:
        """Makes the attempt, then opens."""
        try:
            await self._attempt()
        finally:
            self._opened.set()

    async def admitted(self) -> None:
        """Returns when it is open; counts as use."""
        if not self._opened.is_set():
            await self._opened.wait()
        self._touch()
