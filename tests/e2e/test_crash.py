"""Killed at any instant, the agent keeps what it acknowledged."""

from __future__ import annotations

import pytest

from keybaton_testing.crash import REKEY_EVERY, run

pytestmark = pytest.mark.e2e

KILLS = 50


def test_fifty_kills_under_load_lose_nothing() -> None:
    """Every acknowledged write is there after each kill, the check finds no damage, and one of two keys opens after a rekey."""
    report = run(KILLS, seed=20260101)
    assert report.kills == KILLS
    assert report.acknowledged > KILLS
    assert report.rekeys_before + report.rekeys_after == KILLS // REKEY_EVERY
