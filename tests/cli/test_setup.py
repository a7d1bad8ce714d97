"""`keybaton setup`: what it writes into other programs' configuration, what it leaves alone, and the way back."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_cli.setup import PROGRAMS, files, ini
from keybaton_cli.setup.plan import helper
from keybaton_client.problem import ClientError
from keybaton_testing.command_line import CommandLine
from keybaton_testing.fake_agent import SSH_SOCKET, FakeAgent

FILES = ("docker", "aws", "ssh", "keyring")  # those whose files Keybaton writes itself
ARGUMENTS = {"git": (), "docker": (), "aws": ("photos-s3",), "kubectl": ("cluster",), "ssh": (), "keyring": ()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, with our helpers on PATH and no variable that names another place."""
    for name in ("DOCKER_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("git-credential-keybaton", "docker-credential-keybaton", "keybaton-aws-credentials"):
        (bin_folder / name).write_text("#!/bin/sh\n")
        (bin_folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    return tmp_path


@pytest.fixture
def keybaton(home: Path, agent: FakeAgent, run: CommandLine) -> CommandLine:
    """Runs one command line there."""
    return run


def written(home: Path) -> dict[str, str]:
    """Every file below the home folder, by its path."""
    found = (path for path in home.rglob("*") if path.is_file() and "bin" not in path.parts)
    return {str(path.relative_to(home)): path.read_text() for path in found}


EXPECTED = {
    "docker": {".docker/config.json": '{\n\t"credsStore": "keybaton"\n}\n'},
    "aws": {".aws/config": "[profile photos-s3]\ncredential_process = keybaton-aws-credentials photos-s3\n"},
    "ssh": {
        "config/keybaton/config.toml": "ssh_agent = true\n",
        ".ssh/config": "# keybaton setup ssh: begin\nMatch all\n    IdentityAgent "
        '"/run/user/1000/keybaton/ssh.sock"\n# keybaton setup ssh: end\n',
    },
    "keyring": {
        "config/python_keyring/keyringrc.cfg": "[backend]\n"
        "default-keyring = keybaton_cli.helpers.keyring_backend.KeybatonKeyring\n"
    },
}


@pytest.mark.parametrize("program", FILES)
def test_it_shows_first_writes_when_told_and_takes_it_back(keybaton: CommandLine, home: Path, program: str) -> None:
    """Without a terminal only --yes writes; twice is as once; files are private; nothing is left of it in the end."""
    arguments = ("setup", program, *ARGUMENTS[program])
    refused = keybaton(*arguments, "--json")
    assert (refused.code, refused.document["error"]["hint"]) == (2, "`--yes` says so.")
    for option in ((), ("--dry-run",), ("--dry-run", "--yes"), ("--dry-run", "--json")):
        done = keybaton(*arguments, *option)
        assert done.code == (0 if option else 2)
        assert written(home) == {}
        assert all(
            line.strip() in done.out.replace('\\"', '"')
            for line in next(iter(EXPECTED[program].values())).split("\n")
            if "{" not in line and "}" not in line
        )
    done = keybaton(*arguments, "--yes")
    assert (done.code, done.out.splitlines()[-1]) == (0, "Done.")
    assert written(home) == EXPECTED[program]
    for path in written(home):
        assert stat.S_IMODE((home / path).stat().st_mode) == 0o600
    assert keybaton(*arguments, "--yes").out == "It is set up already.\n"
    assert written(home) == EXPECTED[program]
    states = {row["program"]: row["state"] for row in keybaton("setup", "--json").document["programs"]}
    assert [name for name, state in states.items() if state == "on"] == [program]
    assert keybaton("setup", program, "--remove").code == 2
    assert written(home) == EXPECTED[program]
    done = keybaton("setup", program, "--remove", "--yes", "--json")
    assert done.document["applied"] is True
    assert "".join(written(home).values()).strip() in ("", "{}")
    assert "nothing of it" in keybaton("setup", program, "--remove", "--yes").out


STRANGERS = {
    "docker": (".docker/config.json", '{"auths": {"r": {}}, "HttpHeaders": {"é": "x"}}'),
    "aws": (".aws/config", "# mine\n[default]\nregion=eu-west-1 ; here\n\n[profile  other]\r\nx = y"),
    "ssh": (".ssh/config", "Host a\n    IdentityAgent /mine\n# no newline at the end"),
    "keyring": ("config/python_keyring/keyringrc.cfg", "[backend]\n# none\n\n[other]\nkeyring-path = /x\n"),
}


@pytest.mark.parametrize("program", FILES)
def test_what_somebody_else_has_written_comes_through_unharmed(keybaton: CommandLine, home: Path, program: str) -> None:
    """Kept there and back, mode included, and through a symbolic link."""
    name, text = STRANGERS[program]
    real = home / "real"
    real.write_bytes(text.encode())
    real.chmod(0o640)
    (home / name).parent.mkdir(parents=True)
    (home / name).symlink_to(real)
    assert keybaton("setup", program, *ARGUMENTS[program], "--yes").code == 0
    assert real.read_text() != text
    if program == "docker":
        assert json.loads(real.read_text()) == {**json.loads(text), "credsStore": "keybaton"}
        assert "é" in real.read_text()
    elif program != "keyring":
        assert real.read_bytes().startswith(text.encode())
    assert keybaton("setup", program, "--remove", "--yes").code == 0
    if program == "docker":
        assert json.loads(real.read_text()) == json.loads(text)
    else:
        assert real.read_bytes().decode().rstrip("\n") == text.rstrip("\n")
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert (home / name).is_symlink()


CONFLICTS = {
    "docker": '{"credsStore": "desktop"}',
    "aws": "[profile photos-s3]\ncredential_process = other-tool\n",
    "keyring": "[backend]\ndefault-keyring = keyring.backends.null.Keyring\n",
}


@pytest.mark.parametrize("program", CONFLICTS)
def test_somebody_elses_choice_is_never_replaced(keybaton: CommandLine, home: Path, program: str) -> None:
    """Exit code 6, what stands in the way, what else can be done; and it is not ours to take out."""
    path = home / STRANGERS[program][0]
    path.parent.mkdir(parents=True)
    path.write_text(CONFLICTS[program])
    done = keybaton("setup", program, *ARGUMENTS[program], "--yes")
    assert done.code == 6
    assert "left as it is" in done.err
    assert "hint:" in done.err
    assert "nothing of it" in keybaton("setup", program, "--remove", "--yes").out
    assert path.read_text() == CONFLICTS[program]


@pytest.mark.parametrize(
    ("program", "content", "said"),
    [
        ("docker", b"{", "line 1: expected JSON"),
        ("docker", b"[]", "expected a JSON object"),
        ("docker", b"\xff", "not UTF-8"),
        ("docker", b" " * (files.FILE_MAX_BYTES + 1), "larger than"),
    ],
)
def test_a_file_that_cannot_be_read_is_left_as_it_is(
    keybaton: CommandLine, home: Path, program: str, content: bytes, said: str
) -> None:
    """It is named, with what was expected."""
    path = home / STRANGERS[program][0]
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    done = keybaton("setup", program, "--yes")
    assert done.code == 1
    assert said in done.err
    assert path.read_bytes() == content


def test_docker_takes_one_registry(keybaton: CommandLine, home: Path) -> None:
    """Beside another store, and out again alone."""
    path = home / ".docker/config.json"
    path.parent.mkdir()
    path.write_text('{"credsStore": "desktop", "credHelpers": {"a": "other"}, "auths": {"b": {"auth": "eDp5"}}}')
    done = keybaton("setup", "docker", "registry.example", "--yes")
    assert done.code == 0
    assert "readable as they are" in done.err
    assert json.loads(path.read_text())["credHelpers"] == {"a": "other", "registry.example": "keybaton"}
    assert keybaton("setup", "docker", "a", "--yes").code == 6
    assert keybaton("setup", "docker", "registry.example", "--remove", "--yes").code == 0
    assert json.loads(path.read_text())["credHelpers"] == {"a": "other"}


def test_aws_profiles(keybaton: CommandLine, home: Path) -> None:
    """One is named with --as, or as the secret; a profile of the credentials file is pointed out; names are quoted."""
    (home / ".aws").mkdir()
    (home / ".aws/config").write_text("[default]\nregion = x\n")
    (home / ".aws/credentials").write_text("[default]\naws_access_key_id = x\n")
    done = keybaton("setup", "aws", "my s3", "--as", "default", "--yes")
    assert "its keys win" in done.err
    assert keybaton("setup", "aws", "my s3", "--yes").code == 0
    assert (home / ".aws/config").read_text() == (
        "[default]\ncredential_process = keybaton-aws-credentials 'my s3'\nregion = x\n\n"
        "[profile \"my s3\"]\ncredential_process = keybaton-aws-credentials 'my s3'\n"
    )
    assert keybaton("setup", "aws", "--remove", "--as", "default", "--yes").code == 0
    assert "[default]\nregion = x\n" in (home / ".aws/config").read_text()
    assert keybaton("setup", "aws", "my s3", "--remove", "--yes").code == 0
    assert (home / ".aws/config").read_text() == "[default]\nregion = x\n"
    assert keybaton("setup", "aws", "x", "--as", "a]b", "--yes").code == 2


def test_an_aws_profile_is_known_however_it_is_written(keybaton: CommandLine, home: Path) -> None:
    """A second section of the same profile would take the place of the first."""
    path = home / ".aws/config"
    path.parent.mkdir()
    text = "[profile  'photos-s3']\nregion = x\n"
    path.write_text(text)
    assert keybaton("setup", "aws", "photos-s3", "--yes").code == 0
    assert path.read_text() == text.replace("region", "credential_process = keybaton-aws-credentials photos-s3\nregion")
    assert keybaton("setup", "aws", "other", "--as", "photos-s3", "--yes").code == 6
    assert keybaton("setup", "aws", "--remove", "--as", "photos-s3", "--yes").code == 0
    assert path.read_text() == text


@pytest.mark.parametrize(("name", "told"), [("a.b", "a.b"), ("a,b", '"a,b"'), ('a",b', '"a"",b"')])
def test_a_name_with_a_comma_is_one_argument_for_kubectl(
    keybaton: CommandLine, home: Path, name: str, told: str
) -> None:
    """kubectl splits what it is given as an argument of the plugin."""
    for program, script in (("kubectl", MODERN_KUBECTL), ("keybaton-kubectl-credentials", "#!/bin/sh\n")):
        (home / "bin" / program).write_text(script)
        (home / "bin" / program).chmod(0o755)
    assert keybaton("setup", "kubectl", name, "--as", "u", "--yes").code == 0
    assert f"--exec-arg={told}\n" in (home / "told").read_text()


MODERN_KUBECTL = """#!/bin/sh
case "$*" in
    *--help) echo "--exec-interactive-mode" ;;
    "config view"*) echo '{"users": null}' ;;
    *) printf '%s\\n' "$@" > "$HOME/told" ;;
esac
"""


def test_ssh_turns_a_setting_that_is_off_on_and_serves_at_once(keybaton: CommandLine, home: Path) -> None:
    """The setting is changed in its place."""
    path = home / "config/keybaton/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("idle_lock_minutes = 5\nssh_agent = false # for now\n")
    assert keybaton("setup", "ssh", "--yes").code == 0
    assert path.read_text() == "idle_lock_minutes = 5\nssh_agent = true\n"
    assert keybaton("setup", "ssh", "--remove", "--yes").code == 0
    assert path.read_text() == "idle_lock_minutes = 5\n"


def test_what_ssh_would_expand_in_a_path_is_doubled(
    keybaton: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A per cent sign begins a token of ssh_config(5)."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/100%u")
    assert keybaton("setup", "ssh", "--yes").code == 0
    assert '    IdentityAgent "/run/100%%u/keybaton/ssh.sock"\n' in (home / ".ssh/config").read_text()


def test_a_setting_in_a_file_with_crlf_is_found(keybaton: CommandLine, home: Path) -> None:
    """Twice the same setting would keep the agent from starting."""
    path = home / "config/keybaton/config.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"ssh_agent = false\r\nidle_lock_minutes = 5\r\n")
    assert keybaton("setup", "ssh", "--yes").code == 0
    assert path.read_text().count("ssh_agent") == 1
    assert tomllib.loads(path.read_text()) == {"ssh_agent": True, "idle_lock_minutes": 5}


def test_lines_around_the_block_of_ssh_stay_apart(keybaton: CommandLine, home: Path) -> None:
    """Also where the person has taken the empty line before it away, or written more behind it."""
    path = home / ".ssh/config"
    path.parent.mkdir()
    path.write_text("Host a\n    User b\n")
    assert keybaton("setup", "ssh", "--yes").code == 0
    path.write_text(path.read_text().replace("\n\n", "\n") + "Host c\n    User d\n")
    assert keybaton("setup", "ssh", "--remove", "--yes").code == 0
    assert path.read_text() == "Host a\n    User b\nHost c\n    User d\n"


def test_ssh_agent_prints_what_a_shell_evaluates(keybaton: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the person's shell, or as JSON."""
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert keybaton("ssh-agent").out == f"SSH_AUTH_SOCK={SSH_SOCKET}; export SSH_AUTH_SOCK;\n"
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert keybaton("ssh-agent").out == f"set -gx SSH_AUTH_SOCK {SSH_SOCKET};\n"
    assert keybaton("ssh-agent", "--json").document == {"socket": SSH_SOCKET}


@pytest.mark.parametrize(
    "arguments",
    [
        ("svn",),
        ("--yes",),
        ("--remove",),
        ("git", "name"),
        ("docker", "--as", "x"),
        ("aws", "--yes"),
        ("kubectl", "--yes"),
    ],
)
def test_a_command_line_that_says_too_little_or_too_much(keybaton: CommandLine, arguments: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert keybaton("setup", *arguments).code == 2


def test_programs_that_are_not_installed_say_so(
    keybaton: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the list, and where they would have to do the writing."""
    monkeypatch.setenv("PATH", str(home / "bin"))
    states = {row["program"]: row["state"] for row in keybaton("setup", "--json").document["programs"]}
    assert states == dict.fromkeys(PROGRAMS, "not installed")
    for arguments in (("git",), ("git", "--remove"), ("kubectl", "cluster")):
        assert keybaton("setup", *arguments, "--yes").code == 5


OLD_KUBECTL = """#!/bin/sh
echo "$*" >> "$HOME/told"
case "$*" in
    *--help) echo "of a version that knows no mode" ;;
    "config view"*) echo '{"users": null}' ;;
    *set-credentials*) echo "it is read-only" >&2; exit 1 ;;
esac
"""


def test_a_user_that_an_old_kubectl_could_not_finish_does_not_stay(keybaton: CommandLine, home: Path) -> None:
    """What was begun is taken back, and what kubectl said is told."""
    for name, script in (("kubectl", OLD_KUBECTL), ("keybaton-kubectl-credentials", "#!/bin/sh\n")):
        (home / "bin" / name).write_text(script)
        (home / "bin" / name).chmod(0o755)
    done = keybaton("setup", "kubectl", "cluster", "--yes")
    assert done.code != 0
    assert "it is read-only" in done.err
    told = [line for line in (home / "told").read_text().splitlines() if "view" not in line and "--help" not in line]
    assert told == [
        "config set users.cluster.username cluster",
        "config set-credentials cluster --exec-command=keybaton-kubectl-credentials --exec-arg=cluster --username= "
        "--exec-api-version=client.authentication.k8s.io/v1beta1",
        "config delete-user cluster",
    ]


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


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Nor is anything left beside it when writing fails."""
    path = tmp_path / "file"
    path.write_text("theirs")
    with pytest.raises(ClientError) as caught:
        files.replace(path, "before", "after")
    assert caught.value.reason == "CONFLICT"
    (tmp_path / "folder").mkdir()
    with pytest.raises(ClientError):
        files.replace(tmp_path / "file" / "below", "", "x")
    with pytest.raises(ClientError):
        files.read(tmp_path / "folder")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
    assert path.read_text() == "theirs"


LINES = st.lists(
    st.sampled_from(["", "# c", "[a]", "[ b ]", "[profile x]", "k = v", "other=1", "  indented = 2", "junk", "; c"])
)


@given(LINES, st.sampled_from(["a", "b", "new"]))
def test_a_key_that_was_added_and_removed_leaves_the_file_as_it_was(lines: list[str], section: str) -> None:
    """Whatever else stands in it; in between it has the value."""
    text = "".join(f"{line}\n" for line in lines)
    more = ini.added(text, section, "mine", "a = b # c")
    assert ini.value(more, section, "mine") == "a = b # c"
    assert ini.value(text, section, "mine") is None
    less = ini.removed(more, section, "mine")
    empty = section in ini.sections(text) and not ini.has_entries(text, section)
    assert less.strip() == text.strip() or empty
    if section not in ini.sections(text):
        behind = "\n[behind]\nk = v\n"  # what somebody has added since then
        assert ini.removed(more + behind, section, "mine") == text + behind
