"""`keybaton env import`, `export` and `print`: variables from and to files and other formats."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import click

from keybaton_cli import output, prompts, whole_file
from keybaton_cli.commands.env_values import creatable, create_option, env_option, told_misfits
from keybaton_cli.dotenv import foreign, reading, writing
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.project.context import place
from keybaton_cli.project.file import variable_name
from keybaton_cli.values import nothing_came

DIALECT = click.Choice(reading.DIALECTS)
DIFFERENCES_SHOWN = 10


def read_dotenv(app: App, path: str, dialect: str | None) -> dict[str, str]:
    """Variables of a `.env` file (`-`: standard input). Where the dialects differ, asks or wants `--dialect`. Failure."""
    shown = "standard input" if path == "-" else output.printable(path)
    try:
        if path == "-":
            data = sys.stdin.buffer.read(reading.FILE_MAX_BYTES + 1)
            if not data:
                raise nothing_came()
        else:
            with Path(path).open("rb") as stream:
                data = stream.read(reading.FILE_MAX_BYTES + 1)
        text = reading.decode(data)
        chosen = dialect or _dialect(app, shown, text)
        bindings = reading.last_values(reading.parse(text, chosen))
    except OSError as error:
        raise Failure("FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}.") from None
    except reading.DotenvRefused as refused:
        place_ = f"{shown}:{refused.line}" if refused.line else shown
        raise Failure("INVALID_ARGUMENT", f"{place_}: {refused.problem}.") from None
    for binding in bindings.values():
        if not variable_name(binding.name):
            raise Failure(
                "INVALID_ARGUMENT",
                f"{shown}:{binding.line}: {output.printable(binding.name)} is no name of a variable.",
                "Names are letters, digits and underscores, and begin with no digit.",
            )
    _look_for_foreign(path, shown, bindings.values())
    return {name: binding.value or "" for name, binding in bindings.items()}


def _look_for_foreign(path: str, shown: str, bindings: Collection[reading.Binding]) -> None:
    """Refuses ciphertext, which no program could use, and tells of references, which one may know how to look up."""
    sealed = foreign.encrypted(bindings)
    if sealed:
        file = "FILE" if path == "-" else shlex.quote(output.printable(path))
        more = f", and so are {len(sealed) - 1} more" if sealed[1:] else ""
        raise Failure(
            "INVALID_ARGUMENT",
            f"{shown}:{sealed[0].line}: {sealed[0].name} is encrypted by dotenvx{more}.",
            f"`dotenvx decrypt -f {file} --stdout | keybaton env import -` takes the values "
            "(a new project is made by `keybaton env init --no-import`).",
        )
    referring = ", ".join(binding.name for binding in foreign.references(bindings))
    if referring:
        output.warn(
            f"{shown}: references to 1Password (op://…), which `keybaton run` does not look up: {referring}. "
            "`op inject -i FILE | keybaton env import -` takes the values themselves"
        )


def _dialect(app: App, shown: str, text: str) -> str:
    """The dialect of a text that both read alike, else the one that the person chooses."""
    found = reading.differences(text)
    if not found:
        return "node"
    for difference in found[:DIFFERENCES_SHOWN]:
        name = output.printable(difference.name) or "this line"
        how = (
            f"{difference.node} for Node's dotenv, {difference.python} for python-dotenv"
            if difference.node != difference.python
            else "read differently by Node's dotenv and python-dotenv"
        )
        output.note(f"{shown}:{difference.line}: {name}: {how}")
    if len(found) > DIFFERENCES_SHOWN:
        output.note(f"{shown}: and {len(found) - DIFFERENCES_SHOWN} more")
    if not prompts.possible(app):
        raise UsageFailure(
            f"{shown} means different things to Node's dotenv and to python-dotenv (line {found[0].line}).",
            "`--dialect node` or `--dialect python` says which one reads it.",
        )
    choices = [("Node's dotenv", "node"), ("python-dotenv", "python")]
    return prompts.Asker().choose("Read it as", choices)


@command(
    "import",
    examples=("keybaton env import .env.staging --env staging --create", "keybaton env import .env --dialect python"),
)
@click.argument("path", metavar="FILE|-", type=click.Path())
@env_option
@create_option
@click.option("--dialect", type=DIALECT, help="Whose reading counts where Node's dotenv and python-dotenv differ.")
@click.option(
    "--on-conflict",
    type=click.Choice(("replace", "keep", "fail")),
    default="replace",
    show_default=True,
    help="What to do with variables that are there with another value.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, change nothing.")
@pass_app
def import_file(
    app: App, path: str, environment: str | None, create: bool, dialect: str | None, on_conflict: str, dry_run: bool
) -> None:
    """Read a .env file into an environment."""
    where = place(app, environment)
    values = read_dotenv(app, path, dialect)
    exists = where.environment in {e.name for e in where.environments()}
    with creatable():
        present = where.values() if exists or not create else {}
    taken = sorted(name for name, value in values.items() if name in present and present[name] != value)
    if taken and on_conflict == "fail":
        raise Failure(
            "NAME_TAKEN",
            f"{where.environment} has other values for {', '.join(taken)}.",
            "`--on-conflict replace` or `--on-conflict keep`.",
        )
    found = len(values)
    if on_conflict == "keep":
        values = {name: value for name, value in values.items() if name not in taken}
    new = sorted(name for name in values if name not in present)
    changed = taken if on_conflict == "replace" else []
    if not dry_run:
        encoded = {name: value.encode() for name, value in values.items()}
        app.client().environments.change(where.project.vault, where.environment, encoded, create=create)
    findings = told_misfits(where, values)
    if app.json:
        told = {"environment": where.environment, "created": new, "changed": changed, "dryRun": dry_run}
        output.document(told | {"findings": findings})
        return
    verb = "Would import" if dry_run else "Imported"
    same = found - len(new) - len(changed)
    output.say(f"{verb} into {where.environment}: {len(new)} new, {len(changed)} changed, {same} as before.")
    if dry_run:
        for name in (*new, *changed):
            output.say(f"  {'new    ' if name in new else 'changed'}  {name}")


def render(values: Mapping[str, str], form: str, dialect: str | None) -> str:
    """Variables in one of the formats. Failure where it cannot carry a value."""
    if dialect and form != "dotenv":
        raise UsageFailure("--dialect belongs to --format dotenv.")
    try:
        if dialect:
            return writing.dotenv(values, (dialect,))
        return writing.FORMATS[form](values)
    except writing.CannotCarry as refused:
        raise Failure("INVALID_ARGUMENT", f"{refused}.", refused.hint) from None


FORMAT_OPTION = click.option(
    "--format",
    "form",
    type=click.Choice(tuple(writing.FORMATS)),
    default="dotenv",
    show_default=True,
    help="The format.",
)
DIALECT_OPTION = click.option("--dialect", type=DIALECT, help="For dotenv: the only reader there will be.")


@command(
    "print",
    examples=(
        'eval "$(keybaton env print --format shell)"',
        'keybaton env print --format github-actions >> "$GITHUB_ENV"',
        "keybaton env print --format json | jq .",
    ),
)
@env_option
@FORMAT_OPTION
@DIALECT_OPTION
@pass_app
def print_variables(app: App, environment: str | None, form: str, dialect: str | None) -> None:
    """Print every variable with its value, quoted so that it survives exactly."""
    text = render(place(app, environment).values(), "json" if app.json else form, dialect)
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())


@command("export", examples=("keybaton env export .env --env staging", "keybaton env export vars.json --format json"))
@click.argument("path", metavar="FILE", type=click.Path())
@env_option
@FORMAT_OPTION
@DIALECT_OPTION
@click.option("--force", is_flag=True, help="Replace the file when it exists.")
@pass_app
def export(app: App, path: str, environment: str | None, form: str, dialect: str | None, force: bool) -> None:
    """Write the variables to a file that only you can read. The values lie there in the clear."""
    where = place(app, environment)
    values = where.values()
    text = render(values, form, dialect)
    try:
        whole_file.write(Path(path), text.encode(), 0o600, replace=force)
    except FileExistsError:
        raise Failure("FILE_EXISTS", f"{path} exists.", "`--force` replaces it.") from None
    except OSError as error:
        raise Failure("STORAGE_FAILED", f"{path} cannot be written: {error.strerror}.") from None
    if app.json:
        output.document({"environment": where.environment, "path": path, "variables": len(values)})
    else:
        output.say(f"Wrote {output.count(len(values), 'variable')} of {where.environment} to {output.printable(path)}.")
