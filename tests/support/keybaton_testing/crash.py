"""Kills a real agent with SIGKILL at random instants while it writes or rekeys, and looks for what it had acknowledged.

    python -m keybaton_testing.crash --kills 1000 [--seed N]

SIGKILL shows that no acknowledged write is lost with the process. That it is on the disk before it is acknowledged, which a power
cut would show, is what the tests of the order of system calls say.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import dataclass, field

from keybaton_api.agent.v1 import agent_pb2, vault_pb2
from keybaton_client.client import Client
from keybaton_client.problem import ClientError
from keybaton_testing.device import Device
from keybaton_testing.killed_agent import (
    START_SECONDS,
    STRANDED,
    Lost,
    command,
    must_be_sound,
    opens,
    plain,
    ref,
    started,
    values,
)

WRITERS = 4
WRITING_SECONDS = 0.25  # the kill comes at a random instant within this, from the first write on
REKEY_SECONDS = 0.8  # the same for a rekey, from its first sign of progress on
REKEY_EVERY = 5  # rounds
KILLS_PER_VAULT = 100  # a fresh vault now and then, else each round's check reads ever more


@dataclass
class Ledger:
    """What one writer did: what it asked for last and what was acknowledged last, by name. None: removed."""

    asked: dict[str, bytes | None] = field(default_factory=dict)
    acknowledged: dict[str, bytes | None] = field(default_factory=dict)
    answers: int = 0


@dataclass
class Report:
    """What a run did."""

    kills: int = 0
    acknowledged: int = 0
    rekeys_before: int = 0  # killed before the commit: the old key opens
    rekeys_after: int = 0

    def __str__(self) -> str:
        rekeys = f"{self.rekeys_before} rekeys undone and {self.rekeys_after} done"
        return f"{self.kills} kills, {self.acknowledged} acknowledged writes, {rekeys}: nothing lost, no damage"


class Victim:
    """One device whose agent is killed again and again."""

    def __init__(self, device: Device, chance: random.Random, report: Report) -> None:
        self._device = device
        self._chance = chance
        self._report = report
        self._passphrases = [b"passphrase number 0"]
        self._ledgers: list[Ledger] = []
        self._round = 0
        self._failures: list[str] = []
        self._counters: dict[str, bytes | None] = {}
        with started(self._device) as agent:
            with Client(str(device.socket)) as client:
                client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, self._passphrases[0])
            agent.process.kill()

    def kill_once(self) -> None:
        """Starts the agent, looks at what the last kill left, loads it and kills it."""
        self._round += 1
        rekeying = self._round % REKEY_EVERY == 0
        with started(self._device) as agent:
            with Client(str(self._device.socket)) as client:
                self._unlock(client)
                self._verify(client)
            self._ledgers = [self._ledger(number) for number in range(WRITERS)]
            begun = threading.Event()
            threads = [
                threading.Thread(target=self._write, args=(number, ledger, begun))
                for number, ledger in enumerate(self._ledgers)
            ]
            if rekeying:
                begun = threading.Event()
                threads.append(threading.Thread(target=self._rekey, args=(begun,)))
                self._passphrases.append(f"passphrase number {self._round}".encode())
            for thread in threads:
                thread.start()
            begun.wait(START_SECONDS)
            time.sleep(self._chance.uniform(0, REKEY_SECONDS if rekeying else WRITING_SECONDS))
            agent.process.kill()
            for thread in threads:
                thread.join()
        if self._failures:
            raise Lost(f"a write failed: {self._failures}")
        self._report.kills += 1
        self._report.acknowledged += sum(ledger.answers for ledger in self._ledgers)

    def _ledger(self, number: int) -> Ledger:
        """A new one, that knows how the writer's counter was found."""
        name = counter(number)
        known = self._counters.get(name)
        return Ledger({name: known}, {name: known})

    def finish(self) -> None:
        """Looks at what the last kill left."""
        with started(self._device), Client(str(self._device.socket)) as client:
            self._unlock(client)
            self._verify(client)

    def _unlock(self, client: Client) -> None:
        """With the newest passphrase that opens. A rekey that was acknowledged has left only its own."""
        for passphrase in reversed(self._passphrases):
            if not opens(client, passphrase):
                continue
            if len(self._passphrases) > 1:
                if passphrase == self._passphrases[-1]:
                    self._report.rekeys_after += 1
                else:
                    self._report.rekeys_before += 1
            self._passphrases = [passphrase]
            return
        raise Lost("no passphrase opens the vault")

    def _rekey(self, begun: threading.Event) -> None:
        new = self._passphrases[-1]
        try:
            with Client(str(self._device.socket)) as client:
                for _ in client.agent.rekey(passphrase=new):
                    begun.set()
        except ClientError as error:
            if error.reason not in STRANDED:
                self._failures.append(error.reason)
            return
        self._passphrases = [new]
        self._report.rekeys_after += 1

    def _write(self, number: int, ledger: Ledger, begun: threading.Event) -> None:
        """New names, a name that is replaced again and again, names that are removed; until the agent is gone."""
        try:
            with Client(str(self._device.socket)) as client:
                for turn in range(10**6):
                    name = f"item-{self._round}-{number}-{turn}"
                    self._put(client, ledger, name, f"value of {name}".encode())
                    begun.set()
                    self._put(client, ledger, counter(number), f"{self._round}.{turn:06}".encode())
                    if turn % 5 == 4:
                        ledger.asked[name] = None
                        client.vault.delete_item(ref(name))
                        ledger.acknowledged[name] = None
                        ledger.answers += 1
        except ClientError as error:
            if error.reason not in STRANDED:
                self._failures.append(error.reason)

    def _put(self, client: Client, ledger: Ledger, name: str, value: bytes) -> None:
        ledger.asked[name] = value
        client.vault.put_item(plain(name, value), vault_pb2.PUT_MODE_UPSERT)
        ledger.acknowledged[name] = value
        ledger.answers += 1

    def _verify(self, client: Client) -> None:
        """Each name has the value acknowledged last, or the one that was asked for after it; the check finds nothing."""
        for ledger in self._ledgers:
            stored = values(client, ledger.asked)
            for name, asked in ledger.asked.items():
                if stored.get(name) not in {asked, ledger.acknowledged.get(name)}:
                    raise Lost(f"{name} was acknowledged and is not as it should be")
                if name.startswith("counter"):
                    self._counters[name] = stored.get(name)
        must_be_sound(client)


def counter(number: int) -> str:
    """The name that one writer replaces again and again."""
    return f"counter-{number}"


def run(kills: int, seed: int) -> Report:
    """Kills an agent `kills` times. Raises Lost."""
    chance, report = random.Random(seed), Report()
    while report.kills < kills:
        with Device("crash") as device:
            victim = Victim(device, chance, report)
            for _ in range(min(KILLS_PER_VAULT, kills - report.kills)):
                victim.kill_once()
            victim.finish()
    return report


if __name__ == "__main__":
    sys.exit(command("crash", __doc__, 50, run))
