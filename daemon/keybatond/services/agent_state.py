"""The agent's whole state as clients see it, and the news that it has changed. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from keybatond.errors import KeybatonError, Reason
from keybatond.ports import DeviceInfo
from keybatond.services.custody import CustodyService, CustodyState, VaultState
from keybatond.services.vault_front import VaultFront


class AgentIdentity(NamedTuple):
    """What does not change while the agent runs."""

    version: str
    pid: int
    data_path: str
    idle_lock_seconds: int  # 0: never
    started_at_ms: int


class AgentState(NamedTuple):
    """The whole state at one moment. `items` is 0 while the vault is locked."""

    identity: AgentIdentity
    custody: CustodyState
    device_name: str
    items: int
    open_sessions: int


class Changes:
    """Wakes those who wait whenever something may have changed. Waking for nothing is allowed, missing a change is not."""

    def __init__(self) -> None:
        self.version = 0
        self._closed = False
        self._news = asyncio.Event()

    def notify(self) -> None:
        """Something may have changed."""
        self.version += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    def close(self) -> None:
        """Nothing changes any more: those who wait are told."""
        self._closed = True
        self.notify()

    async def after(self, version: int) -> None:
        """Returns once there is something newer than `version`. SHUTTING_DOWN when there will be nothing any more."""
        while self.version == version and not self._closed:
            await self._news.wait()
        if self._closed:
            raise KeybatonError(Reason.SHUTTING_DOWN)


class AgentStatus:
    """Gathers the state from those who own it. Methods belong to the event loop's thread."""

    def __init__(
        self,
        identity: AgentIdentity,
        device: DeviceInfo,
        custody: CustodyService,
        vault: VaultFront,
        open_sessions: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._device = device
        self._custody = custody
        self._vault = vault
        self._open_sessions = open_sessions
        self._changes = Changes()

    def state(self) -> AgentState:
        """As it is now; never waits and never fails: an open vault whose file was damaged since is DAMAGED."""
        custody, items = self._custody.state(), 0
        if self._vault.is_open:
            try:
                items = self._vault.count()
            except KeybatonError as failure:
                custody = custody._replace(vault_state=VaultState.DAMAGED, problem=failure)
        return AgentState(self._identity, custody, self._device.name(), items, self._open_sessions())

    def changed(self) -> None:
        """Something that the state shows may have changed."""
        self._changes.notify()

    def close(self) -> None:
        """Ends every watch."""
        self._changes.close()

    async def watch(self) -> AsyncIterator[AgentState]:
        """The state at once and after each change. Ends with SHUTTING_DOWN."""
        version = self._changes.version
        shown = self.state()
        yield shown
        while True:
            await self._changes.after(version)
            version = self._changes.version
            state = self.state()
            if state != shown:
                shown = state
                yield shown
