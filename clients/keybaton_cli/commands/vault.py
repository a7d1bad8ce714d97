"""`keybaton vault check`, `backup`, `restore` and `rekey`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import click

from keybaton_api.agent.v1 import agent_pb2
from keybaton_cli import output, prompts
from keybaton_cli.commands.init import KEYSTORES
from keybaton_cli.commands.status import info_json
from keybaton_cli.failure import Failure
from keybaton_cli.framework import DESCRIPTOR, App, command, pass_app
from keybaton_client.problem import ClientError


class _HasProgress(Protocol):
    @property
    def progress(self) -> agent_pb2.Progress: ...


_Message = TypeVar("_Message", bound=_HasProgress)


def last_of(messages: Iterator[_Message], verb: str) -> _Message:
    """Shows the progress on a terminal and returns the last message. Failure when the agent sent none."""
    shown = output.is_terminal(sys.stderr)
    last: _Message | None = None
    for message in messages:
        last = message
        if shown and message.progress.total:
            percent = 100 * message.progress.done // message.progress.total
            sys.stderr.write(f"\r\x1b[K{verb} … {percent} %")
            sys.stderr.flush()
    if shown:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    if last is None:
        raise Failure("PROTOCOL", "The agent ended without an answer.")
    return last


@command("check", examples=("keybaton vault check",))
@pass_app
def check(app: App) -> None:
    """Read and open every row, and compare the sealed count and sum: damage and removed rows show."""
    findings = list(last_of(app.client().agent.check_vault(), "checking").findings)
    if app.json:
        output.document({"sound": not findings, "findings": findings})
    elif not findings:
        output.say("The vault is sound.")
    else:
        for finding in findings:
            output.say(output.printable(finding))
        output.hint("`keybaton vault restore FILE` takes the vault from a backup; this file is kept beside it.")
    if findings:
        raise click.exceptions.Exit(1)


_FD = click.option(
    "--passphrase-fd", type=DESCRIPTOR, metavar="N", help="Read the backup's passphrase from this descriptor."
)


@command("backup", examples=("keybaton vault backup ~/keybaton.backup",))
@click.argument("file", type=click.Path(dir_okay=False))
@_FD
@pass_app
def backup(app: App, file: str, passphrase_fd: int | None) -> None:
    """Write a copy of the vault that opens with a passphrase on any machine. Never writes over a file."""
    client = app.client()
    _demand_unlocked(client.agent.info())
    target = Path(file).absolute()
    if target.exists() or target.is_symlink():
        raise Failure("FILE_EXISTS", f"{file} exists; a backup never writes over a file.")
    if not target.parent.is_dir():
        raise Failure("FILE_UNREADABLE", f"There is no folder {target.parent}.")
    phrase = prompts.passphrase(app, passphrase_fd, "Passphrase for the backup:", twice=True)
    items = last_of(client.agent.backup_vault(str(target), phrase), "backing up").items
    if app.json:
        output.document({"file": str(target), "items": items})
    else:
        output.say(f"{output.count(items, 'item')} backed up to {output.printable(file)}.")


def _demand_unlocked(info: agent_pb2.AgentInfo) -> None:
    if info.vault_state == agent_pb2.VAULT_STATE_LOCKED:
        raise Failure("VAULT_LOCKED", "The vault is locked.", "`keybaton unlock` opens it.")
    if info.vault_state == agent_pb2.VAULT_STATE_ABSENT:
        raise Failure("VAULT_ABSENT", "There is no vault yet.", "`keybaton init` makes one.")


@command(
    "restore",
    examples=("keybaton vault restore ~/keybaton.backup", "keybaton vault restore ~/keybaton.backup --replace"),
)
@click.argument("file", type=click.Path(dir_okay=False))
@_FD
@click.option(
    "--keystore", type=click.Choice(list(KEYSTORES)), help="Where the key goes. [default: as now, or the keychain]"
)
@click.option("--new-passphrase-fd", type=DESCRIPTOR, metavar="N", help="The vault's new passphrase, where it has one.")
@click.option("--replace", is_flag=True, help="Set an existing vault aside; its file is kept.")
@pass_app
def restore(
    app: App, file: str, passphrase_fd: int | None, keystore: str | None, new_passphrase_fd: int | None, replace: bool
) -> None:
    """Take the vault from a backup. A vault that is there is kept beside it, and only with --replace."""
    if new_passphrase_fd is not None and keystore not in {None, "passphrase"}:
        raise click.UsageError(f"--new-passphrase-fd does not go with --keystore {keystore}.")
    client = app.client()
    info = client.agent.info()
    exists = info.vault_state != agent_pb2.VAULT_STATE_ABSENT
    if exists and not replace:
        raise Failure(
            "VAULT_EXISTS", "This device has a vault already.", "`--replace` sets it aside; its file is kept."
        )
    source = Path(file).absolute()
    if not source.exists():
        raise Failure("FILE_UNREADABLE", f"There is no file {file}.")
    phrase = prompts.passphrase(app, passphrase_fd, "Passphrase of the backup:")
    new = b""
    now_passphrase = exists and info.keystore == agent_pb2.KEYSTORE_PASSPHRASE
    if keystore == "passphrase" or (keystore is None and (now_passphrase or new_passphrase_fd is not None)):
        keystore = "passphrase"
        label = "New passphrase of the vault:"
        new = prompts.passphrase(app, new_passphrase_fd, label, twice=True, option="--new-passphrase-fd")
    request = agent_pb2.RestoreVaultRequest(
        path=str(source),
        passphrase=phrase,
        keystore=KEYSTORES[keystore] if keystore else agent_pb2.KEYSTORE_UNSPECIFIED,
        new_passphrase=new,
        replace=replace,
    )
    try:
        done = last_of(client.agent.restore_vault(request), "restoring")
    except ClientError as error:
        raise _of_the_backup(error, file) from None
    if app.json:
        output.document({"items": done.items, "setAside": done.set_aside or None, "info": info_json(done.info)})
        return
    output.say(f"{output.count(done.items, 'item')} restored.")
    if done.set_aside:
        output.note(f"The previous vault is kept as {output.printable(done.set_aside)}.")


def _of_the_backup(error: ClientError, file: str) -> ClientError:
    """The agent's words for these reasons are of a vault; here they are of the file, and the vault is as it was."""
    told = {
        "VAULT_DAMAGED": (f"{file} is no backup, or a damaged one. Nothing was changed.", ""),
        "VAULT_NEWER": (
            f"{file} was made by a newer Keybaton. Nothing was changed.",
            "Install that version or a later one.",
        ),
        "FILE_UNREADABLE": (
            f"{file} cannot be used. Nothing was changed.",
            "Is it a file that you may read? A vault in use is no backup: `keybaton vault backup` makes one.",
        ),
    }.get(error.reason)
    return error if told is None else Failure(error.reason, told[0], told[1], dict(error.data))


@command(
    "rekey",
    examples=(
        "keybaton vault rekey                            # new keys, kept where they are now",
        "keybaton vault rekey --keystore passphrase",
    ),
)
@click.option("--keystore", type=click.Choice(list(KEYSTORES)), help="Where the new key goes. [default: as now]")
@click.option("--passphrase-fd", type=DESCRIPTOR, metavar="N", help="Read the new passphrase from this descriptor.")
@pass_app
def rekey(app: App, keystore: str | None, passphrase_fd: int | None) -> None:
    """Make new keys and seal every row anew, optionally with the key in another place."""
    client = app.client()
    info = client.agent.info()
    _demand_unlocked(info)
    wanted = KEYSTORES[keystore] if keystore else info.keystore
    if passphrase_fd is not None and wanted != agent_pb2.KEYSTORE_PASSPHRASE:
        raise click.UsageError("--passphrase-fd goes with --keystore passphrase.")
    phrase = b""
    if wanted == agent_pb2.KEYSTORE_PASSPHRASE:
        phrase = prompts.passphrase(app, passphrase_fd, "New passphrase:", twice=True)
    done = last_of(client.agent.rekey(wanted, phrase), "sealing anew")
    if app.json:
        output.document(info_json(done.info))
    else:
        output.say("The vault has new keys.")
