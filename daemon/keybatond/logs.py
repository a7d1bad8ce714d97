"""The agent's log: events as JSON lines, with fields from a closed list, so that nothing secret can slip in.

Under systemd the lines go to the journal (standard error), else to a file of bounded size. structlog is imported when the
first line is written out, after the socket answers; until then events wait.
"""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from keybatond.paths import FILE_MODE

Value = str | int | float | bool | None

# Every field that an event may have. Ids, reasons, counts and durations: never a name, a value, a code, a key or an address.
FIELDS = frozenset({
    "error", "items", "keystore", "kind", "method", "pid", "port", "protocol", "reason", "role", "seconds", "session", "signal",
    "state", "where",
})  # fmt: skip

_FIT = re.compile(r"[A-Za-z0-9._:/+-]{0,128}")
_WAITING_MAX = 256

LOG_FILE_BYTES = 1024 * 1024
LOG_FILES_KEPT = 3


class AgentLog:
    """Implements the port `Log`."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """`write` takes one line without its end."""
        self._write = write
        self._waiting: deque[tuple[str, dict[str, Value]]] | None = deque(maxlen=_WAITING_MAX)
        self._emit: Callable[..., object] | None = None

    def event(self, event: str, /, **fields: Value) -> None:
        """Writes one event. A field that is not on the list is left out and named; a text that is no id is replaced."""
        kept = {key: _fit(value) for key, value in fields.items() if key in FIELDS}
        if len(kept) != len(fields):
            kept["fields"] = "unknown:" + "+".join(sorted(key for key in fields if key not in FIELDS))[:100]
        if self._waiting is not None:
            self._waiting.append((event, kept))
        elif self._emit is not None:
            self._emit(event, **kept)

    def open(self) -> None:
        """Loads structlog and writes what has waited."""
        if self._waiting is None:
            return
        import structlog

        logger = structlog.wrap_logger(
            _Lines(self._write),
            processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.JSONRenderer()],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=True,
        )
        self._emit = logger.info
        waiting, self._waiting = self._waiting, None
        for event, fields in waiting:
            logger.info(event, **fields)


class _Lines:
    """What structlog calls with the rendered line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.info = write


def _fit(value: Value) -> Value:
    """Texts are ids and reasons: anything longer or with other characters is not one."""
    return value if not isinstance(value, str) or _FIT.fullmatch(value) else "(not an id)"


class LogFile:
    """Appends lines to a file of mode 0600 and starts a new one when it is full; keeps the three before.

    A full disk, or whatever else lies in the file's place, costs lines, never the agent.
    """

    def __init__(self, path: Path, limit: int = LOG_FILE_BYTES) -> None:
        self._path = path
        self._limit = limit
        self._descriptor: int | None = None
        self._size = 0

    def write(self, line: str) -> None:
        """One line."""
        data = line.encode() + b"\n"
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
                self._size = os.fstat(self._descriptor).st_size
            if self._size + len(data) > self._limit and self._size:
                self._rotate()
            self._size += os.write(self._descriptor, data)
        except OSError:
            return

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _open(self) -> int:
        # Not to wait for a reader, where somebody put a pipe there.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, FILE_MODE)
        os.fchmod(descriptor, FILE_MODE)
        return descriptor

    def _rotate(self) -> None:
        for number in range(LOG_FILES_KEPT - 1, -1, -1):
            older = self._path.with_name(f"{self._path.name}.{number + 1}")
            newer = self._path.with_name(f"{self._path.name}.{number}") if number else self._path
            if newer.exists():
                newer.replace(older)
        fresh = self._open()
        self.close()
        self._descriptor, self._size = fresh, 0


def log_to_stderr(line: str) -> None:
    """One line to standard error, which is the journal under systemd."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # a closed terminal is no reason to stop


def under_journal(env: Mapping[str, str]) -> bool:
    """Whether standard error is the journal: systemd names the stream's device and inode in JOURNAL_STREAM."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return env.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"
