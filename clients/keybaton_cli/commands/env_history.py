"""`keybaton env history` and `undo`: older versions of a variable, and the way back."""

from __future__ import annotations

import click

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_cli import output, versions
from keybaton_cli.commands.env_values import env_option, unknown
from keybaton_cli.completion import complete_variable
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.project.context import Place, place
from keybaton_client.problem import ClientError


@command("undo", examples=("keybaton env undo DATABASE_URL", "keybaton env undo DATABASE_URL --version 2"))
@click.argument("name", shell_complete=complete_variable)
@env_option
@click.option("--version", type=click.IntRange(min=1), help="Which version; the one before the current by default.")
@pass_app
def undo(app: App, name: str, environment: str | None, version: int | None) -> None:
    """Bring an older version of a variable back, also of a removed one."""
    where = place(app, environment)
    _versions(where, name)  # a name that never was has an error of its own
    try:
        back = versions.bring_back(app, _ref(where, name), version)
    except ClientError as error:
        if error.reason != "NOT_FOUND":
            raise
        raise versions.nothing(name, version, f"keybaton env history {name}") from None
    if app.json:
        told = {"name": name, "environment": where.environment, "version": back.summary.version}
        output.document(told | {"restoredVersion": back.source})
    else:
        item = f"{output.printable(name)} in {where.environment}"
        output.say(f"{item} is back as it was: {back.words} (now version {back.summary.version}).")


@command("history", examples=("keybaton env history DATABASE_URL",))
@click.argument("name", shell_complete=complete_variable)
@env_option
@pass_app
def history(app: App, name: str, environment: str | None) -> None:
    """Versions of one variable, newest first, without values."""
    where = place(app, environment)
    listed = _versions(where, name)
    if app.json:
        entries = [
            {
                "version": v.version,
                "updatedAt": output.when_json(v.updated_at_ms),
                "removed": v.removed,
                "current": v.current,
            }
            for v in listed
        ]
        output.document({"name": name, "environment": where.environment, "versions": entries})
        return
    rows = [
        (str(v.version), output.when(v.updated_at_ms), "removed" if v.removed else "current" if v.current else "")
        for v in listed
    ]
    output.table(("VERSION", "CHANGED", ""), rows)


def _versions(where: Place, name: str) -> list[vault_pb2.ItemVersion]:
    """The versions of a variable, also of a removed one, newest first. Failure VARIABLE_NOT_FOUND."""
    try:
        return list(where.app.client().vault.list_versions(_ref(where, name)))
    except ClientError as error:
        if error.reason != "NOT_FOUND":
            raise
        raise unknown(name, where.environment, where.values()) from None


def _ref(where: Place, name: str) -> common_pb2.ItemRef:
    """One variable as an item of the vault."""
    return common_pb2.ItemRef(
        kind=common_pb2.ITEM_KIND_ENV_VARIABLE, name=name, vault=where.project.vault, environment=where.environment
    )
