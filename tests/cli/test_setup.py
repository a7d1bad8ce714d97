"""`keybaton setup`, for whatever program: what it writes into files, what it leaves alone, and the way back."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from keybaton_cli.setup import PROGRAMS, files
from keybaton_testing.command_line import CommandLine

pytestmark = pytest.mark.usefixtures("home", "agent")


FILES = ("docker", "aws", "ssh", "keyring")  # those whose files Keybaton writes itself
ARGUMENTS = {"git": (), "docker": (), "aws": ("photos-s3",), "kubectl": ("cluster",), "ssh": (), "keyring": ()}


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
def test_it_shows_first_writes_when_told_and_takes_it_back(run: CommandLine, home: Path, program: str) -> None:
    """Without a terminal only --yes writes; twice is as once; files are private; nothing is left of it in the end."""
    arguments = ("setup", program, *ARGUMENTS[program])
    refused = run(*arguments, "--json")
    assert (refused.code, refused.document["error"]["hint"]) == (2, "`--yes` goes on without asking.")
    for option in ((), ("--dry-run",), ("--dry-run", "--yes"), ("--dry-run", "--json")):
        done = run(*arguments, *option)
        assert done.code == (0 if option else 2)
        assert written(home) == {}
        assert all(
            line.strip() in done.out.replace('\\"', '"')
            for line in next(iter(EXPECTED[program].values())).split("\n")
            if "{" not in line and "}" not in line
        )
    done = run(*arguments, "--yes")
    assert (done.code, done.out.splitlines()[-1]) == (0, "Done.")
    assert written(home) == EXPECTED[program]
    for path in written(home):
        assert stat.S_IMODE((home / path).stat().st_mode) == 0o600
    assert run(*arguments, "--yes").out == "It is set up already.\n"
    assert written(home) == EXPECTED[program]
    states = {row["program"]: row["state"] for row in run("setup", "--json").document["programs"]}
    assert [name for name, state in states.items() if state == "on"] == [program]
    assert run("setup", program, "--remove").code == 2
    assert written(home) == EXPECTED[program]
    done = run("setup", program, "--remove", "--yes", "--json")
    assert done.document["applied"] is True
    assert "".join(written(home).values()).strip() in ("", "{}")
    assert "nothing of it" in run("setup", program, "--remove", "--yes").out


STRANGERS = {
    "docker": (".docker/config.json", '{"auths": {"r": {}}, "HttpHeaders": {"é": "x"}}'),
    "aws": (".aws/config", "# mine\n[default]\nregion=eu-west-1 ; here\n\n[profile  other]\r\nx = y"),
    "ssh": (".ssh/config", "Host a\n    IdentityAgent /mine\n# no newline at the end"),
    "keyring": ("config/python_keyring/keyringrc.cfg", "[backend]\n# none\n\n[other]\nkeyring-path = /x\n"),
}


@pytest.mark.parametrize("program", FILES)
def test_what_somebody_else_has_written_comes_through_unharmed(run: CommandLine, home: Path, program: str) -> None:
    """Kept there and back, mode included, and through a symbolic link."""
    name, text = STRANGERS[program]
    real = home / "real"
    real.write_bytes(text.encode())
    real.chmod(0o640)
    (home / name).parent.mkdir(parents=True)
    (home / name).symlink_to(real)
    assert run("setup", program, *ARGUMENTS[program], "--yes").code == 0
    assert real.read_text() != text
    if program == "docker":
        assert json.loads(real.read_text()) == {**json.loads(text), "credsStore": "keybaton"}
        assert "é" in real.read_text()
    elif program != "keyring":
        assert real.read_bytes().startswith(text.encode())
    assert run("setup", program, "--remove", "--yes").code == 0
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
def test_somebody_elses_choice_is_never_replaced(run: CommandLine, home: Path, program: str) -> None:
    """Exit code 6, what stands in the way, what else can be done; and it is not ours to take out."""
    path = home / STRANGERS[program][0]
    path.parent.mkdir(parents=True)
    path.write_text(CONFLICTS[program])
    done = run("setup", program, *ARGUMENTS[program], "--yes")
    assert done.code == 6
    assert "left as it is" in done.err
    assert "hint:" in done.err
    assert "nothing of it" in run("setup", program, "--remove", "--yes").out
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
    run: CommandLine, home: Path, program: str, content: bytes, said: str
) -> None:
    """It is named, with what was expected."""
    path = home / STRANGERS[program][0]
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    done = run("setup", program, "--yes")
    assert done.code == 1
    assert said in done.err
    assert path.read_bytes() == content


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
def test_a_command_line_that_says_too_little_or_too_much(run: CommandLine, arguments: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert run("setup", *arguments).code == 2


def test_programs_that_are_not_installed_say_so(run: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the list, and where they would have to do the writing."""
    monkeypatch.setenv("PATH", str(home / "bin"))
    states = {row["program"]: row["state"] for row in run("setup", "--json").document["programs"]}
    assert states == dict.fromkeys(PROGRAMS, "not installed")
    for arguments in (("git",), ("git", "--remove"), ("kubectl", "cluster")):
        assert run("setup", *arguments, "--yes").code == 5
