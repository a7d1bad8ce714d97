"""What several tests of the agent's parts stand on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keybaton_core.items import Item
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.handoff_pair import Lan
from keybaton_testing.share_world import SECRET, World, plain
from keybaton_testing.vaults import made_vault
from keybatond.services.vault import VaultService
from keybatond.services.vault_types import Change, PutMode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the vault lies; its folder is not there yet."""
    return tmp_path / "keybaton" / "vault.db"


@pytest.fixture
def clock() -> FakeClock:
    """The vault's clock."""
    return FakeClock()


@pytest.fixture
async def vault(path: Path, clock: FakeClock) -> AsyncIterator[VaultService]:
    """Open and empty."""
    vault = await made_vault(path, clock)
    yield vault
    await vault.shutdown()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Shares over scripted drivers, with one secret in the vault."""
    world = World()
    await world.vault.apply([Change(Item(SECRET, plain("hush")), PutMode.CREATE)])
    yield world
    closing = asyncio.ensure_future(world.shares.close())
    await world.clock.advance(10)
    await closing


@pytest.fixture
def lan() -> Lan:
    """Two devices that have not begun."""
    return Lan()
