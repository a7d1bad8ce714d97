"""How things are measured: interleaved rounds, medians, ratios of medians; and what a row of the table holds."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Row:
    """One line: what was done, against what, the figure, its bound (a lower one where `at_least`), and the raw medians.

    `value` is None where something is missing; `note` then says what.
    """

    what: str
    against: str
    value: float | None
    bound: float | None
    unit: str = "×"
    at_least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the bound holds; None without a figure or a bound."""
        if self.value is None or self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True)
class Command:
    """A program to be timed from its start to its end, its output thrown away."""

    arguments: Sequence[str]
    env: Mapping[str, str]
    stdin: str = os.devnull
    folder: str = "/"  # it runs in

    def run(self) -> float:
        """Seconds of one run. RuntimeError when it fails: a figure of a failure is worth nothing."""
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, self.stdin, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        with contextlib.chdir(self.folder):
            start = time.perf_counter()
            child = os.posix_spawnp(self.arguments[0], list(self.arguments), dict(self.env), file_actions=actions)
            _, status = os.waitpid(child, 0)
            elapsed = time.perf_counter() - start
        if status:
            raise RuntimeError(f"{' '.join(self.arguments[:4])} … ended with {os.waitstatus_to_exitcode(status)}")
        return elapsed


def interleaved(actions: Mapping[str, Callable[[], float]], rounds: int, *, warm: int = 3) -> dict[str, float]:
    """Median seconds of each action, run in turns, so that whatever else the machine does meets all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + warm):
        for name, action in actions.items():
            seconds = action()
            if number >= warm:
                taken[name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def milliseconds(seconds: float) -> str:
    """For notes: `9.1 ms`."""
    return f"{seconds * 1000:.3g} ms"


def resident_kib(pid: int) -> int:
    """VmRSS of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} shows no VmRSS")


def cpu_seconds(pid: int) -> float:
    """Time on a processor so far, of all threads that there are: the scheduler's nanoseconds (Linux, sched-stats.rst).

    The ticks of `/proc/PID/stat` are of 10 ms, a third of what an idle agent may take in the whole time that is measured.
    """
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
