"""What several end-to-end tests stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keybaton_testing.prompt_desk import Desk, RealDesk, fake_desk, real_desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A terminal and a fake agent that holds a few things."""
    with fake_desk() as made:
        yield made


@pytest.fixture
def real() -> Iterator[RealDesk]:
    """A terminal and a device with an open vault."""
    with real_desk() as made:
        yield made
