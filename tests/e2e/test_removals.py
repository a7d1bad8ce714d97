"""Every command that takes something away: without a terminal it is refused unless --yes, and nothing is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest

from keybaton_cli.cli import cli
from keybaton_testing.env_project import Project
from keybaton_testing.unlocked import PassphraseDevice

pytestmark = pytest.mark.e2e

# The command, and one that shows what it takes away.
REMOVALS: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("vault", "compact"): (("--keep", "0"), ("history", "edited")),
    ("secrets", "remove"): (("token",), ("secrets", "list")),
    ("dbs", "remove"): (("photos",), ("dbs", "list")),
    ("env", "remove"): (("A",), ("env", "list")),
    ("env", "envs", "--remove"): (("staging",), ("env", "envs")),
    ("env", "vaults", "--remove"): (("PROJECT",), ("env", "vaults")),
    ("setup", "--remove"): (("keyring",), ("setup",)),
}
# Takes the agent's unit from login and leaves what is anybody's: the vault.
NOT_ASKED = {("service", "uninstall")}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A project with a secret, a database, two environments and a program that is set up."""
    with PassphraseDevice() as device:
        made = Project(device, device.root / "project")
        made.folder.mkdir()
        made.write(env="A=one\n", env_staging="A=stage\n")
        made.keybaton("env", "init", "--yes")
        made.keybaton("secrets", "add", "token", "--type", "token", stdin="x")
        made.keybaton("secrets", "add", "edited", "--type", "token", stdin="x")
        made.keybaton("secrets", "edit", "edited", stdin="y")
        made.keybaton("dbs", "add", "photos", "--path", "/p")
        made.keybaton("setup", "keyring", "--yes")
        yield made


def test_every_command_that_removes_is_in_the_table() -> None:
    """By its name or its option; the program's own list of commands is read."""
    found = set()
    todo: list[tuple[tuple[str, ...], click.Command]] = [((), cli)]
    while todo:
        path, command = todo.pop()
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                todo.append(((*path, name), below))
        elif path[-1] in {"remove", "uninstall", "delete", "clear", "prune", "forget", "compact"}:
            found.add(path)
        elif any("--remove" in parameter.opts for parameter in command.params):
            found.add((*path, "--remove"))
    assert found == set(REMOVALS) | NOT_ASKED


@pytest.mark.parametrize("command", REMOVALS, ids=" ".join)
def test_it_is_refused_without_a_terminal_and_done_with_yes(project: Project, command: tuple[str, ...]) -> None:
    """Exit code 2 and a hint, in both forms; nothing has changed."""
    arguments, look = REMOVALS[command]
    id_ = (project.folder / "keybaton.toml").read_text().split('vault = "')[1][:32]
    arguments = tuple(id_ if argument == "PROJECT" else argument for argument in arguments)
    before = project.keybaton(*look).stdout
    refused = project.keybaton(*command, *arguments, ok=False)
    assert refused.returncode == 2
    assert "hint: `--yes` " in refused.stderr
    told = project.keybaton(*command, *arguments, "--json", ok=False)
    assert (told.returncode, json.loads(told.stdout)["error"]["reason"]) == (2, "USAGE")
    assert project.keybaton(*look).stdout == before
    json.loads(project.keybaton(*command, *arguments, "--yes", "--json").stdout)
    assert project.keybaton(*look).stdout != before
