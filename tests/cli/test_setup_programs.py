"""`keybaton setup`: what is each program's own."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from keybaton_cli.commands import setup
from keybaton_cli.helpers import kubectl
from keybaton_cli.setup.plan import helper
from keybaton_client.problem import ClientError
from keybaton_testing.command_line import CommandLine
from keybaton_testing.fake_agent import SSH_SOCKET, FakeAgent

pytestmark = pytest.mark.usefixtures("home", "agent")


def test_docker_takes_one_registry(run: CommandLine, home: Path) -> None:
    """Beside another store, and out again alone."""
    path = home / ".docker/config.json"
    path.parent.mkdir()
    path.write_text('{"credsStore": "desktop", "credHelpers": {"a": "other"}, "auths": {"b": {"auth": "eDp5"}}}')
    done = run("setup", "docker", "registry.example", "--yes")
    assert done.code == 0
    assert "readable as they are" in done.err
    assert json.loads(path.read_text())["credHelpers"] == {"a": "other", "registry.example": "keybaton"}
    assert run("setup", "docker", "a", "--yes").code == 6
    assert run("setup", "docker", "registry.example", "--remove", "--yes").code == 0
    assert json.loads(path.read_text())["credHelpers"] == {"a": "other"}


def test_aws_profiles(run: CommandLine, home: Path) -> None:
    """One is named with --as, or as the secret; a profile of the credentials file is pointed out; names are quoted."""
    (home / ".aws").mkdir()
    (home / ".aws/config").write_text("[default]\nregion = x\n")
    (home / ".aws/credentials").write_text("[default]\naws_access_key_id = x\n")
    done = run("setup", "aws", "my s3", "--as", "default", "--yes")
    assert "its keys win" in done.err
    assert run("setup", "aws", "my s3", "--yes").code == 0
    assert (home / ".aws/config").read_text() == (
        "[default]\ncredential_process = keybaton-aws-credentials 'my s3'\nregion = x\n\n"
        "[profile \"my s3\"]\ncredential_process = keybaton-aws-credentials 'my s3'\n"
    )
    assert run("setup", "aws", "--remove", "--as", "default", "--yes").code == 0
    assert "[default]\nregion = x\n" in (home / ".aws/config").read_text()
    assert run("setup", "aws", "my s3", "--remove", "--yes").code == 0
    assert (home / ".aws/config").read_text() == "[default]\nregion = x\n"
    assert run("setup", "aws", "x", "--as", "a]b", "--yes").code == 2


def test_a_secret_that_cannot_serve_a_program_is_told(
    run: CommandLine, agent: FakeAgent, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be stored or replaced later, so the line can be written all the same; without an agent nothing is said."""

    def notes(name: str) -> list[str]:
        shown = run("setup", "aws", name, "--dry-run", "--json").document["notes"]
        assert isinstance(shown, list)
        return shown

    assert {*kubectl._TOKEN_FIELDS, "encryption-key"} == set(setup._TYPES["kubectl"])
    assert "There is no secret named mine yet: `keybaton secrets add mine --type s3-credentials`." in notes("mine")
    agent.put_secret("mine", "token", value="x")
    agent.put_secret("mine-too", "s3-credentials", region="r", accessKeyId="a", secretAccessKey="s")
    assert "mine is of the type token; it has to be s3-credentials." in notes("mine")
    assert len(notes("mine-too")) == 1
    monkeypatch.setenv("KEYBATON_SOCKET", str(home / "none.sock"))
    assert len(notes("mine")) == 1


def test_an_aws_profile_is_known_however_it_is_written(run: CommandLine, home: Path) -> None:
    """A second section of the same profile would take the place of the first."""
    path = home / ".aws/config"
    path.parent.mkdir()
    text = "[profile  'photos-s3']\nregion = x\n"
    path.write_text(text)
    assert run("setup", "aws", "photos-s3", "--yes").code == 0
    assert path.read_text() == text.replace("region", "credential_process = keybaton-aws-credentials photos-s3\nregion")
    assert run("setup", "aws", "other", "--as", "photos-s3", "--yes").code == 6
    assert run("setup", "aws", "--remove", "--as", "photos-s3", "--yes").code == 0
    assert path.read_text() == text


MODERN_KUBECTL = """#!/bin/sh
case "$*" in
    *--help) echo "--exec-interactive-mode" ;;
    "config view"*) echo '{"users": null}' ;;
    *) printf '%s\\n' "$@" > "$HOME/told" ;;
esac
"""


@pytest.mark.parametrize(("name", "told"), [("a.b", "a.b"), ("a,b", '"a,b"'), ('a",b', '"a"",b"')])
def test_a_name_with_a_comma_is_one_argument_for_kubectl(run: CommandLine, home: Path, name: str, told: str) -> None:
    """kubectl splits what it is given as an argument of the plugin."""
    for program, script in (("kubectl", MODERN_KUBECTL), ("keybaton-kubectl-credentials", "#!/bin/sh\n")):
        (home / "bin" / program).write_text(script)
        (home / "bin" / program).chmod(0o755)
    assert run("setup", "kubectl", name, "--as", "u", "--yes").code == 0
    assert f"--exec-arg={told}\n" in (home / "told").read_text()


OLD_KUBECTL = """#!/bin/sh
echo "$*" >> "$HOME/told"
case "$*" in
    *--help) echo "of a version that knows no mode" ;;
    "config view"*) echo '{"users": null}' ;;
    *set-credentials*) echo "it is read-only" >&2; exit 1 ;;
esac
"""


def test_a_user_that_an_old_kubectl_could_not_finish_does_not_stay(run: CommandLine, home: Path) -> None:
    """What was begun is taken back, and what kubectl said is told."""
    for name, script in (("kubectl", OLD_KUBECTL), ("keybaton-kubectl-credentials", "#!/bin/sh\n")):
        (home / "bin" / name).write_text(script)
        (home / "bin" / name).chmod(0o755)
    done = run("setup", "kubectl", "cluster", "--yes")
    assert done.code != 0
    assert "it is read-only" in done.err
    told = [line for line in (home / "told").read_text().splitlines() if "view" not in line and "--help" not in line]
    assert told == [
        "config set users.cluster.username cluster",
        "config set-credentials cluster --exec-command=keybaton-kubectl-credentials --exec-arg=cluster --username= "
        "--exec-api-version=client.authentication.k8s.io/v1beta1",
        "config delete-user cluster",
    ]


def test_ssh_turns_a_setting_that_is_off_on_and_serves_at_once(run: CommandLine, home: Path) -> None:
    """The setting is changed in its place."""
    path = home / "config/keybaton/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("idle_lock_minutes = 5\nssh_agent = false # for now\n")
    assert run("setup", "ssh", "--yes").code == 0
    assert path.read_text() == "idle_lock_minutes = 5\nssh_agent = true\n"
    assert run("setup", "ssh", "--remove", "--yes").code == 0
    assert path.read_text() == "idle_lock_minutes = 5\n"


def test_what_ssh_would_expand_in_a_path_is_doubled(
    run: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A per cent sign begins a token of ssh_config(5)."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/100%u")
    assert run("setup", "ssh", "--yes").code == 0
    assert '    IdentityAgent "/run/100%%u/keybaton/ssh.sock"\n' in (home / ".ssh/config").read_text()


def test_a_setting_in_a_file_with_crlf_is_found(run: CommandLine, home: Path) -> None:
    """Twice the same setting would keep the agent from starting."""
    path = home / "config/keybaton/config.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"ssh_agent = false\r\nidle_lock_minutes = 5\r\n")
    assert run("setup", "ssh", "--yes").code == 0
    assert path.read_text().count("ssh_agent") == 1
    assert tomllib.loads(path.read_text()) == {"ssh_agent": True, "idle_lock_minutes": 5}


def test_lines_around_the_block_of_ssh_stay_apart(run: CommandLine, home: Path) -> None:
    """Also where the person has taken the empty line before it away, or written more behind it."""
    path = home / ".ssh/config"
    path.parent.mkdir()
    path.write_text("Host a\n    User b\n")
    assert run("setup", "ssh", "--yes").code == 0
    path.write_text(path.read_text().replace("\n\n", "\n") + "Host c\n    User d\n")
    assert run("setup", "ssh", "--remove", "--yes").code == 0
    assert path.read_text() == "Host a\n    User b\nHost c\n    User d\n"


def test_ssh_agent_prints_what_a_shell_evaluates(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the person's shell, or as JSON."""
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert run("ssh-agent").out == f"SSH_AUTH_SOCK={SSH_SOCKET}; export SSH_AUTH_SOCK;\n"
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run("ssh-agent").out == f"set -gx SSH_AUTH_SOCK {SSH_SOCKET};\n"
    assert run("ssh-agent", "--json").document == {"socket": SSH_SOCKET}


def test_git_goes_by_whole_path_where_path_does_not_have_the_helper(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one beside this program, quoted for the shell that git runs it with; else an error."""
    shutil.rmtree(home / "bin")
    place = tmp_path / "a venv" / "bin"
    place.mkdir(parents=True)
    monkeypatch.setattr("sys.executable", str(place / "python3"))
    monkeypatch.setattr("sys.argv", [str(place / "keybaton")])
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(place))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClientError):
        helper("git-credential-keybaton")
    (place / "git-credential-keybaton").write_text("#!/bin/sh\n")
    (place / "git-credential-keybaton").chmod(0o755)
    assert helper("git-credential-keybaton") == str(place / "git-credential-keybaton")
