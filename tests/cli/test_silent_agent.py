"""An agent that listens and never answers: commands say so in time, and claim nothing of it that they cannot know."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import grpc
import pytest

import keybaton_hot as hot
from keybaton_cli import exits
from keybaton_cli.cli import main
from keybaton_cli.failure import hint_of
from keybaton_client.problem import ClientError
from keybaton_testing.fake_agent import FakeAgent, fake_agent
from keybaton_testing.grpc_server import short_folder


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


def test_an_agent_that_speaks_otherwise_is_taken_for_one_of_another_version(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What to do stands there, in both forms of a command; where the agent itself says what to do, that does."""
    monkeypatch.setattr(FakeAgent, "GetItem", _unknown)
    with short_folder() as folder, fake_agent(f"{folder}/agent.sock"):
        monkeypatch.setenv("KEYBATON_SOCKET", f"{folder}/agent.sock")
        for served in (main, hot.run):
            assert served(["get", "a"]) == exits.FAILED
            assert "hint: After an update, `keybaton stop` ends the old agent" in capfd.readouterr().err
    assert hint_of(ClientError("PROTOCOL", "m", "h")) == "h"


def _unknown(_agent: object, _request: object, context: grpc.ServicerContext) -> NoReturn:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such call")
    raise AssertionError


def test_without_any_agent_nothing_holds_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So what `lock` was asked for is so."""
    assert main(["lock", "--socket", str(tmp_path / "none")]) == exits.DONE
    assert capsys.readouterr().out == "Locked: no agent is running.\n"
