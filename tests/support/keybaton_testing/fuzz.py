"""How many generated examples a property test takes: its own number, times KEYBATON_FUZZ (a whole number, 1 by default)."""

from __future__ import annotations

import os

from hypothesis import settings


def examples(count: int) -> settings:
    """Settings for `count` examples, or more when asked for."""
    return settings(max_examples=count * int(os.environ.get("KEYBATON_FUZZ", "1")))
