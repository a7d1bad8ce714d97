"""A real systemd user manager in namespaces of its own, for tests that run as root; nothing of it outlives the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from keybaton_testing.device import device_environment
from keybaton_testing.processes import wait_until

LIFE_SECONDS = 120  # the kernel ends the namespace's first process then, and everything in it
CALL_SECONDS = 30
_CGROUPS = Path("/sys/fs/cgroup")

_UNSHARE = "unshare --mount --pid --fork --mount-proc --kill-child"

# The shell is the namespace's first process: systemd in that place takes itself for the machine's.
_BOOT = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
for group in $GROUPS_TO_MAKE; do
    mkdir "$group"
    echo 0 > "$group/cgroup.procs"
done
/usr/lib/systemd/systemd --user --log-target=console --log-level=notice &
wait $!
"""


class UserManager:
    """A context manager. `env` are the XDG variables of its user; units lie in `units`."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        root = Path(tempfile.mkdtemp(prefix="kbu-"))
        self._stack.callback(shutil.rmtree, root, ignore_errors=True)
        self.env = {"PATH": os.environ["PATH"], **device_environment(root)}
        self.units = Path(self.env["XDG_CONFIG_HOME"]) / "systemd" / "user"
        self.units.mkdir(parents=True)
        self._groups = [_hierarchy(name) / f"keybaton-test-{os.getpid()}" for name in _hierarchies()]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._stack.callback(self._remove_groups)
        self._process = subprocess.Popen(
            [*f"timeout -s KILL {LIFE_SECONDS} {_UNSHARE}".split(), "sh", "-c", _BOOT],
            env={**self.env, "GROUPS_TO_MAKE": " ".join(map(str, self._groups))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._stack.callback(self._end)
        wait_until(lambda: self.systemctl("is-system-running").stdout.strip() == "running", "a running user manager")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `systemctl --user` inside the namespaces."""
        first = self._first_process()
        inside = ["nsenter", "--target", first, "--mount", "--pid", "--"] if first else ["false"]
        return subprocess.run(
            [*inside, "systemctl", "--user", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
            check=False,
        )

    def property(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit).stdout.strip()

    def outer_pid(self, inner: str) -> int:
        """The number outside the namespaces of the process that has `inner` inside."""
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                numbers = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()[
                    1:
                ]
                if len(numbers) == 2 and numbers[1] == inner and self._is_ours(status.parent):
                    return int(numbers[0])
        raise AssertionError(f"no process {inner} in the namespace")

    def _is_ours(self, process: Path) -> bool:
        first = self._first_process()
        return bool(first) and (process / "ns/pid").readlink() == Path(f"/proc/{first}/ns/pid").readlink()

    def _first_process(self) -> str:
        """The namespace's first process: the child of `unshare`, which is the child of `timeout`."""
        assert self._process is not None
        pid = str(self._process.pid)
        for _ in range(2):
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                return ""
            if not children:
                return ""
            pid = children[0]
        return pid

    def _end(self) -> None:
        assert self._process is not None
        first = self._first_process()
        if first:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(first), 9)
        self._process.wait(CALL_SECONDS)

    def _remove_groups(self) -> None:
        for group in self._groups:
            with contextlib.suppress(AssertionError):
                wait_until(lambda group=group: _removed(group), f"the end of {group}", seconds=5)  # type: ignore[misc]


def _hierarchies() -> list[str]:
    """The hierarchies in which systemd keeps its groups: two on a hybrid system, the root itself on a unified one."""
    return [name for name in ("systemd", "unified") if (_CGROUPS / name).is_dir()] or ["."]


def _hierarchy(name: str) -> Path:
    return _CGROUPS / name


def _removed(group: Path) -> bool:
    """Removes a group and those below it, innermost first; False while a process is in one."""
    if not group.exists():
        return True
    below = sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    for path in (*below, group):
        with contextlib.suppress(OSError):
            path.rmdir()
    return not group.exists()
