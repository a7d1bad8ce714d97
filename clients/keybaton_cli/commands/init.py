"""`keybaton init`: makes this device's vault and its key."""

from __future__ import annotations

import click

from keybaton_api.agent.v1 import agent_pb2
from keybaton_cli import output, prompts
from keybaton_cli.commands.status import info_json
from keybaton_cli.failure import Failure
from keybaton_cli.framework import DESCRIPTOR, App, command, pass_app
from keybaton_client.problem import ClientError

KEYSTORES = {
    "keychain": agent_pb2.KEYSTORE_KEYCHAIN,
    "passphrase": agent_pb2.KEYSTORE_PASSPHRASE,
    "credential": agent_pb2.KEYSTORE_CREDENTIAL,
}
_NO_KEYCHAIN = {"KEYCHAIN_UNAVAILABLE", "KEYCHAIN_TIMEOUT", "KEYCHAIN_REFUSED"}


@command(
    "init",
    examples=(
        "keybaton init                           # key in this desktop's keychain",
        "keybaton init --keystore passphrase     # asks for a passphrase",
        "keybaton init --keystore passphrase --passphrase-fd 3 3<passphrase-file",
    ),
)
@click.option(
    "--keystore", type=click.Choice(list(KEYSTORES)), help="Where the vault's key is kept. [default: keychain]"
)
@click.option("--passphrase-fd", type=DESCRIPTOR, metavar="N", help="Read the passphrase from this descriptor.")
@pass_app
def init(app: App, keystore: str | None, passphrase_fd: int | None) -> None:
    """Make this device's vault, and the key that opens it.

    The key lives in the desktop's keychain, or in the vault's file under a passphrase, typed or given as a systemd
    credential. Nothing weaker is ever chosen by itself. The agent is started and left unlocked.
    """
    if passphrase_fd is not None and keystore not in {None, "passphrase"}:
        raise click.UsageError(f"--passphrase-fd does not go with --keystore {keystore}.")
    chosen = keystore or ("passphrase" if passphrase_fd is not None else "keychain")
    client = app.client()
    found = client.agent.info()
    if found.problem:
        raise Failure("VAULT_EXISTS", found.problem, "`keybaton doctor` says what to do.")
    if found.vault_state != agent_pb2.VAULT_STATE_ABSENT:
        raise Failure("VAULT_EXISTS", "This device has a vault already.", "`keybaton status` shows its state.")
    phrase = b""
    if chosen == "passphrase":
        phrase = prompts.passphrase(app, passphrase_fd, "New passphrase:", twice=True)
    try:
        info = client.agent.init(KEYSTORES[chosen], phrase)
    except ClientError as error:
        if error.reason in _NO_KEYCHAIN and keystore is None:
            hint = "`keybaton init --keystore passphrase` keeps the key in the vault's file, under a passphrase."
            raise Failure(error.reason, error.message, hint, dict(error.data)) from None
        raise
    if app.json:
        output.document(info_json(info))
        return
    output.say("The vault is made and unlocked.")
    output.note(
        "Next: `keybaton secrets add NAME --type token`, or `keybaton dbs receive` to take one from another device."
    )
