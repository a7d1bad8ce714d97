"""The lab as a person opens it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import site
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

import keybaton_testing
from keybaton_testing import pythons
from keybaton_testing.lab import Lab
from keybaton_testing.processes import process_exists, wait_until
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e
COMMAND = [sys.executable, "-m", "keybaton_testing.lab"]


def test_two_devices_open_and_end_with_the_input() -> None:
    """Each is entered by the printed command and has an unlocked agent of its own; nothing is left afterwards."""
    require("root", "netns")
    lab = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert lab.stdin is not None
    assert lab.stdout is not None
    try:
        scripts: list[str] = []
        for line in lab.stdout:
            if line.startswith("    "):
                scripts.append(line.strip())
            if "standard input" in line:
                break
        assert len(scripts) == 2
        pids = set()
        for script, name in zip(scripts, ("alice", "bob"), strict=True):
            shown = subprocess.run(
                [script, "-c", "keybaton status --json"], capture_output=True, text=True, timeout=30, check=True
            )
            status = json.loads(shown.stdout)
            assert (status["vault"], status["deviceName"]) == ("unlocked", name)
            pids.add(status["pid"])
        assert len(pids) == 2
        lab.stdin.close()
        assert lab.wait(30) == 0
    finally:
        lab.kill()
        lab.wait()
        lab.stdout.close()
    assert not any(Path(script).exists() for script in scripts)
    assert not any(process_exists(pid) for pid in pids)


def test_on_a_terminal_the_devices_are_two_panes() -> None:
    """A command typed in the first pane runs on the first device; leaving tmux ends the lab."""
    require("root", "netns", "tmux")
    terminal, inner = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("TMUX", None)
    lab = subprocess.Popen(COMMAND, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True)
    os.close(inner)
    reading = threading.Thread(target=_drain, args=(terminal,), daemon=True)
    reading.start()
    try:
        folders = Path(tempfile.gettempdir())
        wait_until(lambda: bool(list(folders.glob(f"kbl{lab.pid}-*/alice/tmux"))), "tmux of the lab", seconds=30)
        tmux = ["tmux", "-S", str(next(folders.glob(f"kbl{lab.pid}-*/alice/tmux")))]

        def screen(*arguments: str) -> str:
            return subprocess.run([*tmux, *arguments], capture_output=True, text=True, check=False).stdout

        wait_until(lambda: len(screen("list-panes", "-t", "lab").splitlines()) == 2, "two panes")
        wait_until(lambda: "lab" in screen("list-clients"), "the attached terminal")
        screen("send-keys", "-t", "lab:0.0", "keybaton status", "Enter")
        wait_until(
            lambda: "unlocked" in screen("capture-pane", "-p", "-t", "lab:0.0"), "the status of alice", seconds=20
        )
        assert "unlocked" not in screen("capture-pane", "-p", "-t", "lab:0.1")
        screen("detach-client", "-s", "lab")
        assert lab.wait(30) == 0
    finally:
        lab.kill()
        lab.wait()
        reading.join(5)
        os.close(terminal)
    assert not list(folders.glob(f"kbl{lab.pid}-*"))


def _drain(terminal: int) -> None:
    """Reads what is drawn, so that drawing never blocks."""
    with contextlib.suppress(OSError):  # EIO: the last program on the terminal has ended
        while os.read(terminal, 65536):
            pass


def test_a_killed_lab_is_removed_by_the_next_one() -> None:
    """Its namespaces carry the dead process's id."""
    require("root", "netns")
    script = (
        "import os, signal\nfrom keybaton_testing.lab import Lab\nlab = Lab().__enter__()\na = lab.host('a')\n"
        "print(a.namespace, a.root)\n"
        "os.sys.stdout.flush()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    namespace, folder = (Path(text) for text in killed.stdout.split())
    assert ("/run/netns" / namespace).exists()
    assert folder.exists()
    with Lab():
        assert not ("/run/netns" / namespace).exists()
        assert not folder.exists()


# Shows folders at places that every user can enter, and becomes a user without rights.
AS_NOBODY = """
mount --bind "$SITE_PACKAGES" "$PLACE/packages" && mount --bind "$SUPPORT" "$PLACE/support" || exit 1
exec setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"
"""


def test_an_ordinary_user_has_a_lab_too() -> None:
    """In a user namespace, without any right on the machine."""
    require("root", "netns", "user-namespaces", "system-python")
    script = (
        "from keybaton_testing.lab import Lab\n"
        "with Lab() as lab:\n a = lab.host('a'); b = lab.host('b', loss=30)\n"
        " print(a.run(['ip', '-br', 'addr'], check=True).stdout)\n"
    )
    python = str(pythons.SYSTEM)
    with tempfile.TemporaryDirectory(prefix="kbl-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        for name in ("packages", "support"):
            (place / name).mkdir()
        shown = subprocess.run(
            ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh", python, "-m", "keybaton_testing.lab", "--", python, "-c", script],
            env={
                "PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": f"{place}/packages:{place}/support",
                "PLACE": folder, "SITE_PACKAGES": site.getsitepackages()[0],
                "SUPPORT": str(Path(keybaton_testing.__file__).parents[1]),
            },
            cwd="/", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "10.77.0.2" in shown.stdout
