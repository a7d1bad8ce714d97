"""`keybaton history` and `keybaton undo`: older versions, who read what, and the way back."""

from __future__ import annotations

import click

from keybaton_api.agent.v1 import common_pb2
from keybaton_cli import output, prompts, versions
from keybaton_cli.completion import complete_item
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.items import NOUNS, database_ref, secret_ref, summary_json
from keybaton_client.problem import ClientError

_DATABASE_HELP = "The database of this name, where a secret has it too."


_READS_USUAL, _READS_MAX = 100, 1000


@command(
    "history",
    examples=(
        "keybaton history github-token",
        "keybaton history --database photos",
        "keybaton history --reads                    # which values were read, when and by what",
    ),
)
@click.argument("name", required=False, shell_complete=complete_item)
@click.option("--database", is_flag=True, help=_DATABASE_HELP)
@click.option("--reads", is_flag=True, help="List reads of values instead, newest first; with NAME only its own.")
@click.option(
    "--limit",
    type=click.IntRange(1, _READS_MAX),
    metavar="N",
    help=f"Look at the last N reads. [default: {_READS_USUAL}]",
)
@pass_app
def history(app: App, name: str | None, database: bool, reads: bool, limit: int | None) -> None:
    """List the versions of a secret or a database, newest first; also of a removed one."""
    if reads:
        _show_reads(app, name, database, limit or _READS_USUAL)
        return
    if name is None:
        raise UsageFailure("The name of a secret or database is needed.", "`keybaton history --reads` needs none.")
    if limit is not None:
        raise UsageFailure("--limit belongs to --reads.")
    ref = _found(app, name, database)
    listed = list(app.client().vault.list_versions(ref))
    if app.json:
        entries = [
            {
                "version": entry.version,
                "name": entry.name,
                "current": entry.current,
                "removed": entry.removed,
                "updatedAt": output.when_json(entry.updated_at_ms),
            }
            for entry in listed
        ]
        output.document({"name": name, "kind": NOUNS[ref.kind], "versions": entries})
        return
    rows = []
    for entry in listed:
        state = "removed" if entry.removed else "current" if entry.current else ""
        rows.append((str(entry.version), output.when(entry.updated_at_ms), entry.name, state))
    output.table(("VERSION", "CHANGED", "NAME", "STATE"), rows)


def _show_reads(app: App, name: str | None, database: bool, limit: int) -> None:
    """The log of reads. A name is compared as it was then; databases and variables are told apart by their kind."""
    found = app.client().vault.list_reads(limit)
    if name is not None:
        found = [read for read in found if read.ref.name == name]
    if database:
        found = [read for read in found if read.ref.kind == common_pb2.ITEM_KIND_DATABASE]
    if app.json:
        output.document(
            {
                "reads": [
                    {
                        "at": output.when_json(read.at_ms),
                        "name": read.ref.name,
                        "kind": NOUNS.get(read.ref.kind, "item"),
                        "project": read.ref.vault or None,
                        "environment": read.ref.environment or None,
                        "version": read.version,
                        "client": read.client,
                    }
                    for read in found
                ]
            }
        )
        return
    rows = []
    for read in found:
        place = f"{read.ref.name} ({read.ref.environment})" if read.ref.environment else read.ref.name
        rows.append((output.when(read.at_ms), read.client, NOUNS.get(read.ref.kind, "item"), place))
    output.table(("READ", "BY", "KIND", "NAME"), rows)


@command(
    "undo",
    examples=(
        "keybaton undo github-token                  # the version before, or what was removed",
        "keybaton undo github-token --version 3",
    ),
)
@click.argument("name", shell_complete=complete_item)
@click.option("--version", type=click.IntRange(1), help="The version to bring back. [default: the one before]")
@click.option("--database", is_flag=True, help=_DATABASE_HELP)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_app
def undo(app: App, name: str, version: int | None, database: bool, yes: bool) -> None:
    """Make an older version the newest. Nothing is lost: the history only grows."""
    ref = _found(app, name, database)
    if not yes and prompts.possible(app):
        versions.demand(app, ref, version)
        what = (
            f"version {version} of {output.printable(name)}"
            if version
            else f"{output.printable(name)} as it was before"
        )
        prompts.agree(app, yes, f"Bring back {what}?", "Nothing was changed.", default=True)
    try:
        back = versions.bring_back(app, ref, version)
    except ClientError as error:
        if error.reason != "NOT_FOUND":
            raise
        raise versions.nothing(name, version, f"keybaton history {name}") from None
    if app.json:
        output.document(summary_json(back.summary) | {"restoredVersion": back.source})
    else:
        name = output.printable(back.summary.ref.name)
        output.say(f"{name} is back as it was: {back.words} (now version {back.summary.version}).")


def _found(app: App, name: str, database: bool) -> common_pb2.ItemRef:
    """The secret of this name, else the database, in the present or in the history."""
    vault = app.client().vault
    candidates = [database_ref(name)] if database else [secret_ref(name), database_ref(name)]
    for ref in candidates:
        try:
            if next(vault.list_versions(ref), None) is not None:
                return ref
        except ClientError as error:
            if error.reason != "NOT_FOUND":
                raise
    noun = "database" if database else "secret or database"
    raise Failure(
        "NOT_FOUND",
        f"There is no {noun} named {name}, nor a removed one.",
        "`keybaton secrets list` shows names. What was renamed has its history under its new name.",
    )
