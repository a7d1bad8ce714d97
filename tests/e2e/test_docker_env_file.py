"""docker's env-files: the real client and a real engine read back each value that is carried, and none that is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keybaton_cli.dotenv import writing
from keybaton_testing.docker_engine import DockerEngine
from keybaton_testing.dotenv_corpus import HARD_VALUES, carried
from keybaton_testing.require import require

pytestmark = pytest.mark.e2e

SECONDS = 60


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """The real client with a real engine, which has an empty image `empty`."""
    require("docker-engine")
    with DockerEngine() as engine:

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "DOCKER_HOST": engine.host}
            return subprocess.run(
                ["docker", *arguments], env=env, capture_output=True, text=True, timeout=SECONDS, check=False
            )

        nothing = tmp_path / "nothing.tar"
        nothing.write_bytes(bytes(10240))
        assert run("import", str(nothing), "empty").returncode == 0
        yield run


def read_by_docker(
    docker: Callable[..., subprocess.CompletedProcess[str]], text: str, folder: Path
) -> dict[str, str] | None:
    """The environment of a container that is made with this env-file; None when docker refuses the file."""
    file = folder / "env"
    file.write_bytes(text.encode())
    made = docker("create", "--env-file", str(file), "empty", "/none")
    if made.returncode:
        return None
    shown = docker("container", "inspect", "--format", "{{json .Config.Env}}", made.stdout.strip())
    return dict(entry.split("=", 1) for entry in json.loads(shown.stdout) if not entry.startswith("PATH="))


def test_docker_gives_a_container_each_value_of_its_env_file(
    docker: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """What is carried arrives byte for byte; what is refused would not have."""
    taken, refused = carried(writing.docker, HARD_VALUES)
    assert read_by_docker(docker, writing.docker(taken), tmp_path) == taken
    assert min(len(taken), len(refused)) > len(HARD_VALUES) // 10
    for value in refused[:20]:
        assert read_by_docker(docker, f"K={value}\n", tmp_path) != {"K": value}


def test_the_longest_line_is_dockers_own(
    docker: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """One byte more, and docker refuses the whole file as we refuse the value."""
    longest = "x" * (writing.DOCKER_LINE_MAX_BYTES - len("K="))
    assert read_by_docker(docker, writing.docker({"K": longest}), tmp_path) == {"K": longest}
    with pytest.raises(writing.CannotCarry, match=r"^K: "):
        writing.docker({"K": longest + "x"})
    assert read_by_docker(docker, f"K={longest}x\n", tmp_path) is None
