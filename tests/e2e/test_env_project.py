"""An existing project with `.env` files, as a new user comes with it: two commands, git, dialects, and real readers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from dotenv import dotenv_values

from keybaton_testing import github_file, node_dotenv
from keybaton_testing.device import Device
from keybaton_testing.env_project import Project
from keybaton_testing.program import keybaton
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal

pytestmark = pytest.mark.e2e

PASSPHRASE = "a passphrase for the test device"
# Without what one of the two dialects of .env files has no way to write.
HARD = {
    "PLAIN": "value",
    "SPACES": "  two words # no comment  ",
    "MULTI": "first\nsecond\n",
    "QUOTES": 'it\'s "so"',
    "DOLLAR": "$HOME $(id) `id` ${X}",
    "BACK": "a\\b",
    "EMPTY": "",
    "UNICODE": "naïve ✓ 漢",
}


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with Device() as made:
        done = made.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=f"{PASSPHRASE}\n")
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture
def project(device: Device, request: pytest.FixtureRequest) -> Project:
    folder = device.root / f"p{abs(hash(request.node.name)) % 10**8}"
    folder.mkdir()
    return Project(device, folder)


def test_from_dotenv_files_to_a_running_program_in_two_commands(project: Project) -> None:
    """`env init`, `run`: every environment is there, templates are left alone, and the files are needed no more."""
    project.write(
        env="API_KEY=hush # comment\nexport GREETING='hello world'\n",
        env_staging="API_KEY=stage\n",
        env_example="API_KEY=\n",
    )
    made = project.keybaton("env", "init", "--yes")
    assert "hush" not in made.stdout + made.stderr
    ran = project.keybaton("run", "--", "sh", "-c", 'echo "$API_KEY $GREETING"')
    assert ran.stdout == "hush hello world\n"
    assert project.keybaton("run", "--env", "staging", "--", "printenv", "API_KEY").stdout == "stage\n"
    for name in (".env", ".env.staging"):
        (project.folder / name).unlink()
    assert project.keybaton("run", "--", "printenv", "API_KEY").stdout == "hush\n"
    listed = json.loads(project.keybaton("env", "envs", "--json").stdout)
    assert {e["name"]: e["variables"] for e in listed["environments"]} == {"default": 2, "staging": 1}
    assert "hush" not in (project.folder / "keybaton.toml").read_text()


def test_git_ignores_the_files_afterwards_and_tracked_ones_are_named(project: Project) -> None:
    """What git would have taken is added to .gitignore; what it has already is warned about, with what to do."""
    require("git")
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid")
    project.write(env="A=1\n", env_staging="A=2\n", env_local="A=3\n", gitignore="*.local")
    project.run(*git, "init", "-q")
    project.run(*git, "add", ".env")
    project.run(*git, "commit", "-q", "-m", "began")
    made = project.keybaton("env", "init", "--yes")
    assert (project.folder / ".gitignore").read_text() == "*.local\n/.env\n/.env.staging\n"
    assert ".env is in git already" in made.stderr
    assert "git rm --cached .env" in made.stderr
    assert ".env.staging is in git" not in made.stderr
    untracked = project.run(*git, "status", "--porcelain").stdout.split()[1::2]
    assert sorted(untracked) == [".gitignore", "keybaton.toml"]


def test_a_project_within_a_repository_has_a_gitignore_of_its_own(project: Project) -> None:
    """Patterns are for the folder of the project; a rule that un-ignores is seen through."""
    require("git")
    project.run("git", "init", "-q")
    (project.folder / ".gitignore").write_text(".env\n!app/.env\n")
    below = Project(project.device, project.folder / "app")
    below.folder.mkdir()
    below.write(env="A=1\n")
    below.keybaton("env", "init", "--yes")
    assert (below.folder / ".gitignore").read_text() == "/.env\n"
    assert project.run("git", "check-ignore", "-q", "app/.env").returncode == 0


def test_outside_of_git_nothing_is_written(project: Project) -> None:
    """No repository, no .gitignore."""
    project.write(env="A=1\n")
    project.keybaton("env", "init", "--yes")
    assert not (project.folder / ".gitignore").exists()


def test_a_file_that_two_readers_read_differently_is_asked_about(project: Project) -> None:
    """The line is shown, no value is; the choice is the one that counts. Without a terminal the option is named."""
    require("tmux")
    project.write(env="A='one\\ntwo'\nB=\"$A hush\"\nC=`x`\n")
    refused = project.keybaton("env", "init", "--yes", ok=False)
    assert refused.returncode == 2
    assert "--dialect" in refused.stderr
    assert not (project.folder / "keybaton.toml").exists()
    with Terminal(project.device.env) as terminal:
        terminal.wait_for("ready>")
        terminal.line(f"cd {project.folder}")
        terminal.run("keybaton env init --yes")
        screen = terminal.wait_for("Read it as")
        assert ".env:3" in screen
        assert "hush" not in screen
        terminal.press("Down", "Enter")
        assert terminal.exit_code() == 0
    assert project.keybaton("env", "get", "C").stdout == "`x`\n"


@pytest.fixture(scope="module")
def hard(device: Device) -> Project:
    """A project whose values are hard to quote."""
    folder = device.root / "hard"
    folder.mkdir()
    project = Project(device, folder)
    project.keybaton("env", "init")
    for name, value in HARD.items():
        (folder / "value").write_text(value)
        project.keybaton("env", "set", name, "--file", "value")
    return project


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_a_shell_that_evaluates_the_output_has_every_value(hard: Project, shell: str) -> None:
    """Byte for byte, and nothing in a value is run."""
    if shell == "zsh":
        require("shells")
    names = " ".join(HARD)
    show = f'for n in {names}; do eval "v=\\${{$n}}"; printf \'%s=%s\\0\' "$n" "$v"; done'
    script = f'eval "$({" ".join(keybaton())} env print --format shell)"; {show}'
    done = hard.run(shell, "-c", script)
    assert dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry) == HARD


def test_json_is_read_by_a_json_reader(hard: Project) -> None:
    """By Python's, and by Node's where it is installed."""
    assert json.loads(hard.keybaton("env", "print", "--format", "json").stdout) == HARD


def test_a_dotenv_file_for_node_is_read_by_its_reader(hard: Project) -> None:
    """The file that was written for it alone."""
    require("node-dotenv")
    assert node_dotenv.parse_all([hard.keybaton("env", "print", "--dialect", "node").stdout]) == [HARD]


def test_a_dotenv_file_for_both_readers_refuses_what_it_cannot_carry(hard: Project) -> None:
    """The variable is named, its value is not, and nothing is printed; without it both read every value."""
    require("node-dotenv")
    done = hard.keybaton("env", "print", ok=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "DOLLAR" in done.stderr
    assert HARD["DOLLAR"] not in done.stderr
    rest = {name: value for name, value in HARD.items() if name not in ("DOLLAR", "QUOTES")}
    hard.keybaton("env", "copy", "default", "both", "--create", *rest)
    printed = hard.keybaton("env", "print", "--env", "both").stdout
    (hard.folder / "printed").write_text(printed)
    assert dotenv_values(hard.folder / "printed") == rest
    assert node_dotenv.parse_all([printed]) == [rest]


def test_python_dotenv_gives_every_value_to_a_program(hard: Project) -> None:
    """The file that was written for it alone, loaded by the reader's own command in another process."""
    text = hard.keybaton("env", "print", "--dialect", "python").stdout
    (hard.folder / "for-python").write_text(text)
    show = "import dotenv, json; print(json.dumps(dotenv.dotenv_values('for-python')))"
    assert json.loads(hard.run(sys.executable, "-c", show).stdout) == HARD


def test_an_env_file_for_docker_refuses_what_it_cannot_carry(hard: Project) -> None:
    """A line end is named, and nothing is printed; without it each line is the value itself."""
    done = hard.keybaton("env", "print", "--format", "docker", ok=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "MULTI" in done.stderr
    hard.keybaton("env", "copy", "default", "docker", "--create", *(name for name in HARD if name != "MULTI"))
    printed = hard.keybaton("env", "print", "--format", "docker", "--env", "docker").stdout
    expected = {name: value for name, value in HARD.items() if name != "MULTI"}
    assert dict(line.split("=", 1) for line in printed.splitlines()) == expected


def test_a_workflow_of_github_reads_every_value(hard: Project) -> None:
    """By the rules of GitHub's runner, whatever system it runs on."""
    printed = hard.keybaton("env", "print", "--format", "github-actions").stdout
    for windows in (False, True):
        assert github_file.read(printed, windows=windows) == HARD


def test_names_are_completed_in_the_shell(hard: Project) -> None:
    """Of variables in the environment that the line names, and of environments."""
    require("tmux")
    hard.keybaton("env", "set", "ZEBRA_ONLY", "--env", "savanna", "--create", stdin="x")
    script = hard.keybaton("completion", "bash").stdout
    (hard.folder / "rc").write_text(f"PS1='ready> '\nbind 'set bell-style none'\n{script}\n")
    with Terminal(hard.device.env, ("bash", "--noprofile", "--rcfile", str(hard.folder / "rc"))) as terminal:
        terminal.wait_for("ready>")
        terminal.line(f"cd {hard.folder}")
        for typed, completed in (
            ("env get UNI", "env get UNICODE"),
            ("env get --env savanna ZEB", "env get --env savanna ZEBRA_ONLY"),
            ("env list --env sav", "env list --env savanna"),
            ("run --env sav", "run --env savanna"),
            ("env send QUO", "env send QUOTES"),
        ):
            terminal.press("C-u")
            terminal.line("clear")
            terminal.type(f"keybaton {typed}")
            terminal.press("Tab")
            terminal.wait_for(f"keybaton {completed}")
