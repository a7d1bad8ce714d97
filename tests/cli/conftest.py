"""What several tests of the command line stand on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.command_line import CommandLine
from keybaton_testing.fake_agent import FakeAgent, fake_agent
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.hot_device import HotDevice, hot_device
from keybaton_testing.run_place import Place, run_place


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAgent]:
    """A fake agent where the commands look for one."""
    with short_folder() as folder, fake_agent(f"{folder}/agent.sock") as running:
        monkeypatch.setenv("KEYBATON_SOCKET", f"{folder}/agent.sock")
        yield running


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs one command line."""
    return CommandLine(capfdbinary, monkeypatch)


@pytest.fixture
def device() -> Iterator[HotDevice]:
    """A server with a few secrets, where a command looks for the agent."""
    with hot_device() as made:
        yield made


@pytest.fixture
def place() -> Iterator[Place]:
    """A project with the environments `default` and `staging`."""
    with run_place() as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, with our helpers on PATH and no variable that names another place."""
    for name in ("DOCKER_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("git-credential-keybaton", "docker-credential-keybaton", "keybaton-aws-credentials"):
        (bin_folder / name).write_text("#!/bin/sh\n")
        (bin_folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    return tmp_path
