"""Which `keybaton` the end-to-end tests run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

WHEEL_ENVIRONMENT = ".venv-wheel"  # `make wheel-venv`: an environment with nothing but the built wheel in it


def keybaton() -> list[str]:
    """The command's beginning: `KEYBATON_BIN`, else the one of the wheel's environment, else this interpreter's."""
    named = os.environ.get("KEYBATON_BIN")
    if named:
        return [named]
    root = Path(__file__).resolve().parents[3]
    for candidate in (root / WHEEL_ENVIRONMENT / "bin" / "keybaton", Path(sys.executable).parent / "keybaton"):
        if os.access(candidate, os.X_OK):
            return [str(candidate)]
    return [sys.executable, "-m", "keybaton_cli"]
