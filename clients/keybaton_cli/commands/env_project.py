"""`keybaton env init`, `envs`, `vaults`, `check` and `example`: a project as a whole."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import click

from keybaton_cli import output, prompts
from keybaton_cli.commands.env_files import DIALECT, read_dotenv, render
from keybaton_cli.completion import complete_environment
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.project import file, schema
from keybaton_cli.project.context import DEFAULT, place, project_of

GIT_SECONDS = 10
# Of dotenvx and its forerunner: keys and ciphertext of other files, no variables of a program.
_OF_DOTENVX = frozenset({".env.keys", ".env.vault", ".env.me"})
# Files that are made to be committed: they hold names, not values.
_TEMPLATES = re.compile(r"\.env\.(example|sample|template|dist|defaults)(\..*)?|\.env\..*\.(example|sample|template)")


def dotenv_files(folder: Path) -> list[tuple[Path, str]]:
    """The `.env*` files of a folder with the environment that each is for: `.env.staging` is `staging`, `.env` is `default`."""
    found = []
    for path in sorted(folder.glob(".env*")):
        if not path.is_file() or path.name in _OF_DOTENVX or _TEMPLATES.fullmatch(path.name):
            continue
        environment = path.name.removeprefix(".env").removeprefix(".") or DEFAULT
        if path.name == ".env" or (path.name.startswith(".env.") and file.environment_name(environment)):
            found.append((path, environment))
    return found


@command("init", examples=("keybaton env init", "keybaton env init --name shop --no-import"))
@click.option("--name", help="The project's name; the folder's by default.")
@click.option("--no-import", is_flag=True, help="Leave the .env files alone.")
@click.option("--dialect", type=DIALECT, help="Whose reading counts where Node's dotenv and python-dotenv differ.")
@click.option("-y", "--yes", is_flag=True, help="Import every .env file without asking.")
@pass_app
def init(app: App, name: str | None, no_import: bool, dialect: str | None, yes: bool) -> None:
    """Make keybaton.toml here, import the .env files of this folder, and see that git ignores them."""
    folder = Path.cwd()
    target = folder / file.FILE_NAME
    if target.exists():
        raise Failure("FILE_EXISTS", f"{target} exists already.", "`keybaton env list` shows its variables.")
    chosen = [] if no_import else dotenv_files(folder)
    if chosen and not yes and prompts.possible(app):
        labels = [(f"{path.name} as {environment}", (path, environment)) for path, environment in chosen]
        chosen = prompts.Asker().tick("Import which files?", labels)
    # Everything is read before anything is made: a file that cannot be read leaves no half-made project.
    contents = [(path, environment, read_dotenv(app, str(path), dialect)) for path, environment in chosen]
    client = app.client()
    project = client.environments.create_project(name or folder.resolve().name or "project")
    try:
        for _, environment, values in contents:
            encoded = {key: value.encode() for key, value in values.items()}
            client.environments.change(project.id, environment, encoded, create=True)
        file.write(target, project.id, project.name)
    except OSError as error:
        client.environments.remove_project(project.id)
        raise Failure("STORAGE_FAILED", f"{target} cannot be written: {error.strerror}.") from None
    except BaseException:
        client.environments.remove_project(project.id)
        raise
    ignored, tracked = see_that_git_ignores(folder, [path for path, _, _ in contents])
    if app.json:
        imported = [{"file": path.name, "environment": e, "variables": len(values)} for path, e, values in contents]
        output.document(
            {"project": project.id, "name": project.name, "imported": imported, "ignored": ignored, "tracked": tracked}
        )
        return
    output.say(
        f"Made {file.FILE_NAME} for the project {output.printable(project.name)}. Commit it: it holds no secret."
    )
    for path, environment, values in contents:
        output.say(f"Imported {path.name} as {environment}: {output.count(len(values), 'variable')}.")
    if ignored:
        output.say(f"Added to .gitignore: {', '.join(ignored)}.")
    for entry in tracked:
        output.warn(
            f"{entry} is in git already: its values are in the history. `git rm --cached {entry}`, then change them"
        )
    output.note("Next: keybaton run -- your-command")
    if contents:
        files, them = ("file stays", "it") if len(contents) == 1 else ("files stay", "them")
        output.hint(f"The .env {files} here, in the clear: delete {them} when the command runs without.")


def see_that_git_ignores(folder: Path, paths: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Adds to `.gitignore` what git would not ignore; returns the names added and those that git tracks already.

    Does nothing outside a git work tree or without git.
    """
    if not paths or not shutil.which("git") or _git(folder, "rev-parse", "--is-inside-work-tree") != 0:
        return [], []
    tracked = [path.name for path in paths if _git(folder, "ls-files", "--error-unmatch", "--", path.name) == 0]
    missing = [path.name for path in paths if _git(folder, "check-ignore", "-q", "--no-index", "--", path.name) != 0]
    if missing:
        try:
            _add_lines(folder / ".gitignore", [f"/{name}" for name in missing])
        except OSError as error:
            output.warn(
                f".gitignore cannot be written: {error.strerror}. Have git ignore {', '.join(missing)} yourself"
            )
            return [], tracked
    return missing, tracked


def _add_lines(path: Path, lines: Sequence[str]) -> None:
    """At the end of a file, which is made where it is missing."""
    with path.open("ab+") as stream:
        stream.seek(0)
        before = stream.read()
        gap = "\n" if before and not before.endswith(b"\n") else ""
        stream.write((gap + "".join(f"{line}\n" for line in lines)).encode())


def _git(folder: Path, *arguments: str) -> int:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, timeout=GIT_SECONDS, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return -1


@command(
    "envs",
    examples=("keybaton env envs", "keybaton env envs --create staging", "keybaton env envs --remove staging"),
)
@click.option("--create", metavar="NAME", help="Make an empty environment.")
@click.option("--remove", metavar="NAME", help="Remove one with its variables.", shell_complete=complete_environment)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before removing.")
@pass_app
def envs(app: App, create: str | None, remove: str | None, yes: bool) -> None:
    """List the environments of the project, make one or remove one."""
    if create and remove:
        raise UsageFailure("--create and --remove exclude each other.")
    where = place(app, None)
    api = app.client().environments
    if create:
        api.change(where.project.vault, create, {}, create=True)
    if remove:
        remove = where.project.environment(remove)
        if not yes:
            count = output.count(len(where.variables(remove)), "variable")
            prompts.agree(app, yes, f"Remove {remove} with {count}?")
        api.remove_environment(where.project.vault, remove)
    found = where.environments()
    if app.json:
        output.document({"environments": [{"name": e.name, "variables": e.variables} for e in found]})
    else:
        output.table(("NAME", "VARIABLES"), [(e.name, str(e.variables)) for e in found])


@command("vaults", examples=("keybaton env vaults", "keybaton env vaults --remove ID"))
@click.option("--remove", metavar="ID", help="Remove a project with all its variables.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before removing.")
@pass_app
def vaults(app: App, remove: str | None, yes: bool) -> None:
    """List the projects of this device's vault, or remove one."""
    api = app.client().environments
    if remove:
        prompts.agree(app, yes, f"Remove the project {output.printable(remove)} with all its variables?")
        api.remove_project(remove)
    found = api.projects()
    if app.json:
        entries = [
            {
                "id": p.id,
                "name": p.name,
                "environments": [{"name": e.name, "variables": e.variables} for e in p.environments],
            }
            for p in found
        ]
        output.document({"projects": entries})
        return
    rows = [(p.name, p.id, ", ".join(f"{e.name} ({e.variables})" for e in p.environments)) for p in found]
    output.table(("NAME", "ID", "ENVIRONMENTS"), rows)
    if not found:
        output.note("No projects yet. `keybaton env init` makes one.")


@command("check", examples=("keybaton env check", "keybaton env check --env production --json"))
@click.option(
    "--env",
    "environment",
    metavar="NAME",
    help="Only this environment. [default: every one]",
    shell_complete=complete_environment,
)
@pass_app
def check(app: App, environment: str | None) -> int:
    """Hold every environment (or one) against the schema of keybaton.toml; exits with 1 when something does not fit.

    The schema has a table [schema.NAME] for each variable that it is about, with any of these keys:

    \b
    required = true      it must be there and not empty
    format = "url"       or port, email, boolean, integer, hostname, ip
    pattern = "[a-z]+"   a regular expression for the whole value, answered in 0.3 s
    enum = ["a", "b"]    the values that it may have
    default = "a"        what a run gets when it is not set
    secret = false       it may be shown and need not be masked
    client = true        it goes into a browser bundle, so it cannot be secret
    description = "…"    what it is for, for .env.example
    """
    where = place(app, environment)
    names = [where.environment] if environment else [e.name for e in where.environments()]
    findings = {name: schema.check(where.project.rules, where.values(name)).findings for name in names}
    if app.json:
        entries = [
            {"environment": name, "name": finding.name, "problem": finding.problem}
            for name, found in findings.items()
            for finding in found
        ]
        output.document({"environments": names, "findings": entries})
    else:
        for name, found in findings.items():
            for finding in found:
                output.say(f"{name}: {output.printable(str(finding))}")
        if not where.project.rules:
            output.note(f"{output.printable(where.project.path)} has no schema: nothing to hold the variables against.")
        elif not any(findings.values()):
            output.say(f"{output.count(len(names), 'environment')}: everything fits the schema.")
    return 1 if any(findings.values()) else 0


@command("example", examples=("keybaton env example > .env.example",))
@pass_app
def example(app: App) -> None:
    """Print a .env.example: the names of all variables, with descriptions and defaults from the schema and no values."""
    project = project_of()
    where = place(app, None)
    stored = {name for summary in where.environments() for name in where.values(summary.name)}
    names = [*project.rules, *sorted(stored - project.rules.keys())]
    if app.json:
        output.document({"names": names})
        return
    for name in names:
        rule = project.rules.get(name)
        if rule is not None:
            for line in rule.description.splitlines():
                output.say(f"# {output.printable(line)}")
            wants = [
                *(["required"] if rule.required else []),
                *([f"format: {rule.format}"] if rule.format else []),
                *([f"one of: {', '.join(rule.enum)}"] if rule.enum else []),
            ]
            if wants:
                output.say("# " + output.printable("; ".join(wants)))
        default = rule.default if rule is not None and rule.default is not None else ""
        output.say(render({name: default}, "dotenv", None).rstrip("\n"))
