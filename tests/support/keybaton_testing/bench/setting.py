"""What the rows share: the wheel's programs, devices with an unlocked vault, and many secrets at once."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from keybaton_api.agent.v1 import agent_pb2, common_pb2, vault_pb2
from keybaton_client.client import Client
from keybaton_testing.bench.measure import Command
from keybaton_testing.device import Device

BATCH = 1000
VALUE = b"a value of thirty-two bytes here"


@dataclass
class Setting:
    """`programs`: the folder with the wheel's `keybaton`, `keybatond` and `python`. `rounds`: of each timed command."""

    programs: Path
    rounds: int
    many: int  # secrets of the large vault
    tools: Path  # competitors that the bench installs for itself
    idle_seconds: float

    @classmethod
    def from_environment(cls, *, quick: bool) -> Setting:
        """From KEYBATON_BIN, as `make bench` sets it; else this interpreter's own folder."""
        named = os.environ.get("KEYBATON_BIN")
        programs = Path(named).absolute().parent if named else Path(sys.executable).parent
        tools = Path(__file__).resolve().parents[4] / "build" / "bench-tools"
        return cls(programs, 9 if quick else 41, 20_000 if quick else 1_000_000, tools, 5.0 if quick else 30.0)

    def python(self, device: Device, *arguments: str) -> Command:
        """The interpreter that the wheel is installed in, by its absolute path."""
        return Command([str(self.programs / "python"), *arguments], device.env)

    def keybaton(self, device: Device, *arguments: str, stdin: str = os.devnull) -> Command:
        """One command of ours."""
        return Command([str(self.programs / "keybaton"), *arguments], device.env, stdin)


def unlocked(device: Device) -> Client:
    """Starts the device's agent and makes a vault under a passphrase. The client ends with the device."""
    device.keybaton("status", check=True)  # starts the agent where the device's network is
    client = device.stack.enter_context(Client.connect(env=device.env, start=False))
    client.agent.init(agent_pb2.KEYSTORE_PASSPHRASE, secrets.token_urlsafe(24).encode())
    return client


@contextmanager
def device_with(count: int) -> Iterator[tuple[Device, Client]]:
    """A device whose vault holds `count` secrets."""
    with ExitStack() as stack:
        device = stack.enter_context(Device())
        client = unlocked(device)
        fill(client, count)
        yield device, client


def fill(client: Client, count: int, start: int = 0) -> None:
    """Stores `count` secrets named secret-0000000 and up, in batches."""
    for first in range(start, start + count, BATCH):
        items = [secret(number) for number in range(first, min(first + BATCH, start + count))]
        client.vault.batch_put(items, vault_pb2.PUT_MODE_CREATE)


def secret(number: int) -> common_pb2.Item:
    """One of them."""
    return common_pb2.Item(
        ref=common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name(number)),
        secret=common_pb2.Secret(type="plain", fields=[common_pb2.Field(key="value", value=VALUE)]),
    )


def name(number: int) -> str:
    """Its name."""
    return f"secret-{number:07}"
