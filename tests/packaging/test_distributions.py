"""The wheel and the source archive: what is in them, and that every common installer makes commands that start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing import pythons
from keybaton_testing.require import require

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
BUILD_SECONDS, INSTALL_SECONDS, RUN_SECONDS = 120, 300, 60
HELPERS = {  # a request to each
    "docker-credential-keybaton": ("get", "registry.example"),
    "git-credential-keybaton": ("get", "protocol=https\nhost=git.example\n"),
    "keybaton-aws-credentials": ("name", ""),
    "keybaton-kubectl-credentials": ("name", ""),
}
PACKAGES = ("keybaton_core", "keybatond", "keybaton_client", "keybaton_cli", "keybaton_hot", "keybaton_api")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and a source archive of the present tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=BUILD_SECONDS, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel."""
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment, its name with a space, into which pip has installed the wheel."""
    folder = tmp_path_factory.mktemp("with pip") / "a venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_SECONDS)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", str(wheel)]
    subprocess.run(pip, check=True, timeout=INSTALL_SECONDS, capture_output=True)
    return folder / "bin"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which installers and programs leave everybody else's files alone."""
    kept = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "UV_", "SSL_", "PATH", "LANG"))}
    yield {
        **kept,
        "HOME": str(tmp_path / "home"),
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "my bin"),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "my bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "USE_EMOJI": "0",
    }


def starts(folder: Path, env: dict[str, str]) -> None:
    """Both programs start and name their version; a command of the hot path and one of click find their code."""
    for program in ("keybaton", "keybatond"):
        done = run(folder / program, "--version", env=env)
        assert re.fullmatch(rf"{program} \d+\.\d+\.\d+\n", done.stdout), done
    nowhere = {**env, "KEYBATON_SOCKET": str(folder / "no agent here")}
    for arguments in (("get", "anything"), ("status",)):
        done = run(folder / "keybaton", *arguments, env=nowhere)
        assert done.returncode == 3, done
        assert done.stderr.startswith("error: "), done
    for helper, (argument, stdin) in HELPERS.items():
        done = run(folder / helper, argument, env=nowhere, stdin=stdin)
        assert "No agent listens on " in done.stdout + done.stderr, done


def run(program: Path, *arguments: str, env: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """One command, from a folder that holds traps for careless imports."""
    return subprocess.run(
        [str(program), *arguments],
        env=env,
        cwd=_trap(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def _trap(env: dict[str, str]) -> Path:
    """A working folder whose modules must never be imported."""
    folder = Path(env["HOME"]) / "working folder"
    for name in ("keybaton_cli", "click", "keybaton_client", "keybatond"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('imported from the working folder')")
    return folder


def test_the_wheel_holds_the_packages_the_trampolines_and_the_licence(wheel: Path) -> None:
    """All five packages, both commands as scripts of the shell with mode 755, no tests."""
    with zipfile.ZipFile(wheel) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        scripts = {name.rpartition("/")[2]: entry for name, entry in entries.items() if ".data/scripts/" in name}
        assert set(scripts) == {"keybaton", "keybatond", *HELPERS}
        assert len({archive.read(scripts[name]) for name in ("keybaton", *HELPERS)}) == 1
        for script in scripts.values():
            assert archive.read(script).startswith(b"#!/bin/sh\n")
            assert script.external_attr >> 16 & 0o777 == 0o755
        points = next(archive.read(name).decode() for name in entries if name.endswith("entry_points.txt"))
    assert points == "[keyring.backends]\nKeybaton = keybaton_cli.helpers.keyring_backend\n"
    assert not any("/bin/" in name for name in entries)
    tops = {name.split("/")[0] for name in entries}
    assert {name for name in tops if "." not in name} == set(PACKAGES)
    assert any(name.endswith("licenses/LICENSE") for name in entries)
    for name in ("keybaton_cli/__main__.py", "keybatond/__main__.py", "keybaton_api/agent/v1/vault_pb2.py"):
        assert name in entries


def test_the_source_archive_builds_the_same_wheel(dist: Path, wheel: Path, tmp_path: Path) -> None:
    """Whoever packages from the archive gets what we ship, the trampoline's mode included."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(tmp_path.iterdir())
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run(command, cwd=source, check=True, timeout=BUILD_SECONDS, capture_output=True)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(tmp_path / "again" / wheel.name) as other:
        contents = [{e.filename: (e.external_attr, e.CRC) for e in archive.infolist()} for archive in (one, other)]
    assert contents[0] == contents[1]


def test_the_committed_trampolines_are_executable() -> None:
    """Else it installs as "Permission denied"."""
    require("git", "checkout")
    listed = ["git", "ls-files", "-s", "clients/keybaton_cli/bin", "daemon/keybatond/bin"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True, timeout=RUN_SECONDS)
    modes = {line.rpartition("/")[2]: line.split()[0] for line in done.stdout.splitlines()}
    assert modes == {"keybaton": "100755", "keybatond": "100755", **dict.fromkeys(HELPERS, "120000")}


def test_pip_installs_commands_that_start(installed: Path, home: dict[str, str]) -> None:
    """From a folder with a space in its name."""
    starts(installed, home)


def test_commands_start_through_symlinks(installed: Path, home: dict[str, str], tmp_path: Path) -> None:
    """An absolute link, a relative link to it, and a search through PATH."""
    links = tmp_path / "links here"
    links.mkdir()
    for program in ("keybaton", "keybatond", *HELPERS):
        (links / f"real-{program}").symlink_to(installed / program)
        (links / program).symlink_to(f"real-{program}")
    starts(links, home)
    done = subprocess.run(
        ["keybaton", "--version"],
        env={**home, "PATH": f"{links}:{home['PATH']}"}, cwd=_trap(home),
        capture_output=True, text=True, timeout=RUN_SECONDS, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("keybaton ")


def test_a_callers_python_variables_do_not_reach_the_commands(installed: Path, home: dict[str, str]) -> None:
    """PYTHONPATH and the like belong to the caller's own programs."""
    starts(installed, {**home, "PYTHONPATH": str(_trap(home)), "PYTHONSTARTUP": "/nowhere", "PYTHONHOME": ""})


def test_uv_installs_it_as_a_tool(wheel: Path, home: dict[str, str], tmp_path: Path) -> None:
    """`uv tool install` links both commands into its folder."""
    command = [str(BIN / "uv"), "tool", "install", "-q", "--python", sys.executable, str(wheel)]
    subprocess.run(command, env=home, check=True, timeout=INSTALL_SECONDS, capture_output=True)
    starts(tmp_path / "my bin", home)


def test_pipx_installs_it(wheel: Path, home: dict[str, str], tmp_path: Path) -> None:
    """`pipx install` links both commands into its folder."""
    command = [str(BIN / "pipx"), "install", "-q", str(wheel)]
    subprocess.run(command, env=home, check=True, timeout=INSTALL_SECONDS, capture_output=True)
    starts(tmp_path / "my bin", home)


def test_an_editable_install_starts(home: dict[str, str]) -> None:
    """The trampoline of the developers' environment finds the code in the tree."""
    require("environment")
    starts(BIN, home)


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_other_pythons_start_it(version: str, wheel: Path, home: dict[str, str], tmp_path: Path) -> None:
    """Each supported Python that is installed beside this one."""
    require(f"python{version}")
    folder = tmp_path / "venv"
    subprocess.run([str(pythons.other(version)), "-m", "venv", str(folder)], check=True, timeout=INSTALL_SECONDS)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", str(wheel)]
    subprocess.run(pip, env=home, check=True, timeout=INSTALL_SECONDS, capture_output=True)
    starts(folder / "bin", home)
