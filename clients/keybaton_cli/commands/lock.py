"""`keybaton lock` and `keybaton unlock`."""

from __future__ import annotations

import click

from keybaton_api.agent.v1 import agent_pb2
from keybaton_cli import output, prompts
from keybaton_cli.commands.status import info_json
from keybaton_cli.failure import Failure
from keybaton_cli.framework import DESCRIPTOR, App, command, pass_app
from keybaton_client.problem import ClientError, NoAgentRuns

_TRIES = 3


@command("lock", examples=("keybaton lock",))
@pass_app
def lock(app: App) -> None:
    """Drop every key from memory and end the shares that hold values."""
    try:
        info = app.client(start=False).agent.lock()
    except NoAgentRuns:
        # No agent holds no key: what was asked for is so.
        if app.json:
            output.document({"vault": "locked", "pid": None})
        else:
            output.say("Locked: no agent is running.")
        return
    if app.json:
        output.document(info_json(info))
    elif info.vault_state == agent_pb2.VAULT_STATE_ABSENT:
        output.say("There is no vault yet, so nothing to lock.")
    else:
        output.say("Locked.")


@command("unlock", examples=("keybaton unlock", "keybaton unlock --passphrase-fd 3 3<passphrase-file"))
@click.option("--passphrase-fd", type=DESCRIPTOR, metavar="N", help="Read the passphrase from this descriptor.")
@pass_app
def unlock(app: App, passphrase_fd: int | None) -> None:
    """Open the vault with the key from the keychain, or with the passphrase."""
    client = app.client()
    info = client.agent.info()
    if info.vault_state == agent_pb2.VAULT_STATE_ABSENT:
        raise Failure("VAULT_ABSENT", "There is no vault yet.", "`keybaton init` makes one.")
    if info.vault_state != agent_pb2.VAULT_STATE_UNLOCKED:
        info = _opened(app, info, passphrase_fd)
    if app.json:
        output.document(info_json(info))
    else:
        output.say("Unlocked.")


def _opened(app: App, info: agent_pb2.AgentInfo, passphrase_fd: int | None) -> agent_pb2.AgentInfo:
    api = app.client().agent
    if info.keystore != agent_pb2.KEYSTORE_PASSPHRASE:
        return api.unlock()
    if passphrase_fd is not None or not prompts.possible(app):
        return api.unlock(prompts.passphrase(app, passphrase_fd, ""))
    for left in range(_TRIES - 1, -1, -1):
        try:
            return api.unlock(prompts.passphrase(app, None, "Passphrase:"))
        except ClientError as error:
            if error.reason != "WRONG_PASSPHRASE" or not left:
                raise
            output.note(f"{output.printable(error.message)} {output.count(left, 'try')} left.")
    raise AssertionError("the last try returns or raises")
