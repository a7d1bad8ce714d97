"""Holds texts against a project's patterns: in a child process, which the kernel ends when it takes too long.

The project may be somebody else's. Python's regular expressions try every way in which nested repeats can share a text:
`(a+)+$` on forty letters takes hours. Its inner loops, and the reading of a pattern, cannot be bounded within their process.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
import warnings
from collections.abc import Sequence

CPU_SECONDS = 0.3
"""For all pairs of one call; usual ones take microseconds. Of the processor's time: a busy machine refuses nothing."""

CLOCK_SECONDS = 10.0
"""For a child that does not even run: one that is stopped, or forked beside threads at a bad moment."""

_CHUNK = 65_536
_YES, _NO = b"y", b"n"


def matched(pairs: Sequence[tuple[str, str | None]]) -> list[bool | str]:
    """Whether each pattern matches the whole of its text, or why it is none, in words. No text: only whether it is one.

    Fewer answers than `pairs`: the time was used up, by the first that has none.
    """
    if not pairs:
        return []
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(writer, pairs)
    os.close(writer)
    answered = b""
    deadline = time.monotonic() + CLOCK_SECONDS
    while True:
        if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.kill(child, signal.SIGKILL)
            break
        read = os.read(reader, _CHUNK)
        if not read:
            break
        answered += read
    os.close(reader)
    with contextlib.suppress(
        ChildProcessError
    ):  # whoever started this ignores SIGCHLD: the kernel has taken the child away
        os.waitpid(child, 0)
    lines = answered.split(b"\n")[:-1]
    return [line == _YES if line in (_YES, _NO) else line[1:].decode(errors="replace") for line in lines]


def _answer(writer: int, pairs: Sequence[tuple[str, str | None]]) -> None:
    """What the child does: a line for each pair. Never returns."""
    try:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends the process, whatever it is doing
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        warnings.simplefilter("ignore")  # Python's own words about a pattern that another version may read differently
        for pattern, text in pairs:
            try:
                compiled = re.compile(pattern)
                answer = _YES if text is None or compiled.fullmatch(text) else _NO
            except (re.error, RecursionError, OverflowError) as error:
                answer = b"-" + str(error).replace("\n", " ").encode(errors="replace")
            os.write(writer, answer + b"\n")
    finally:
        os._exit(0)
