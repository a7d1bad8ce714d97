"""`keybaton env send` and `keybaton env receive`: an environment, or a selection of it, from one device to another."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from keybaton_api.agent.v1 import share_pb2
from keybaton_cli import output, prompts
from keybaton_cli.commands.env_values import env_option, unknown
from keybaton_cli.commands.receive import CODE_FD_OPTION, FROM_OPTION, QR_OPTION, YES_OPTION, start_receiving
from keybaton_cli.commands.send import SENDING_WARNING, SendOptions, start_sending, with_send_options
from keybaton_cli.completion import complete_environment, complete_variable
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.project import file
from keybaton_cli.project.context import VARIABLE, place, project_of
from keybaton_cli.prompts import Asker


@command(
    "send",
    events=True,
    examples=(
        "keybaton env send                                # all variables of `default`",
        "keybaton env send DATABASE_URL API_KEY --env staging",
        "keybaton env send --env staging --yes --json",
    ),
)
@click.argument("names", metavar="[NAME…]", nargs=-1, shell_complete=complete_variable)
@env_option
@with_send_options
@pass_app
def send_environment(
    app: App,
    names: Sequence[str],
    environment: str | None,
    to: str,
    digits: int | None,
    code_fd: int | None,
    yes: bool,
) -> None:
    """Hand an environment, or the named variables of it, to another device on this network.

    Shows a code; type it on the other device, where `keybaton env receive` runs. There each variable is shown as new,
    changed or the same before anything is saved.
    """
    options = SendOptions(app, to, digits, code_fd, photosphere=False, yes=yes)
    where = place(app, environment)
    present = {variable.name: variable for variable in where.variables()}
    for name in names:
        if name not in present:
            raise unknown(name, where.environment, present)
    if not present:
        raise Failure("NOT_FOUND", f"{where.environment} has no variables yet.", "`keybaton env set` stores one.")
    output.warn(SENDING_WARNING)
    what = output.count(len(names or present), "variable")
    if not yes and not Asker().confirm(f"Send {what} of {where.environment}?", default=True):
        raise Failure("INTERRUPTED", "Nothing was sent.")
    request = options.request()
    request.environment.CopyFrom(
        share_pb2.EnvironmentSelection(project_id=where.project.vault, environment=where.environment, names=names)
    )
    start_sending(app, request, "env")


@command(
    "receive",
    events=True,
    examples=(
        "keybaton env receive",
        "keybaton env receive --env staging",
        "keybaton env receive --yes --on-conflict replace --json --code-fd 3 3<code-file",
    ),
)
@click.option(
    "--env",
    "environment",
    metavar="NAME",
    help=f"Where to save the variables. [default: ${VARIABLE}, else as offered]",
    shell_complete=complete_environment,
)
@CODE_FD_OPTION
@FROM_OPTION
@click.option(
    "--on-conflict",
    type=click.Choice(("keep", "replace")),
    help="What to do with variables that have another value here. [default: ask; with --yes: keep]",
)
@QR_OPTION
@YES_OPTION
@pass_app
def receive_environment(
    app: App,
    environment: str | None,
    code_fd: int | None,
    sender: str,
    on_conflict: str | None,
    qr: bool,
    yes: bool,
) -> None:
    """Take variables from another device on this network.

    Start `keybaton env send` on the other device and type the code that it shows. What arrives is shown first, each
    variable as new, changed or the same, and is saved only then. A project that this vault does not have is made with the
    id that its keybaton.toml names.
    """
    choice = "reuse" if on_conflict == "keep" else on_conflict
    target = _target(environment or os.environ.get(VARIABLE, ""))
    saved = start_receiving(
        app, "env", code_fd=code_fd, on_conflict=choice, qr=qr, yes=yes, sender=sender, environment=target
    )
    if not app.json and prompts.possible(app):
        output.hint(_next_step(saved.offer.environment.project_id))


def _next_step(project_id: str) -> str:
    """How the variables are used; only a folder of their project has them."""
    try:
        at_home = project_of().vault == project_id
    except Failure:
        at_home = False
    if at_home:
        return "`keybaton env list` shows what is here, `keybaton run -- …` uses it"
    return (
        f'a folder has these variables when its {file.FILE_NAME} holds vault = "{project_id}": the project\'s own, as it was '
        "committed, or one that you write"
    )


def _target(name: str) -> str:
    """The environment that `name` means: an alias, where this folder's project has it. Failure for an impossible name."""
    if not name:
        return ""
    try:
        name = project_of().environment(name)
    except Failure as failure:
        if failure.reason != "PROJECT_NOT_FOUND":
            raise
    if not file.environment_name(name):
        raise UsageFailure(f"{name!r} cannot name an environment: 1-64 of A-Z a-z 0-9 . _ -")
    return name
