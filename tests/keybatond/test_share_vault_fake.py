"""The fake vault keeps the contract that shares rely on."""

from __future__ import annotations

import pytest

from keybaton_testing.fake_vault import FakeVault
from keybaton_testing.vault_contract import ShareVaultContract


class TestFakeVault(ShareVaultContract):
    """The contract, run on the fake."""

    @pytest.fixture
    def vault(self) -> FakeVault:
        return FakeVault()
