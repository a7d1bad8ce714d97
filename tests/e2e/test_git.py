"""git over http with its passwords in the vault: the real program against a server on loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.loopback import Loopback, git_backend, guarded
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal
from keybaton_testing.unlocked import LOCKED_HINT, PassphraseDevice

pytestmark = pytest.mark.e2e

IDENTITY = {
    "GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example", "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example"
}  # fmt: skip


@pytest.fixture
def device() -> Iterator[PassphraseDevice]:
    with PassphraseDevice() as made:
        yield made


@pytest.fixture
def remote(device: PassphraseDevice, tmp_path: Path) -> Iterator[Loopback]:
    """A repository `one.git` behind basic authentication, and git told to ask the vault."""
    require("git")
    for command in (
        ["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "one.git")],
        ["git", "init", "-q", "-b", "main", str(tmp_path / "work")],
        ["git", "-C", str(tmp_path / "work"), "commit", "-q", "--allow-empty", "-m", "first"],
        ["git", "-C", str(tmp_path / "work"), "push", "-q", str(tmp_path / "one.git"), "main"],
    ):
        device.run(command, env=IDENTITY, check=True)
    device.keybaton("setup", "git", "--yes", check=True)
    with Loopback(guarded("ann", "geheim 1", git_backend(tmp_path))) as server:
        yield server


def test_git_clones_and_pushes_with_a_login_of_the_vault(
    device: PassphraseDevice, remote: Loopback, tmp_path: Path
) -> None:
    """No prompt, no password on a command line; and the log of reads says that it was git."""
    device.put(f"git:http://{remote.place}", "login", username="ann", password="geheim 1")
    quiet = {**IDENTITY, "GIT_TERMINAL_PROMPT": "0"}
    copy = str(tmp_path / "copy")
    device.run(["git", "clone", "-q", f"{remote.url}/one.git", copy], env=quiet, check=True)
    device.run(["git", "-C", copy, "commit", "-q", "--allow-empty", "-m", "second"], env=quiet, check=True)
    device.run(["git", "-C", copy, "push", "-q"], env=quiet, check=True)
    listed = device.run(["git", "-C", str(tmp_path / "one.git"), "log", "--format=%s", "main"], check=True)
    assert listed.stdout.split() == ["second", "first"]
    assert set(device.reads()) == {(f"git:http://{remote.place}", "git")}
    versions = device.keybaton("history", f"git:http://{remote.place}", "--json", check=True)
    assert len(json.loads(versions.stdout)["versions"]) == 1


def test_git_keeps_what_a_person_types_and_drops_what_is_refused(
    device: PassphraseDevice, remote: Loopback, tmp_path: Path
) -> None:
    """Typed at git's own prompt on a terminal; the next clone asks nothing; a wrong password does not stay."""
    require("tmux")
    name = f"git:http://{remote.place}"
    with Terminal(device.env) as terminal:
        terminal.run(f"git clone -q {remote.url}/one.git {tmp_path}/typed")
        terminal.wait_for("Username for")
        terminal.line("ann")
        terminal.wait_for("Password for")
        terminal.line("geheim 1")
        assert terminal.exit_code() == 0
    assert device.names() == [name]
    quiet = {"GIT_TERMINAL_PROMPT": "0"}
    device.run(["git", "clone", "-q", f"{remote.url}/one.git", str(tmp_path / "again")], env=quiet, check=True)
    device.keybaton("secrets", "remove", name, "--yes", check=True)
    device.put(name, "login", username="ann", password="wrong")
    done = device.run(["git", "clone", f"{remote.url}/one.git", str(tmp_path / "no")], env=quiet)
    assert done.returncode == 128
    assert device.names() == []


def test_git_stops_at_once_where_the_vault_is_locked_and_nobody_can_answer(
    device: PassphraseDevice, remote: Loopback, tmp_path: Path
) -> None:
    """In git's own words, with our hint; no prompt hangs behind an askpass window."""
    device.put(f"git:http://{remote.place}", "login", username="ann", password="geheim 1")
    device.lock()
    started = time.monotonic()
    done = device.run(
        ["setsid", "-w", "git", "clone", f"{remote.url}/one.git", str(tmp_path / "copy")],
        env={"GIT_ASKPASS": "/bin/cat"},
    )
    assert time.monotonic() - started < 3
    assert done.returncode == 128
    assert LOCKED_HINT in done.stderr
    assert "told us to quit" in done.stderr


def test_git_asks_the_person_where_the_vault_is_locked_and_there_is_a_terminal(
    device: PassphraseDevice, remote: Loopback, tmp_path: Path
) -> None:
    """The hint stands above git's own prompt."""
    require("tmux")
    device.put(f"git:http://{remote.place}", "login", username="ann", password="geheim 1")
    device.lock()
    with Terminal(device.env) as terminal:
        terminal.run(f"git clone -q {remote.url}/one.git {tmp_path}/copy")
        screen = terminal.wait_for("Username for")
        assert LOCKED_HINT in screen
        terminal.press("C-c")


def test_setup_asks_on_a_terminal(device: PassphraseDevice) -> None:
    """The line is shown first; no means no, and yes is the default."""
    require("git", "tmux")
    with Terminal(device.env) as terminal:
        for key, ended, code, helpers in (("n", "Nothing was changed.", 130, ""), ("Enter", "Done.", 0, "keybaton\n")):
            terminal.run("keybaton setup git")
            assert "helper = keybaton" in terminal.wait_for("Do it?")
            terminal.press(key)
            terminal.wait_for(ended)
            assert terminal.exit_code() == code
            assert device.run(["git", "config", "--global", "credential.helper"]).stdout == helpers


def test_a_server_elsewhere_gets_nothing(device: PassphraseDevice, remote: Loopback, tmp_path: Path) -> None:
    """Another port is another place: the password never leaves for it."""
    device.put(f"git:http://{remote.place}", "login", username="ann", password="geheim 1")
    with Loopback(guarded("ann", "geheim 1", git_backend(tmp_path))) as other:
        done = device.run(
            ["git", "clone", f"{other.url}/one.git", str(tmp_path / "no")], env={"GIT_TERMINAL_PROMPT": "0"}
        )
        assert done.returncode == 128
        assert not any("Authorization" in asked.headers for asked in other.asked)
