"""Killed at any instant, the agent keeps what it acknowledged."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from keybaton_api.agent.v1 import agent_pb2, vault_pb2
from keybaton_client.client import Client
from keybaton_client.problem import ClientError
from keybaton_testing import crash_restore
from keybaton_testing.crash import REKEY_EVERY, run
from keybaton_testing.device import Device
from keybaton_testing.killed_agent import plain, ref, started
from keybaton_testing.processes import wait_until

pytestmark = pytest.mark.e2e

KILLS = 50
RESTORE_KILLS = 20
COMPACT_KILLS = 8
COMPACTED = 1000  # items; a compaction of them takes longer than the first kills wait
KILL_STEP_SECONDS = 0.06
SLOW_BACKUP = 6000  # items whose copy takes long enough to be cut off


def test_fifty_kills_under_load_lose_nothing() -> None:
    """Every acknowledged write is there after each kill, the check finds no damage, and one of two keys opens after a rekey."""
    report = run(KILLS, seed=20260101)
    assert report.kills == KILLS
    assert report.acknowledged > KILLS
    assert report.rekeys_before + report.rekeys_after == KILLS // REKEY_EVERY


def test_a_restore_that_is_killed_leaves_the_old_vault_or_the_new_one_and_nothing_lost() -> None:
    """Whole, under its own key; a replaced vault lies beside it whole; every acknowledged write is in one of them."""
    report = crash_restore.run(RESTORE_KILLS, seed=20260102)
    assert report.kills == report.undone + report.done == RESTORE_KILLS
    assert report.undone and report.done
    assert report.acknowledged > RESTORE_KILLS


def test_a_backup_that_is_killed_leaves_nothing_once_the_next_is_made() -> None:
    """The half-made file beside the target goes with the next backup to that folder, whatever that one's name is."""
    with Device("crash") as device:
        folder = device.root / "stick"
        folder.mkdir(mode=0o700)

        def back_up(name: str) -> None:
            with Client(str(device.socket)) as client:
                for _ in client.agent.backup_vault(str(folder / name), b"passphrase of the backup"):
                    pass

        def until_stranded() -> None:
            with contextlib.suppress(ClientError):
                back_up("monday")

        with started(device) as agent:
            with Client(str(device.socket)) as client:
                client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, b"passphrase of the vault")
                for first in range(0, SLOW_BACKUP, 1000):
                    items = [plain(f"item {first + number}", b"v" * 1000) for number in range(1000)]
                    client.vault.batch_put(items)
            thread = threading.Thread(target=until_stranded)
            thread.start()
            wait_until(lambda: any(path.stat().st_size for path in folder.iterdir()), "the copy is being written")
            agent.process.kill()
            thread.join()
        (left,) = folder.iterdir()
        assert left.name != "monday"
        with started(device):
            with Client(str(device.socket)) as client:
                client.agent.unlock(b"passphrase of the vault")
            back_up("tuesday")
        assert [path.name for path in folder.iterdir()] == ["tuesday"]


def test_a_compaction_that_is_killed_leaves_every_version_or_those_that_stay() -> None:
    """Never some of them: undo goes back as far as before or as far as was asked for, and the vault is sound."""
    with Device("crash") as device:
        with started(device) as agent:
            with Client(str(device.socket)) as client:
                client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, b"passphrase of the vault")
            agent.process.kill()
        whole = 0
        for turn in range(COMPACT_KILLS):
            with started(device) as agent, Client(str(device.socket)) as client:
                client.agent.unlock(b"passphrase of the vault")
                for value in (b"%d" % turn, b"%d again" % turn):
                    items = [plain(f"item {number}", value * 200) for number in range(COMPACTED)]
                    client.vault.batch_put(items, vault_pb2.PUT_MODE_UPSERT)
                had = versions_left(client)
                began = threading.Event()
                thread = threading.Thread(target=compact_until_stranded, args=(device, began))
                thread.start()
                began.wait(10)
                if turn == COMPACT_KILLS - 1:
                    thread.join()
                time.sleep(turn * KILL_STEP_SECONDS)
                agent.process.kill()
                thread.join()
            with started(device), Client(str(device.socket)) as client:
                client.agent.unlock(b"passphrase of the vault")
                left = versions_left(client)
                assert left in (had, {2}), (had, left)
                whole += left == had
                found = crash_restore.content(client)
                assert set(found.values()) == {b"%d again" % turn * 200} and len(found) == COMPACTED
        assert 0 < whole < COMPACT_KILLS


def versions_left(client: Client) -> set[int]:
    """How many versions the items have."""
    return {len(list(client.vault.list_versions(ref(f"item {number}")))) for number in range(0, COMPACTED, 50)}


def compact_until_stranded(device: Device, began: threading.Event) -> None:
    """Keeps one version of each item before the current."""
    with contextlib.suppress(ClientError), Client(str(device.socket)) as client:
        for _ in client.agent.compact_vault(1, None):
            began.set()
