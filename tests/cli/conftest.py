"""What several tests of the command line stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keybaton_testing.hot_device import HotDevice, hot_device


@pytest.fixture
def device() -> Iterator[HotDevice]:
    """A server with a few secrets, where a command looks for the agent."""
    with hot_device() as made:
        yield made
