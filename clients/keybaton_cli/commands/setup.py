"""`keybaton setup`: lets other programs use the vault, and takes it back."""

from __future__ import annotations

import shlex
from dataclasses import replace

import click

from keybaton_cli import output, prompts
from keybaton_cli.completion import complete_item
from keybaton_cli.failure import UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.items import SECRET
from keybaton_cli.setup import PROGRAMS, program
from keybaton_cli.setup.plan import Plan
from keybaton_client.problem import ClientError

_TYPES = {"aws": ("s3-credentials",), "kubectl": ("token", "plain", "api-key", "login", "encryption-key")}
"""Of the secret that a program is to use, the usual one first."""


@command(
    "setup",
    examples=(
        "keybaton setup                            # what is set up",
        "keybaton setup git                        # shows the line, then asks",
        "keybaton setup docker registry.example    # for one registry",
        "keybaton setup aws photos-s3 --as photos  # a profile from a secret",
        "keybaton setup git --remove",
    ),
)
@click.argument("name", metavar="[PROGRAM]", required=False, type=click.Choice(list(PROGRAMS)))
@click.argument("what", metavar="[NAME]", required=False, shell_complete=complete_item)
@click.option(
    "--as", "label", metavar="NAME", help="With aws the profile, with kubectl the user. [default: the secret's name]"
)
@click.option("--remove", is_flag=True, help="Take it back.")
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_app
def setup(
    app: App, name: str | None, what: str | None, label: str | None, remove: bool, dry_run: bool, yes: bool
) -> None:
    """Show and write the line by which git, docker, aws, kubectl, ssh or keyring uses the vault.

    NAME is a secret for aws and kubectl, a registry for docker. What somebody else has configured is never replaced. Without
    a terminal --yes is needed to write it, --dry-run to see it.
    """
    if name is None:
        if what or label or remove or yes:
            raise UsageFailure("A program is needed: " + ", ".join(PROGRAMS) + ".")
        _show_states(app)
        return
    if what and name not in ("docker", "aws", "kubectl"):
        raise UsageFailure(f"{name} takes no name.")
    if label and name not in ("aws", "kubectl"):
        raise UsageFailure("--as belongs to aws and kubectl.")
    module = program(name)
    plan: Plan = (module.remove if remove else module.add)(what or "", label or "")
    wanted = bool(plan.steps) and not dry_run
    if plan.steps and what and name in _TYPES and not remove:
        plan = replace(plan, notes=(*plan.notes, *_unfit(app, what, _TYPES[name])))
    if not app.json:
        _show(plan, remove)
    if wanted:
        prompts.agree(app, yes, "Do it?", "Nothing was changed.", default=True)
        for step in plan.steps:
            step.apply()
        if name == "ssh" and not remove:
            app.client().agent.serve_ssh()
    _report(app, name, plan, wanted)


def _unfit(app: App, name: str, types: tuple[str, ...]) -> list[str]:
    """What the vault, where it is open, says against the secret that a program is to use."""
    try:
        found = app.client(start=False).vault.list_items(SECRET, name_prefix=name)
        kind = next((summary.secret_type for summary in found if summary.ref.name == name), None)
    except ClientError:
        return []  # it may be stored later as well
    if kind is None:
        return [f"There is no secret named {name} yet: `keybaton secrets add {shlex.quote(name)} --type {types[0]}`."]
    return [] if kind in types else [f"{name} is of the type {kind}; it has to be {' or '.join(types)}."]


def _show(plan: Plan, remove: bool) -> None:
    if not plan.steps:
        output.say("There is nothing of it to take back." if remove else "It is set up already.")
    for step in plan.steps:
        output.say(f"{'Out of' if step.removes else 'In'} {output.printable(step.where)}:")
        for line in step.lines:
            output.say("    " + output.printable(line))
    for note in plan.notes:
        output.note(output.printable(note))


def _report(app: App, name: str, plan: Plan, applied: bool) -> None:
    if app.json:
        changes = [{"where": step.where, "lines": list(step.lines), "removes": step.removes} for step in plan.steps]
        output.document({"program": name, "changes": changes, "notes": list(plan.notes), "applied": applied})
    elif applied:
        output.say("Done.")
    elif plan.steps:
        output.say("Nothing was changed.")


def _show_states(app: App) -> None:
    rows = []
    for name, purpose in PROGRAMS.items():
        state = program(name).state()
        rows.append(
            (name, "on" if state.where else "off" if state.installed else "not installed", state.where or purpose)
        )
    if app.json:
        output.document({"programs": [{"program": row[0], "state": row[1], "detail": row[2]} for row in rows]})
        return
    output.table(("PROGRAM", "STATE", "WHERE, OR WHAT FOR"), rows)
