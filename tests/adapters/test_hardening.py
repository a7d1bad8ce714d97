"""Process hardening and locked memory, seen from outside the process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_machine import FakeLog
from keybaton_testing.require import require
from keybatond.adapters.locked_memory import SLOT_BYTES, LockedMemory

LIVE = "import sys; sys.stdout.write('up\\n'); sys.stdout.flush(); sys.stdin.readline()"
HARDENED = "from keybatond.adapters.process_hardening import harden; assert harden() == []; " + LIVE
OTHER_UID = 65534


def _readable_by_same_user(script: str, name: str) -> bool:
    """Whether a process of the same, unprivileged user may open /proc/PID/`name` of one that runs `script`."""
    path = os.pathsep.join(part for part in sys.path if part)
    as_nobody = ["setpriv", f"--reuid={OTHER_UID}", "--clear-groups", "--"] if os.geteuid() == 0 else []
    # -m would put the interpreter's own checks first; exec keeps one process, whose /proc we look at.
    victim = subprocess.Popen(
        [sys.executable, "-c", _drop() + script],
        env={"PYTHONPATH": path, "SECRET": "x"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert victim.stdout is not None and victim.stdout.readline() == b"up\n"
        probe = subprocess.run([*as_nobody, "cat", f"/proc/{victim.pid}/{name}"], capture_output=True, check=False)
        return probe.returncode == 0
    finally:
        victim.communicate(b"\n", timeout=10)


def _drop() -> str:
    """Python that becomes the other user once everything is imported, where we are root; dumpable as after an exec."""
    if os.geteuid() != 0:
        return ""
    return (
        "import keybatond.adapters.process_hardening, ctypes, os; "
        f"os.setgroups([]); os.setuid({OTHER_UID}); ctypes.CDLL(None).prctl(4, 1, 0, 0, 0); "
    )


@pytest.mark.parametrize("name", ["environ", "maps", "smaps"])
def test_a_hardened_process_cannot_be_read_by_its_own_user(name: str) -> None:
    """Without hardening the same user reads it (so the test can tell); with it only root does."""
    assert _readable_by_same_user(LIVE, name)
    assert not _readable_by_same_user(HARDENED, name)


def test_a_hardened_process_leaves_no_core_file(tmp_path: Path) -> None:
    """The core limit is zero, hard and soft, and a fatal signal dumps nothing."""
    script = "from keybatond.adapters.process_hardening import harden; harden(); import os, signal, resource; \
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0); os.kill(os.getpid(), signal.SIGSEGV)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert done.returncode == -11
    assert list(tmp_path.iterdir()) == []


def test_the_memory_figure_stays_readable() -> None:
    """`status`, from which benchmarks take VmRSS, is open to all."""
    assert _readable_by_same_user(HARDENED, "status")


def _locked_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmLck")))


def test_a_held_key_lies_in_locked_memory_and_its_source_is_wiped() -> None:
    """One page is locked however many keys are held; the result is the key, the argument is zeros."""
    before, log = _locked_kib(), FakeLog()
    holder = LockedMemory(log)
    sources = [SecretBytes(bytes([number]) * 32) for number in range(10)]
    held = [holder.hold(source) for source in sources]
    assert [key.reveal() for key in held] == [bytes([number]) * 32 for number in range(10)]
    assert all(source.reveal() == bytes(32) for source in sources)
    assert _locked_kib() - before == os.sysconf("SC_PAGESIZE") // 1024
    assert log.events == []


def test_a_wiped_key_leaves_zeros_and_never_shows_the_next_one() -> None:
    """Its slot is zeroed and used again, the old secret stays zeros; wiping twice gives one slot back."""
    holder = LockedMemory(FakeLog())
    first = holder.hold(SecretBytes(b"a" * 32))
    view = first.reveal_view()
    first.wipe()
    first.wipe()
    assert bytes(view) == bytes(32)
    others = [holder.hold(SecretBytes(bytes([number]) * 32)) for number in range(1, 4)]
    assert first.reveal() == bytes(32) and len({other.reveal() for other in others}) == 3


def test_slots_come_back_when_keys_are_dropped_and_more_keys_than_slots_still_work() -> None:
    """A key that nobody refers to any more is wiped; beyond the last slot a key is an ordinary secret."""
    holder = LockedMemory(FakeLog())
    count = os.sysconf("SC_PAGESIZE") // SLOT_BYTES
    for _ in range(3):
        keys = [holder.hold(SecretBytes(number.to_bytes(32, "big"))) for number in range(count + 5)]
        assert [int.from_bytes(key.reveal(), "big") for key in keys] == list(range(count + 5))
        assert [type(key) for key in keys[count:]] == [SecretBytes] * 5
        del keys
        gc.collect()
    assert len(holder.hold(SecretBytes(b"x" * 300))) == 300


def test_without_permission_to_lock_it_goes_on_and_says_so_once() -> None:
    """RLIMIT_MEMLOCK of zero and no capability: an ordinary secret, one event."""
    require("root")
    script = """
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_machine import FakeLog
from keybatond.adapters.locked_memory import LockedMemory
log = FakeLog(); holder = LockedMemory(log)
assert holder.hold(SecretBytes(b"k" * 32)).reveal() == b"k" * 32
assert holder.hold(SecretBytes(b"l" * 32)).reveal() == b"l" * 32
assert [event for event, _ in log.events] == ["key memory not locked"], log.events
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    limited = ["prlimit", "--memlock=0:0", "setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]
    subprocess.run([*limited, sys.executable, "-c", script], env=environment, check=True, timeout=30)
