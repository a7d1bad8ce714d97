"""Makes the process unreadable to others of the same user, and without core files: prctl and rlimits of Linux.

Not dumpable means: no ptrace, no /proc/PID/mem, environ or fd for anyone but root, and no core dump. It ends with exec, so every
child that handles keys calls this again.
"""

from __future__ import annotations

import resource
import sys

_PR_GET_DUMPABLE = 3  # prctl(2)
_PR_SET_DUMPABLE = 4


def harden() -> list[str]:
    """Applies each protection; returns what could not be had, as words for a log event. Empty is good."""
    missing = []
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        missing.append("core limit")
    if not _undumpable():
        missing.append("not dumpable")
    return missing


def _undumpable() -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    if library.prctl(_PR_SET_DUMPABLE, none, none, none, none) != 0:
        return False
    return int(library.prctl(_PR_GET_DUMPABLE, none, none, none, none)) == 0
