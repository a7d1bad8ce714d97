"""`keybaton secrets edit` and `remove`."""

from __future__ import annotations

import shlex

import click

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_cli import missing, output, prompts, values
from keybaton_cli.commands.secrets import FIELD_FD_HELP, FIELD_FILE_HELP, FIELD_HELP, FILE_HELP, ask_fields
from keybaton_cli.completion import complete_secret
from keybaton_cli.failure import UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.items import DATABASE, fields_of, secret_item, secret_ref, summary_json
from keybaton_cli.secret_types import SECRET_TYPES, doubt


@command(
    "edit",
    examples=(
        "keybaton secrets edit github-token                          # asks, Enter keeps a field as it is",
        "pass show github | keybaton secrets edit github-token",
        "keybaton secrets edit photos-s3 --field-file secretAccessKey=new-key",
        "keybaton secrets edit github-token --rename github",
    ),
)
@click.argument("name", shell_complete=complete_secret)
@click.option("--field", "plain", multiple=True, metavar="KEY=VALUE", help=FIELD_HELP)
@click.option("--field-fd", "described", multiple=True, metavar="KEY=N", help=FIELD_FD_HELP)
@click.option("--field-file", "filed", multiple=True, metavar="KEY=PATH", help=FIELD_FILE_HELP)
@click.option("--file", metavar="PATH", type=click.Path(), help=FILE_HELP)
@click.option("--remove-field", multiple=True, metavar="KEY", help="Leave out an optional field. May be repeated.")
@click.option("--rename", metavar="NAME", help="A new name; links of databases follow.")
@pass_app
def edit(
    app: App,
    name: str,
    plain: tuple[str, ...],
    described: tuple[str, ...],
    filed: tuple[str, ...],
    file: str | None,
    remove_field: tuple[str, ...],
    rename: str | None,
) -> None:
    """Change fields of a secret, or its name. The version before stays in its history."""
    item = missing.item(app, secret_ref(name))
    secret_type, fields = item.secret.type, fields_of(item)
    changes = values.given_fields(secret_type, plain, described, filed, file)
    if not (changes or remove_field or rename):
        changes = values.field_from_stdin(secret_type)
    if changes or remove_field or rename:
        fields |= changes
        for key in remove_field:
            if fields.pop(key, None) is None:
                raise UsageFailure(f"--remove-field: {name} has no field {key}.", f"It has {', '.join(fields)}.")
    else:
        prompts.demand(app, "What to change", "`--field-fd KEY=N`, `--remove-field KEY` or `--rename NAME` says it.")
        asker = prompts.Asker()
        rename = asker.text("Name:", default=name)
        fields = ask_fields(asker, SECRET_TYPES.get(secret_type, ()), fields)
    odd = doubt(changes)
    if odd:
        output.warn(odd)
    summary = store_edited(app, item, secret_item(rename or name, secret_type, fields))
    if app.json:
        output.document(summary_json(summary))
    else:
        output.say(f"Stored {output.printable(summary.ref.name)} (version {summary.version}).")


def store_edited(app: App, before: common_pb2.Item, after: common_pb2.Item) -> common_pb2.ItemSummary:
    """Replaces `before`, unless somebody changed it meanwhile (VERSION_CONFLICT)."""
    renamed = before.ref.name if after.ref.name != before.ref.name else ""
    mode = vault_pb2.PUT_MODE_REPLACE
    return app.client().vault.put_item(after, mode, base_version=before.version, rename_from=renamed)


@command("remove", examples=("keybaton secrets remove github-token", "keybaton secrets remove github-token --yes"))
@click.argument("name", shell_complete=complete_secret)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_app
def remove(app: App, name: str, yes: bool) -> None:
    """Remove a secret. Its history stays; `keybaton undo` brings it back."""
    remove_item(app, secret_ref(name), yes)


def remove_item(app: App, ref: common_pb2.ItemRef, yes: bool) -> None:
    """Asks, removes, and says which databases still name what was removed."""
    if not yes:
        missing.item(app, ref)  # nobody is asked about what is not there
        prompts.agree(app, yes, f"Remove {output.printable(ref.name)}?")
    with missing.told(app, ref):
        removed = app.client().vault.delete_item(ref)
    if app.json:
        output.document(summary_json(removed.summary) | {"removed": True, "linkedBy": list(removed.unlinked_databases)})
        return
    name = output.printable(removed.summary.ref.name)
    output.say(f"Removed {name}.")
    if removed.unlinked_databases:
        listed = ", ".join(output.printable(database) for database in removed.unlinked_databases)
        output.warn(f"still linked by: {listed}")
    database = " --database" if ref.kind == DATABASE else ""
    output.hint(f"`keybaton undo {shlex.quote(name)}{database}` brings it back.")
