"""Killed at any instant, the agent keeps what it acknowledged."""

from __future__ import annotations

import pytest

from keybaton_testing import crash_restore
from keybaton_testing.crash import REKEY_EVERY, run

pytestmark = pytest.mark.e2e

KILLS = 50
RESTORE_KILLS = 20


def test_fifty_kills_under_load_lose_nothing() -> None:
    """Every acknowledged write is there after each kill, the check finds no damage, and one of two keys opens after a rekey."""
    report = run(KILLS, seed=20260101)
    assert report.kills == KILLS
    assert report.acknowledged > KILLS
    assert report.rekeys_before + report.rekeys_after == KILLS // REKEY_EVERY


def test_a_restore_that_is_killed_leaves_the_old_vault_or_the_new_one_and_nothing_lost() -> None:
    """Whole, under its own key; a replaced vault lies beside it whole; every acknowledged write is in one of them."""
    report = crash_restore.run(RESTORE_KILLS, seed=20260102)
    assert report.kills == report.undone + report.done == RESTORE_KILLS
    assert report.undone and report.done
    assert report.acknowledged > RESTORE_KILLS
