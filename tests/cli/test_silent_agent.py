"""An agent that listens and never answers: commands say so in time, and claim nothing of it that they cannot know."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_cli import exits
from keybaton_cli.cli import main


@pytest.fixture
def silent() -> Iterator[str]:
    """The path of a socket that takes connections and is never read, as that of a stopped process."""
    with tempfile.TemporaryDirectory(prefix="kbs-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "s")
        listener.bind(path)
        listener.listen()
        yield path


@pytest.mark.parametrize("command", ["lock", "shares"])
def test_a_silent_agent_is_not_taken_for_none(silent: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It may hold every key and run every share: nothing is said to be locked, and no list to be empty."""
    begun = time.monotonic()
    assert main([command, "--socket", silent]) == exits.NO_AGENT
    assert time.monotonic() - begun < 15
    said = capsys.readouterr()
    assert said.out == "" and "cannot be reached" in said.err


def test_without_any_agent_nothing_holds_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So what `lock` was asked for is so."""
    assert main(["lock", "--socket", str(tmp_path / "none")]) == exits.DONE
    assert capsys.readouterr().out == "Locked: no agent is running.\n"
