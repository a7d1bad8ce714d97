"""Holds calls back while the agent, just started, fetches the vault's key by itself: they would find the vault locked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class StartGate:
    """Opens once `attempt` has ended, however it ended. `attempt` has deadlines of its own."""

    def __init__(self, attempt: Callable[[], Awaitable[None]]) -> None:
        self._attempt = attempt
        self._opened = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether calls need not wait."""
        return self._opened.is_set()

    async def run(self) -> None:
        """Makes the attempt, then opens."""
        try:
            await self._attempt()
        finally:
            self._opened.set()

    async def passed(self) -> None:
        """Returns when it is open."""
        await self._opened.wait()
