"""Other Python interpreters of this machine."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEM = Path("/usr/bin/python3")  # Debian's: every user can run it, also where the tests' own lies in a private folder
_SECONDS = 60


@functools.cache
def other(version: str) -> str | None:
    """An interpreter of that version which can make environments: on PATH, or beside this one where versions have folders."""
    beside = sorted(Path(sys.base_prefix).parent.glob(f"{version}*/bin/python{version}"))
    candidates = [*map(str, beside), shutil.which(f"python{version}")]
    return next((found for found in candidates if found and _succeeds(found, "import venv, ensurepip")), None)


def has_system() -> bool:
    """Whether the system's own is there, in a version that Keybaton supports."""
    return SYSTEM.exists() and _succeeds(str(SYSTEM), "import sys; sys.exit(sys.version_info < (3, 11))")


def _succeeds(python: str, code: str) -> bool:
    return subprocess.run([python, "-c", code], capture_output=True, timeout=_SECONDS, check=False).returncode == 0
