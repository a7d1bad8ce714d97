"""docker with its passwords in the vault: the real client, without and with a real engine, against a registry on loopback."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.docker_engine import DockerEngine
from keybaton_testing.docker_registry import REPOSITORY, registry
from keybaton_testing.loopback import Loopback, basic
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal
from keybaton_testing.unlocked import LOCKED_HINT, PassphraseDevice

pytestmark = pytest.mark.e2e

NO_ENGINE = "unix:///nonexistent"
OPENED = {False: "each request", True: "a token"}


@pytest.fixture
def device() -> Iterator[PassphraseDevice]:
    """docker on it keeps its passwords in the vault."""
    require("docker")
    with PassphraseDevice() as made:
        made.keybaton("setup", "docker", "--yes", check=True)
        made.env["DOCKER_HOST"] = NO_ENGINE
        yield made


@pytest.fixture
def engine(device: PassphraseDevice) -> Iterator[DockerEngine]:
    """A real one, which the device's docker uses."""
    require("docker-engine")
    with DockerEngine() as made:
        device.env["DOCKER_HOST"] = made.host
        yield made


@pytest.fixture(params=OPENED, ids=OPENED.values())
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Loopback]:
    """A registry that `ann` with `geheim` opens, in either of the ways there are."""
    with registry(tmp_path, "ann", "geheim", tokens=request.param) as made:
        yield made


def login(device: PassphraseDevice, place: str, stdin: str = "", *before: str) -> subprocess.CompletedProcess[str]:
    typed = ["-u", "ann", "--password-stdin"] if stdin else []
    return device.run([*before, "docker", "login", *typed, place], stdin=stdin)


def logins_shown(server: Loopback) -> list[str]:
    """What the registry saw of passwords since it was asked last."""
    shown = [asked.headers.get("Authorization", "") for asked in server.asked]
    server.asked.clear()
    return [header for header in shown if header.startswith("Basic ")]


def test_docker_logs_in_by_itself_and_out_without_an_engine(device: PassphraseDevice, server: Loopback) -> None:
    """The registry saw the login; nothing of it lies in config.json; logout takes it out of the vault."""
    done = login(device, server.place, "geheim\n")
    assert done.returncode == 0, done.stderr
    assert set(logins_shown(server)) == {basic("ann", "geheim")}
    assert device.names() == [f"docker:{server.place}"]
    config = (device.root / "home" / ".docker" / "config.json").read_text()
    assert json.loads(config)["auths"] == {server.place: {}}
    device.run(["docker", "logout", server.place], check=True)
    assert device.names() == []


def test_docker_pulls_and_logs_in_again_with_what_the_vault_holds(
    device: PassphraseDevice, engine: DockerEngine, server: Loopback
) -> None:
    """Stored by the first login; the second and a pull type nothing, and the registry sees the password; erased by logout."""
    image = f"{server.place}/{REPOSITORY}"
    refused = device.run(["docker", "pull", image])
    assert refused.returncode != 0
    assert logins_shown(server) == []
    assert login(device, server.place, "geheim\n").returncode == 0
    assert device.names() == [f"docker:{server.place}"]
    assert set(logins_shown(server)) == {basic("ann", "geheim")}
    again = login(device, server.place)
    assert again.returncode == 0, again.stderr
    assert "Login Succeeded" in again.stdout
    assert set(logins_shown(server)) == {basic("ann", "geheim")}
    pulled = device.run(["docker", "pull", image])
    assert pulled.returncode == 0, pulled.stderr
    assert set(logins_shown(server)) == {basic("ann", "geheim")}
    assert set(device.reads()) == {(f"docker:{server.place}", "docker")}
    assert "/hello" in device.run(["docker", "image", "inspect", image], check=True).stdout
    device.run(["docker", "logout", server.place], check=True)
    assert device.names() == []
    device.run(["docker", "image", "rm", image], check=True)
    assert device.run(["docker", "pull", image]).returncode != 0


def test_docker_pulls_with_a_login_that_was_put_into_the_vault_by_hand(
    device: PassphraseDevice, engine: DockerEngine, server: Loopback
) -> None:
    """No `docker login` at all; a locked vault is told, and a wrong password is the registry's to refuse."""
    name, image = f"docker:{server.place}", f"{server.place}/{REPOSITORY}"
    device.put(name, "login", username="ann", password="wrong")
    assert device.run(["docker", "pull", image]).returncode != 0
    assert set(logins_shown(server)) == {basic("ann", "wrong")}
    device.keybaton("secrets", "remove", name, "--yes", check=True)
    device.put(name, "login", username="ann", password="geheim")
    device.lock()
    done = device.run(["setsid", "-w", "docker", "pull", image])
    assert done.returncode != 0
    assert logins_shown(server) == []
    device.unlock()
    done = device.run(["docker", "pull", image])
    assert done.returncode == 0, done.stderr


def test_docker_says_that_the_vault_is_locked(device: PassphraseDevice, server: Loopback) -> None:
    """With and without a terminal, at once, in its own words around our hint; the file gets no password instead."""
    device.lock()
    started = time.monotonic()
    done = login(device, server.place, "geheim\n", "setsid", "-w")
    assert time.monotonic() - started < 3
    assert done.returncode == 1
    assert LOCKED_HINT in done.stderr
    assert "Z2VoZWlt" not in (device.root / "home" / ".docker" / "config.json").read_text()
    require("tmux")
    with Terminal(device.env) as terminal:
        terminal.run(f"printf geheim | docker login -u ann --password-stdin {server.place}")
        assert terminal.exit_code() == 1
        assert "keybaton unlock" in terminal.screen()
