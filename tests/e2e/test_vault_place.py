"""What lies in the place of the vault's file, and who could reach it: every command says it alike."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keybaton_testing.device import Device
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e

PASSPHRASE = "several words for a test\n"


@pytest.fixture
def device() -> Iterator[Device]:
    with Device("place") as made:
        yield made


def vault_of(device: Device) -> Path:
    return device.root / "data" / "keybaton" / "vault.db"


def link(path: Path) -> None:
    path.symlink_to("/nowhere")


def bound(path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(path))


def theirs(path: Path) -> None:
    require("root")
    path.write_bytes(b"somebody's")
    os.chown(path, 65534, 65534)


def newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {0x4B427631}")
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE later(one)")
    path.chmod(0o600)


def rubbish(path: Path) -> None:
    path.write_bytes(b"x" * 5000)
    path.chmod(0o600)


PLACES: list[tuple[Callable[[Path], None], str, str]] = [
    (link, "is a symbolic link", "move it away"),
    (Path.mkdir, "is a folder", "move it away"),
    (bound, "is a socket", "move it away"),
    (theirs, "belongs to another user", "chown"),
    (newer, "written by a newer Keybaton", "Install that version"),
    (rubbish, "is damaged", "vault restore"),
]


@pytest.mark.parametrize(("make", "words", "hint"), PLACES, ids=[make.__name__ for make, _, _ in PLACES])
def test_what_is_no_vault_of_ours_is_named_by_every_command(
    device: Device, make: Callable[[Path], None], words: str, hint: str
) -> None:
    """Never "locked", never the key store's fault; what to do follows; what lies there stays as it is."""
    path = vault_of(device)
    path.parent.mkdir(mode=0o700)
    make(path)
    before = path.lstat()
    for command in (["get", "x"], ["secrets", "list"], ["unlock"], ["dbs", "list"], ["vault", "check"]):
        told = device.keybaton(*command)
        assert (told.returncode, told.stdout) == (1, ""), command
        assert words in told.stderr and hint in told.stderr, command
    told = device.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=PASSPHRASE)
    assert told.returncode == 6
    assert words in told.stderr and "keybaton doctor" in told.stderr
    told = device.keybaton("status")
    assert words in told.stdout and "keybaton doctor" in told.stdout + told.stderr
    told = device.keybaton("doctor", "--json")
    findings = json.loads(told.stdout)["findings"]
    (vault,) = [finding for finding in findings if finding["topic"] == "vault"]
    assert (told.returncode, vault["level"]) == (1, "error")
    assert words in vault["text"] and hint in vault["hint"]
    assert not [finding for finding in findings if finding["topic"] == "keystore"]
    after = path.lstat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)


def test_a_vault_that_was_open_to_others_is_closed_and_told(device: Device) -> None:
    """As a copy without its modes is: file and folder are closed before use, and the log and the doctor say so."""
    path = vault_of(device)
    device.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=PASSPHRASE, check=True)
    device.keybaton("secrets", "add", "x", "--type", "plain", stdin="value", check=True)
    device.stop_agent()
    path.chmod(0o644)
    path.parent.chmod(0o755)
    device.keybaton("unlock", "--passphrase-fd", "0", stdin=PASSPHRASE, check=True)
    assert device.keybaton("get", "x").stdout == "value\n"
    modes = {part.name: stat.S_IMODE(part.stat().st_mode) for part in path.parent.iterdir()}
    assert set(modes.values()) == {0o600} and {"vault.db", "vault.db-wal"} <= modes.keys()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    findings = json.loads(device.keybaton("doctor", "--json").stdout)["findings"]
    told = {finding["level"]: finding["text"] for finding in findings if finding["topic"] == "vault"}
    warned = [finding["text"] for finding in findings if finding["topic"] == "vault" and finding["level"] == "warning"]
    assert told["ok"] == "The vault is unlocked."
    assert [text.split(" when")[0].rpartition("/")[2] for text in warned] == [
        "keybaton was open to other users (mode 0755)",
        "vault.db was open to other users (mode 0644)",
    ]
    log = (device.root / "state" / "keybaton" / "agent.log").read_text()
    assert log.count("was open to others") == 2
