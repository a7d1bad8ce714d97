"""Kills a real agent with SIGKILL at random instants while it puts a backup in its vault's place, and looks for both.

python -m keybaton_testing.crash_restore --kills 1000 [--seed N]
"""

from __future__ import annotations

import random
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keybaton_api.agent.v1 import agent_pb2, vault_pb2
from keybaton_client.client import Client
from keybaton_client.problem import ClientError
from keybaton_testing.device import Device
from keybaton_testing.killed_agent import STRANDED, Lost, command, must_be_sound, opens, plain, started, values

IN_BACKUP = 300  # items; enough that the copy takes about as long as the rest
KILLS_PER_VAULT = 50  # each leaves a vault set aside
AT_EXCHANGE = 2  # each so-many-th kill comes as soon as the set-aside name is there
EXCHANGE_SECONDS = 0.06  # within which it then comes
LATEST = 1.4  # of a whole restore's time: the last kills come after its end
RESTORE_SECONDS = 20.0
PAUSE_SECONDS = 0.005  # between two writes: enough fall into each exchange, and a vault stays quick to look through
BACKUP_PASSPHRASE = b"passphrase of the backup"


@dataclass
class Report:
    """What a run did."""

    kills: int = 0
    undone: int = 0  # the old vault is in its place
    done: int = 0
    acknowledged: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.acknowledged} acknowledged writes, {self.undone} restores undone and {self.done} done: "
            "nothing lost, no damage"
        )


class Victim:
    """One device. `items` is what its vault must hold: what was restored last, and what was acknowledged since."""

    def __init__(self, device: Device, chance: random.Random, report: Report) -> None:
        self._device = device
        self._chance = chance
        self._report = report
        self._round = 0
        self._passphrase = b"passphrase number 0"
        self._backup = device.root / "backup"
        self._in_backup = {f"kept-{number}": b"from the backup %d" % number for number in range(IN_BACKUP)}
        self.items = dict(self._in_backup)
        with started(device) as agent, Client(str(device.socket)) as client:
            client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, self._passphrase)
            client.vault.batch_put(plain(*pair) for pair in self.items.items())
            for _ in client.agent.backup_vault(str(self._backup), BACKUP_PASSPHRASE):
                pass
            began = time.monotonic()
            self._restore(client, self._passphrase)
            self._whole = time.monotonic() - began
            agent.process.kill()

    @property
    def _data(self) -> Path:
        return self._device.root / "data" / "keybaton"

    def _aside(self) -> set[Path]:
        return {path for path in self._data.glob("vault.db.replaced-*") if not path.name.endswith(("-wal", "-shm"))}

    def _restore(self, client: Client, passphrase: bytes) -> None:
        request = agent_pb2.RestoreVaultRequest(
            path=str(self._backup),
            passphrase=BACKUP_PASSPHRASE,
            keystore=agent_pb2.KEYSTORE_PASSPHRASE,
            new_passphrase=passphrase,
            replace=True,
        )
        for _ in client.agent.restore_vault(request):
            pass

    def kill_once(self, share: float) -> None:
        """One restore under a writing load, killed after `share` of its time, or while the files are exchanged."""
        self._round += 1
        new_passphrase = b"passphrase number %d" % self._round
        before = self._aside()
        asked: dict[str, bytes] = {}
        acknowledged: dict[str, bytes] = {}
        failures: list[str] = []
        with started(self._device) as agent:
            with Client(str(self._device.socket)) as client:
                client.agent.unlock(self._passphrase)
            writing = threading.Event()

            def write() -> None:
                with Client(str(self._device.socket)) as client:
                    for turn in range(10**6):
                        name = f"item-{self._round}-{turn}"
                        asked[name] = f"value of {name}".encode()
                        client.vault.put_item(plain(name, asked[name]), vault_pb2.PUT_MODE_UPSERT)
                        acknowledged[name] = asked[name]
                        writing.set()
                        time.sleep(PAUSE_SECONDS)

            def restore() -> None:
                with Client(str(self._device.socket)) as client:
                    self._restore(client, new_passphrase)

            def until_stranded(work: Callable[[], None]) -> None:
                try:
                    work()
                except ClientError as error:
                    if error.reason not in STRANDED:
                        failures.append(error.reason)

            threads = [threading.Thread(target=until_stranded, args=(write,))]
            threads.append(threading.Thread(target=until_stranded, args=(restore,)))
            threads[0].start()
            writing.wait(RESTORE_SECONDS)
            threads[1].start()
            if self._round % AT_EXCHANGE == 0:
                until = time.monotonic() + RESTORE_SECONDS
                while self._aside() == before and time.monotonic() < until:
                    time.sleep(0.0005)
                time.sleep(EXCHANGE_SECONDS * self._chance.random() ** 2)  # most of them early
            else:
                time.sleep(share * LATEST * self._whole)
            agent.process.kill()
            for thread in threads:
                thread.join()
        if failures:
            raise Lost(f"a call failed: {failures}")
        self._report.kills += 1
        self._report.acknowledged += len(acknowledged)
        self._look(before, new_passphrase, asked, acknowledged)

    def _look(
        self, before: set[Path], new_passphrase: bytes, asked: dict[str, bytes], acknowledged: dict[str, bytes]
    ) -> None:
        """The old vault is here with every acknowledged write; or the new one is, and the old one beside it."""
        written = {name: value for name, value in asked.items() if name not in acknowledged}
        with started(self._device), Client(str(self._device.socket)) as client:
            done = opens(client, new_passphrase)
            if not done and not opens(client, self._passphrase):
                raise Lost("neither the old passphrase nor the new one opens the vault")
            here = content(client)
        aside = self._aside() - before
        leftovers = [path.name for path in self._data.iterdir() if path.name.startswith(".vault.db")]
        if leftovers:
            raise Lost(f"left behind: {leftovers}")
        if not done:
            self._report.undone += 1
            if aside:
                raise Lost("the vault is there under two names")
            self.items = matched(here, self.items | acknowledged, written)
            return
        self._report.done += 1
        if len(aside) != 1:
            raise Lost(f"{len(aside)} vaults were set aside")
        there = content_of(aside.pop(), self._passphrase)
        twice = [name for name in acknowledged if (name in here) == (name in there)]
        if twice:
            raise Lost(f"{twice[0]} was acknowledged and is in neither vault, or in both")
        matched(there, self.items | {name: value for name, value in acknowledged.items() if name in there}, written)
        new = self._in_backup | {name: value for name, value in acknowledged.items() if name in here}
        self.items = matched(here, new, written)
        self._passphrase = new_passphrase


def matched(found: dict[str, bytes], expected: dict[str, bytes], written: dict[str, bytes]) -> dict[str, bytes]:
    """`found`, which has all of `expected` and nothing else but perhaps what was `written` and not acknowledged."""
    for name, value in expected.items():
        if found.get(name) != value:
            raise Lost(f"{name} is not as it should be")
    for name, value in found.items():
        if name not in expected and written.get(name) != value:
            raise Lost(f"{name} is there and should not be")
    return found


def content(client: Client) -> dict[str, bytes]:
    """Every item of an open vault, after a check that finds nothing."""
    must_be_sound(client)
    return values(client, (item.ref.name for item in client.vault.list_items()))


def content_of(aside: Path, passphrase: bytes) -> dict[str, bytes]:
    """Every item of a vault that was set aside, opened on a device of its own."""
    with Device("aside") as device:
        folder = device.root / "data" / "keybaton"
        folder.mkdir(mode=0o700)
        shutil.copy2(aside, folder / "vault.db")
        log = aside.with_name(aside.name + "-wal")
        if log.exists():
            shutil.copy2(log, folder / "vault.db-wal")
        with started(device), Client(str(device.socket)) as client:
            if not opens(client, passphrase):
                raise Lost("the vault that was set aside does not open")
            return content(client)


def run(kills: int, seed: int) -> Report:
    """Kills an agent `kills` times. Raises Lost."""
    chance, report = random.Random(seed), Report()
    while report.kills < kills:
        with Device("crash") as device:
            victim = Victim(device, chance, report)
            many = min(KILLS_PER_VAULT, kills - report.kills)
            for number in range(many):
                victim.kill_once((number + chance.random()) / many)
    return report


if __name__ == "__main__":
    sys.exit(command("crash_restore", __doc__, 20, run))
