"""`keybaton env set`, `get`, `list`, `remove`, `copy` and `diff`: the variables of an environment as they are now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from keybaton_cli import missing, output, prompts
from keybaton_cli.completion import complete_environment, complete_variable
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import DESCRIPTOR, App, command, pass_app
from keybaton_cli.project.context import Place, place
from keybaton_cli.project.file import variable_name
from keybaton_cli.project.schema import misfits
from keybaton_cli.values import from_stdin, read_descriptor, stdin_is_piped, without_newline
from keybaton_client.problem import ClientError
from keybaton_hot.executing import hijacks

_FILE_MAX_BYTES = 256 * 1024 + 1


def env_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--env NAME`."""
    return click.option(
        "--env",
        "environment",
        metavar="NAME",
        help="The environment; KEYBATON_ENV, else `default`.",
        shell_complete=complete_environment,
    )(function)


def create_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--create`."""
    return click.option("--create", is_flag=True, help="Make the environment when it does not exist.")(function)


@contextmanager
def creatable() -> Iterator[None]:
    """What is said of an environment that is not there names `--create` as well."""
    try:
        yield
    except ClientError as error:
        if error.reason != "ENVIRONMENT_NOT_FOUND":
            raise
        hint = "`--create` makes it; `keybaton env envs` lists those that are there."
        raise Failure(error.reason, error.message, hint, dict(error.data)) from None


def told_misfits(where: Place, values: Mapping[str, str]) -> list[dict[str, str]]:
    """Warns of stored variables that `run` refuses. Returns those that the project's schema does for a JSON document."""
    for name in values:
        if hijacks(name.encode()):
            output.warn(f"{name} can make programs run other code: `keybaton run` wants `--allow {name}` for it")
    findings = misfits(where.project.rules, values)
    for finding in findings:
        output.warn(
            f"{output.printable(str(finding))}: `keybaton run` does not start with {where.environment} until it fits"
        )
    return [{"name": finding.name, "problem": finding.problem} for finding in findings]


@command(
    "set",
    examples=(
        "keybaton env set DATABASE_URL                       # asks, hidden",
        "keybaton env set TLS_KEY --file key.pem --env staging",
        "pass show db | keybaton env set DB_PASSWORD",
    ),
)
@click.argument("names", metavar="NAME…", nargs=-1, required=True, shell_complete=complete_variable)
@env_option
@create_option
@click.option("--file", "path", type=click.Path(dir_okay=False), help="Take the value from a file, byte for byte.")
@click.option("--value-fd", type=DESCRIPTOR, metavar="N", help="Take the value from a file descriptor.")
@pass_app
def set_variables(
    app: App, names: Sequence[str], environment: str | None, create: bool, path: str | None, value_fd: int | None
) -> None:
    """Set variables.

    A value comes from a prompt, standard input, a file or a descriptor; NAME=VALUE works with a warning. What does not fit
    the schema of keybaton.toml is stored, and told.
    """
    for name in names:
        if not variable_name(name.partition("=")[0]):
            raise UsageFailure(
                f"{name.partition('=')[0] or 'An empty text'} is no name of a variable.",
                "Names are letters, digits and underscores, and begin with no digit.",
            )
    where = place(app, environment)
    assigned = dict(name.split("=", 1) for name in names if "=" in name)
    asked = [name for name in names if "=" not in name]
    if assigned:
        output.warn(
            "values on the command line can be read by other programs of this user; a prompt keeps them private"
        )
    values = {name: value.encode(errors="surrogateescape") for name, value in assigned.items()}
    sources = (path is not None) + (value_fd is not None)
    if sources > 1 or (sources and len(asked) != 1):
        raise UsageFailure("--file and --value-fd give the value of exactly one NAME.")
    if path is not None:
        values[asked[0]] = _read_file(path)
    elif value_fd is not None:
        values[asked[0]] = without_newline(read_descriptor(value_fd, "--value-fd"))
    elif len(asked) == 1 and stdin_is_piped():
        values[asked[0]] = from_stdin()
    elif asked:
        prompts.demand(app, "The value", "`--value-fd N`, `--file PATH` or standard input gives it.")
        if not create:
            with creatable():
                where.variables()  # before anything is typed for an environment that is not there
        asker = prompts.Asker()
        for name in asked:
            values[name] = asker.hidden(f"{output.printable(name)}:").encode()
    with creatable():
        done = app.client().environments.change(where.project.vault, where.environment, values, create=create)
    findings = told_misfits(where, {name: value.decode() for name, value in values.items()})
    if app.json:
        output.document(
            {
                "environment": where.environment,
                "created": done.created,
                "changed": done.changed,
                "unchanged": done.unchanged,
                "findings": findings,
            }
        )
        return
    parts = [(done.created, "new"), (done.changed, "changed"), (done.unchanged, "as it was")]
    told = ", ".join(f"{number} {word}" for number, word in parts if number)
    output.say(f"Set in {where.environment}: {told}.")


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - a path of the user's as it is
            return stream.read(_FILE_MAX_BYTES)
    except OSError as error:
        raise Failure("FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}.") from None


@command("get", examples=("keybaton env get DATABASE_URL", "keybaton env get DATABASE_URL --env production"))
@click.argument("name", shell_complete=complete_variable)
@env_option
@pass_app
def get(app: App, name: str, environment: str | None) -> None:
    """Print the value of one variable, and a newline."""
    where = place(app, environment)
    values = {variable.name: variable for variable in where.variables()}
    if name not in values:
        raise unknown(name, where.environment, values)
    if app.json:
        found = values[name]
        output.document(
            {"name": name, "environment": where.environment, "value": found.value.decode(), "version": found.version}
        )
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(values[name].value + b"\n")


def unknown(name: str, environment: str, names: Mapping[str, object]) -> Failure:
    """There is no such variable; the nearest name is told."""
    text = f"There is no variable {name} in {environment}{missing.nearest(name, names)}."
    return Failure("VARIABLE_NOT_FOUND", text, f"`keybaton env list --env {environment}` shows the names.")


@command("list", examples=("keybaton env list", "keybaton env list --env staging --reveal"))
@env_option
@click.option("--reveal", is_flag=True, help="Show the values.")
@pass_app
def list_variables(app: App, environment: str | None, reveal: bool) -> None:
    """List the variables of an environment, their values masked."""
    where = place(app, environment)
    found = where.variables()
    if app.json:
        entries = []
        for variable in found:
            entry = {
                "name": variable.name,
                "version": variable.version,
                "updatedAt": output.when_json(variable.updated_at_ms),
            }
            entries.append({**entry, "value": variable.value.decode()} if reveal else entry)
        output.document({"environment": where.environment, "variables": entries})
        return
    if not found:
        output.note(f"No variables in {where.environment} yet.")
        return
    shown = [
        (
            variable.name,
            _one_line(variable.value.decode()) if reveal else output.MASK,
            output.when(variable.updated_at_ms),
        )
        for variable in found
    ]
    output.table(("NAME", "VALUE", "CHANGED"), shown)


def _one_line(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


@command("remove", examples=("keybaton env remove OLD_TOKEN", "keybaton env remove A B --env staging --yes"))
@click.argument("names", metavar="NAME…", nargs=-1, required=True, shell_complete=complete_variable)
@env_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_app
def remove(app: App, names: Sequence[str], environment: str | None, yes: bool) -> None:
    """Remove variables; `keybaton env undo NAME` brings one back. Removing what is not there is an error (exit 5)."""
    where = place(app, environment)
    if not yes and set(names) <= {
        variable.name for variable in where.variables()
    }:  # else the agent says what is not there
        shown = ", ".join(output.printable(name) for name in names)
        prompts.agree(app, yes, f"Remove {shown} from {where.environment}?")
    done = app.client().environments.change(where.project.vault, where.environment, {}, list(dict.fromkeys(names)))
    if app.json:
        output.document({"environment": where.environment, "removed": done.removed})
    else:
        output.say(f"Removed {output.count(done.removed, 'variable')} from {where.environment}.")
        output.hint(
            f"`keybaton env undo {names[0]} --env {where.environment}` brings {'one' if names[1:] else 'it'} back."
        )


@command(
    "copy",
    examples=("keybaton env copy default staging --create", "keybaton env copy staging production API_URL --replace"),
)
@click.argument("source", shell_complete=complete_environment)
@click.argument("target", shell_complete=complete_environment)
@click.argument("names", metavar="[NAME…]", nargs=-1)
@create_option
@click.option("--replace", is_flag=True, help="Replace variables that the target has with other values.")
@pass_app
def copy(app: App, source: str, target: str, names: Sequence[str], create: bool, replace: bool) -> None:
    """Copy all or the named variables from one environment to another."""
    where = place(app, target)
    there = where.values(where.project.environment(source))
    for name in names:
        if name not in there:
            raise unknown(name, where.project.environment(source), there)
    chosen = {name: there[name] for name in (names or there)}
    if not replace and not (create and where.environment not in {e.name for e in where.environments()}):
        with creatable():
            present = where.values()
        taken = sorted(name for name, value in chosen.items() if name in present and present[name] != value)
        if taken:
            raise Failure(
                "NAME_TAKEN",
                f"{where.environment} has other values for {', '.join(taken)}.",
                "`--replace` replaces them.",
            )
    values = {name: value.encode() for name, value in chosen.items()}
    with creatable():
        done = app.client().environments.change(where.project.vault, where.environment, values, create=create)
    findings = told_misfits(where, chosen)
    if app.json:
        told = {"environment": where.environment, "created": done.created, "changed": done.changed}
        output.document(told | {"findings": findings})
    else:
        output.say(f"Copied to {where.environment}: {done.created} new, {done.changed} changed.")


@command("diff", examples=("keybaton env diff staging production", "keybaton env diff staging production --reveal"))
@click.argument("one", shell_complete=complete_environment)
@click.argument("other", shell_complete=complete_environment)
@click.option("--reveal", is_flag=True, help="Show the values.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when they differ.")
@pass_app
def diff(app: App, one: str, other: str, reveal: bool, exit_code: bool) -> int:
    """Compare two environments: what only one has, and what differs."""
    where = place(app, one)
    left, right = where.values(), where.values(where.project.environment(other))
    rows = []
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) == right.get(name):
            continue
        sign = "<" if name not in right else ">" if name not in left else "~"
        rows.append((sign, name, left.get(name), right.get(name)))
    if app.json:
        words = {"<": "only-first", ">": "only-second", "~": "differs"}
        entries = []
        for sign, name, a, b in rows:
            entry: dict[str, str | None] = {"name": name, "change": words[sign]}
            entries.append({**entry, "first": a, "second": b} if reveal else entry)
        output.document({"first": one, "second": other, "differences": entries})
    elif rows:
        shown = [(sign, name, _cell(a, reveal), _cell(b, reveal)) for sign, name, a, b in rows]
        output.table(("", "NAME", one.upper(), other.upper()), shown)
    else:
        output.note("They are the same.")
    return 1 if rows and exit_code else 0


def _cell(value: str | None, reveal: bool) -> str:
    if value is None:
        return "-"
    return _one_line(value) if reveal else output.MASK
