"""`keybaton run`, complete: with a schema, and with every complaint in words."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from keybaton_cli.commands.env_values import env_option
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.hot.executing import ANSWER_SECONDS, become, merged
from keybaton_cli.project import schema
from keybaton_cli.project.context import Place, place


@command(
    "run",
    examples=(
        "keybaton run -- npm start",
        "keybaton run --env staging -- ./manage.py migrate",
        "keybaton run --allow NODE_OPTIONS -- node server.js",
    ),
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
@env_option
@click.option("--override", is_flag=True, help="The vault's values win over those that are set already.")
@click.option(
    "--allow", metavar="NAME", multiple=True, help="Let this variable through although it can hijack programs."
)
@click.option("--no-check", is_flag=True, help="Start although the variables do not fit the schema.")
@click.argument("command_line", metavar="COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_app
def run(
    app: App, environment: str | None, override: bool, allow: Sequence[str], no_check: bool, command_line: Sequence[str]
) -> None:
    """Run a program with an environment's variables.

    The program takes this process's place: signals, exit code and terminal are its own. What is set already wins over the
    vault (unless --override), the vault over defaults of the schema. Variables by which programs can be made to run other
    code (PATH, LD_PRELOAD, NODE_OPTIONS …) are refused unless allowed by name.
    """
    app.kind = "run"
    where = place(app, environment)
    variables = {variable.name.encode(): variable.value for variable in where.variables(timeout=ANSWER_SECONDS)}
    defaults = checked_defaults(where, variables, override=override, no_check=no_check)
    prepared = merged(os.environb, variables, defaults, {name.encode() for name in allow}, override)
    app.close()
    become([os.fsencode(word) for word in command_line], prepared)


def checked_defaults(
    where: Place, variables: dict[bytes, bytes], *, override: bool, no_check: bool
) -> dict[bytes, bytes]:
    """The schema's defaults that step in. Failure with every violation by what the program would get, unless `no_check`."""
    effective = {name.decode(): value.decode() for name, value in variables.items()}
    for name in where.project.rules:
        if name in os.environ and (not override or name not in effective):
            effective[name] = os.environ[name]
    checked = schema.check(where.project.rules, effective)
    if checked.findings and not no_check:
        raise Failure(
            "INVALID_ARGUMENT",
            f"{where.environment} does not fit the schema: "
            + "; ".join(str(finding) for finding in checked.findings)
            + ".",
            "`keybaton env set` mends it; `--no-check` starts all the same.",
        )
    return {name.encode(): value.encode() for name, value in checked.defaults.items()}
