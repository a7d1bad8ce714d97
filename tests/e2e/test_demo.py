"""`keybaton demo`: the whole handoff in seconds, for anybody, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.device import PATH
from keybaton_testing.processes import wait_until
from keybaton_testing.program import keybaton
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e

SECONDS = 60


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with nothing but a path and an empty folder for temporary files: no home, no session, no D-Bus."""
    yield {"PATH": PATH, "TMPDIR": str(tmp_path)}
    assert list(tmp_path.iterdir()) == []


def agents_below(folder: Path) -> list[int]:
    """Agents whose runtime folder lies below `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"keybatond" in command and str(folder).encode() in environment:
                found.append(int(entry.name))
    return found


def test_it_says_saved_and_leaves_nothing(bare: dict[str, str]) -> None:
    """No terminal, no home, no keychain; both agents and all files are gone afterwards."""
    done = subprocess.run(
        [*keybaton(), "demo"],
        env=bare,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("saved photos on desktop")
    assert agents_below(Path(bare["TMPDIR"])) == []


def test_it_needs_no_network_beyond_the_loopback(bare: dict[str, str]) -> None:
    """In a network namespace with nothing but `lo` it works as well, and its document says so."""
    require("netns")
    enter = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", *keybaton(), "demo", "--json"]
    done = subprocess.run([*enter, *inside], env=bare, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["outcome"] == "saved"
    assert told["secrets"] == ["photos-key", "photos-maps", "photos-s3"]


def test_without_even_a_loopback_it_fails_honestly(bare: dict[str, str]) -> None:
    """It never says saved when nothing was handed over; the reason is in the document and the exit code not 0."""
    require("netns")
    enter = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    done = subprocess.run(
        [*enter, *keybaton(), "demo", "--json"],
        env=bare,
        capture_output=True,
        text=True,
        timeout=SECONDS * 2,
        check=False,
    )
    assert done.returncode != 0
    assert "saved" not in done.stdout
    assert json.loads(done.stdout)["error"]["reason"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_cleans_up(bare: dict[str, str], number: signal.Signals) -> None:
    """At any moment: here once both agents run."""
    running = subprocess.Popen(
        [*keybaton(), "demo"],
        env=bare,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if line.strip().startswith("desktop") and "process" in line:
            break
    running.send_signal(number)
    _, errors = running.communicate(timeout=SECONDS)
    assert running.returncode == 130, errors
    wait_until(lambda: agents_below(Path(bare["TMPDIR"])) == [], "the agents' end")
