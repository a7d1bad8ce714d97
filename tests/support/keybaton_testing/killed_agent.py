"""What the programs that kill agents share: how one is started, what its vault holds, and the command that kills so often."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from keybaton_api.agent.v1 import common_pb2
from keybaton_client.client import Client
from keybaton_client.locate import listening
from keybaton_client.problem import ClientError
from keybaton_testing.device import Device
from keybaton_testing.processes import Running, wait_until
from keybaton_testing.program import keybaton

START_SECONDS = 20.0
STRANDED = ("UNAVAILABLE", "NO_AGENT")
_TOGETHER = 500  # names in one question


class Lost(AssertionError):
    """An acknowledged write is gone, or the vault is damaged."""


def started(device: Device) -> Running:
    """A fresh agent of the device, once it listens."""
    agent = device.start(_agent_command())
    try:
        wait_until(lambda: listening(str(device.socket)), "the agent listens", seconds=START_SECONDS)
    except BaseException:
        agent.stop()
        raise
    return agent


def _agent_command() -> list[str]:
    """The `keybatond` beside the `keybaton` under test."""
    program = keybaton()
    if len(program) == 1:
        return [str(Path(program[0]).parent / "keybatond"), "--foreground"]
    return [program[0], "-m", "keybatond", "--foreground"]


def ref(name: str) -> common_pb2.ItemRef:
    """A secret of that name."""
    return common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name)


def plain(name: str, value: bytes) -> common_pb2.Item:
    """A secret of one value."""
    secret = common_pb2.Secret(type="plain", fields=[common_pb2.Field(key="value", value=value)])
    return common_pb2.Item(ref=ref(name), secret=secret)


def opens(client: Client, passphrase: bytes) -> bool:
    """Whether the vault opens with it. Lost for any other reason than a wrong one."""
    try:
        client.agent.unlock(passphrase)
    except ClientError as error:
        if error.reason != "WRONG_PASSPHRASE":
            raise Lost(f"the vault does not open: {error.reason}") from error
        return False
    return True


def values(client: Client, names: Iterable[str]) -> dict[str, bytes]:
    """The values of those that are there."""
    asked = list(names)
    found: dict[str, bytes] = {}
    for at in range(0, len(asked), _TOGETHER):
        answer = client.vault.batch_get(ref(name) for name in asked[at : at + _TOGETHER])
        found |= {item.ref.name: item.secret.fields[0].value for item in answer.items}
    return found


def must_be_sound(client: Client) -> None:
    """Lost where the check of the vault finds anything."""
    findings = [finding for answer in client.agent.check_vault() for finding in answer.findings]
    if findings:
        raise Lost("; ".join(findings))


def command(module: str, about: str | None, kills: int, run: Callable[[int, int], object]) -> int:
    """`python -m module --kills N --seed N`: prints what `run` of both reports; exit code 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog=f"python -m keybaton_testing.{module}", description=about)
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    try:
        print(run(arguments.kills, arguments.seed))
    except Lost as lost:
        print(f"seed {arguments.seed}: {lost}", file=sys.stderr)
        return 1
    return 0
