"""`keybaton run`, complete: with a schema, and with every complaint in words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

import click

from keybaton_cli.commands.env_values import env_option
from keybaton_cli.commands.run_mask import run_masked
from keybaton_cli.commands.run_mount import READS_DEFAULT, READS_MAX, mounted
from keybaton_cli.completion import complete_program
from keybaton_cli.failure import UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.project.checking import checked_defaults
from keybaton_cli.project.context import Place, place
from keybaton_cli.relay import end_as, run_child
from keybaton_hot.executing import become, merged
from keybaton_hot.running import fetched


@command(
    "run",
    examples=(
        "keybaton run -- npm start",
        "keybaton run --env staging -- ./manage.py migrate",
        "keybaton run --allow NODE_OPTIONS -- node server.js",
        "keybaton run --mask -- ./deploy.sh                   # secrets in its output become dots",
        "keybaton run --mount .env -- npm run dev             # for programs that read only a file",
    ),
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
@env_option
@click.option("--override", is_flag=True, help="The vault's values win over those that are set already.")
@click.option(
    "--allow", metavar="NAME", multiple=True, help="Let this variable through although it can hijack programs."
)
@click.option("--no-check", is_flag=True, help="Start although the variables do not fit the schema.")
@click.option(
    "--mask",
    is_flag=True,
    help="Replace secrets in the program's output by dots, those of several lines also line by line; values under 4 "
    "characters, lines under 8, and what the schema declares not secret, stay.",
)
@click.option(
    "--mount",
    metavar="FILE",
    type=click.Path(),
    help="Offer the variables as a .env at this place, a FIFO that is there only while the program runs.",
)
@click.option(
    "--mount-reads",
    type=click.IntRange(1, READS_MAX),
    help=f"How often the FIFO may be read in full.  [default: {READS_DEFAULT}]",
)
@click.argument(
    "command_line", metavar="COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=complete_program
)
@pass_app
def run(
    app: App,
    environment: str | None,
    override: bool,
    allow: Sequence[str],
    no_check: bool,
    mask: bool,
    mount: str | None,
    mount_reads: int | None,
    command_line: Sequence[str],
) -> int:
    """Run a program with an environment's variables.

    The program takes this process's place: signals, exit code and terminal are its own. What is set already wins over the
    vault (unless --override), the vault over defaults of the schema. Variables by which programs can be made to run other
    code (PATH, LD_PRELOAD, NODE_OPTIONS …) are refused unless allowed by name. With --mask or --mount the program runs as a
    child; signals and exit code still pass through.
    """
    if mount_reads is not None and mount is None:
        raise UsageFailure("--mount-reads belongs to --mount FILE.")
    where = place(app, environment)
    # Not through grpcio: its threads do not live well with the forks of what follows.
    variables = fetched(where.project.vault, where.environment, app.socket or "")
    rules = where.project.rules
    defaults = checked_defaults(rules, where.environment, variables, override=override, no_check=no_check)
    prepared = merged(os.environb, variables, defaults, {name.encode() for name in allow}, override)
    command_bytes = [os.fsencode(word) for word in command_line]
    if not mask and mount is None:
        become(command_bytes, prepared)
    values = {name.decode(): prepared[name].decode(errors="surrogateescape") for name in {**variables, **defaults}}
    with mounted(values, mount, mount_reads or READS_DEFAULT) if mount is not None else contextlib.nullcontext():
        status = (
            run_masked(command_bytes, prepared, secrets_of(where, variables, prepared))
            if mask
            else run_child(command_bytes, prepared)
        )
    return end_as(status)


def secrets_of(where: Place, variables: Mapping[bytes, bytes], prepared: Mapping[bytes, bytes]) -> set[str]:
    """What is to be masked: values of the vault, and those that the program gets in their place, unless not secret."""
    rules = where.project.rules
    names = [name for name in variables if name.decode() not in rules or rules[name.decode()].secret]
    values = {variables[name] for name in names} | {prepared[name] for name in names}
    return {value.decode(errors="surrogateescape") for value in values}
