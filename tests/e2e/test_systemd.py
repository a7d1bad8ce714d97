"""The user unit under a real systemd user manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.processes import wait_until
from keybaton_testing.program import keybaton
from keybaton_testing.require import require
from keybaton_testing.user_manager import UserManager

pytestmark = pytest.mark.e2e

UNIT = "keybatond.service"
SOURCE = Path(__file__).parents[2] / "systemd" / UNIT


def unit_text() -> str:
    """The unit with the path of the `keybatond` under test, as `keybaton service install` writes it."""
    beside = Path(keybaton()[0]).parent / "keybatond"
    agent = beside if beside.exists() else Path(sys.executable).parent / "keybatond"
    return SOURCE.read_text().replace("%h/.local/bin/keybatond", str(agent))


@pytest.fixture
def manager() -> Iterator[UserManager]:
    require("systemd", "root")
    with UserManager() as running:
        (running.units / UNIT).write_text(unit_text())
        running.systemctl("daemon-reload")
        yield running


def main_pid(manager: UserManager) -> str:
    return manager.property(UNIT, "MainPID")


def active(manager: UserManager) -> bool:
    return manager.property(UNIT, "ActiveState") == "active"


def test_systemd_finds_nothing_to_complain_of_in_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze --user verify` accepts the unit without a word."""
    require("systemd")
    (tmp_path / UNIT).write_text(unit_text())
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(tmp_path / UNIT)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_ready_only_when_the_socket_answers(manager: UserManager) -> None:
    """`systemctl start` returns after READY, and then somebody listens; stopping it removes the socket."""
    assert manager.systemctl("start", UNIT).returncode == 0
    socket = Path(manager.env["XDG_RUNTIME_DIR"]) / "keybaton" / "agent.sock"
    assert active(manager)
    assert socket.is_socket()
    assert manager.systemctl("stop", UNIT).returncode == 0
    assert manager.property(UNIT, "Result") == "success"
    assert not socket.exists()


def test_a_killed_agent_comes_back(manager: UserManager) -> None:
    """After SIGKILL another process is ready within seconds."""
    manager.systemctl("start", UNIT)
    before = main_pid(manager)
    manager.systemctl("kill", "--signal=KILL", UNIT)
    wait_until(lambda: active(manager) and main_pid(manager) not in {before, "0"}, "another agent", seconds=20)


def test_an_agent_that_hangs_is_ended_and_comes_back(manager: UserManager) -> None:
    """A stopped event loop misses its beat, and the watchdog replaces the process."""
    text = unit_text().replace("WatchdogSec=30", "WatchdogSec=1")
    (manager.units / UNIT).write_text(text)
    manager.systemctl("daemon-reload")
    manager.systemctl("start", UNIT)
    before = main_pid(manager)
    os.kill(manager.outer_pid(before), signal.SIGSTOP)
    wait_until(lambda: active(manager) and main_pid(manager) not in {before, "0"}, "another agent", seconds=30)


def test_the_hardening_bites(manager: UserManager) -> None:
    """The kernel says that the process cannot gain rights and filters its system calls; its umask is private."""
    manager.systemctl("start", UNIT)
    status = Path(f"/proc/{manager.outer_pid(main_pid(manager))}/status").read_text()
    values = {line.partition(":")[0]: line.partition(":")[2].strip() for line in status.splitlines()}
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"
    assert values["Umask"] == "0077"
