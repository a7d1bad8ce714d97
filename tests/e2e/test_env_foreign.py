"""`.env` files with values that only another program understands, made by that program: nothing of no use is stored unsaid."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.env_project import Project
from keybaton_testing.require import require
from keybaton_testing.unlocked import PassphraseDevice

pytestmark = pytest.mark.e2e

VALUES = {"A": "one", "B": "two  words # no comment", "MULTI": "first\nsecond\n", "EMPTY": "", "DOLLAR": "$HOME"}


@pytest.fixture(scope="module")
def device() -> Iterator[PassphraseDevice]:
    with PassphraseDevice() as made:
        yield made


@pytest.fixture
def project(device: PassphraseDevice, request: pytest.FixtureRequest) -> Project:
    folder = device.root / f"p{abs(hash(request.node.name)) % 10**8}"
    folder.mkdir()
    return Project(device, folder)


@pytest.fixture
def dotenvx(project: Project) -> Project:
    """The project, with `.env.staging` encrypted by dotenvx and its keys beside it."""
    require("dotenvx", "node")
    program = shutil.which("dotenvx")
    assert program is not None
    if str(Path(program).parent) not in project.device.env["PATH"].split(":"):
        project.device.env["PATH"] += f":{Path(program).parent}"
    lines = ("A=one", "B='two  words # no comment'", 'MULTI="first\nsecond\n"', "EMPTY=", "DOLLAR='$HOME'", "")
    project.write(env_staging="\n".join(lines))
    project.run("dotenvx", "encrypt", "-f", ".env.staging")
    assert "encrypted:" in (project.folder / ".env.staging").read_text()
    assert (project.folder / ".env.keys").is_file()
    return project


def hinted(project: Project, told: str) -> None:
    """Does what a hint says."""
    (command,) = (part for part in told.split("hint: ")[1].split("`") if "|" in part)
    assert project.run("sh", "-c", f"set -e; {command} --env staging --create").returncode == 0


def test_what_dotenvx_encrypted_is_refused_and_the_hint_imports_it(dotenvx: Project) -> None:
    """No ciphertext is stored, by no command; every value arrives as it was."""
    refused = dotenvx.keybaton("env", "init", "--yes", ok=False)
    assert refused.returncode == 2
    assert ".env.staging:8: A is encrypted by dotenvx, and so are 4 more." in refused.stderr
    assert not (dotenvx.folder / "keybaton.toml").exists()
    assert "`keybaton env init --no-import`" in refused.stderr
    dotenvx.keybaton("env", "init", "--no-import")
    refused = dotenvx.keybaton("env", "import", ".env.staging", "--env", "staging", "--create", ok=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert dotenvx.keybaton("env", "list", "--env", "staging", ok=False).returncode == 5
    hinted(dotenvx, refused.stderr)
    printed = dotenvx.keybaton("env", "print", "--format", "json", "--env", "staging").stdout
    assert {name: value for name, value in json.loads(printed).items() if name in VALUES} == VALUES


def test_a_key_of_dotenvx_is_no_environment(dotenvx: Project) -> None:
    """`.env.keys` is left where it is; what is not encrypted is taken."""
    dotenvx.run("dotenvx", "decrypt", "-f", ".env.staging")
    made = json.loads(dotenvx.keybaton("env", "init", "--yes", "--json").stdout)
    assert [entry["environment"] for entry in made["imported"]] == ["staging"]
    assert dotenvx.keybaton("env", "get", "B", "--env", "staging").stdout == VALUES["B"] + "\n"


def test_secrets_are_not_made_of_ciphertext(dotenvx: Project) -> None:
    """Each value of dotenvx's is left out and told; the key to encrypt with is no ciphertext."""
    done = dotenvx.keybaton("secrets", "import", ".env.staging", ok=False)
    assert done.returncode == 1
    assert done.stderr.count("is encrypted by dotenvx") == len(VALUES)
    assert "left out: A: " in done.stderr
    assert "encrypted:" not in done.stderr
    stored = dotenvx.keybaton("secrets", "list").stdout.split()
    assert "DOTENV_PUBLIC_KEY_STAGING" in stored
    assert not set(stored) & set(VALUES)


def test_references_to_1password_are_stored_and_told(project: Project) -> None:
    """They are what the file says, and a program may look them up; their names are told, by every command that imports."""
    text = "PLAIN=value\nDB_PASSWORD=op://team/db/password\nTOKEN='op://team/api/token'\n"
    project.write(env=text)
    warning = "references to 1Password (op://…), which `keybaton run` does not look up: DB_PASSWORD, TOKEN."
    assert warning in project.keybaton("env", "init", "--yes").stderr
    assert project.keybaton("env", "get", "TOKEN").stdout == "op://team/api/token\n"
    again = project.keybaton("env", "import", "-", "--json", stdin=text)
    assert warning in again.stderr
    assert json.loads(again.stdout)["changed"] == []
    assert "1Password" not in project.keybaton("env", "import", "-", stdin="PLAIN=see op://x\n").stderr
    taken = project.keybaton("secrets", "import", ".env", "--json")
    told = json.loads(taken.stdout)
    assert [(entry["where"], entry["skipped"]) for entry in told["problems"]] == [
        ("DB_PASSWORD", False),
        ("TOKEN", False),
    ]
    assert told["created"] == 3
