"""docker's credential helper: its protocol and bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from keybaton_cli.helpers.plain import INPUT_MAX
from keybaton_testing.helper_programs import Helpers, unlocked_helpers
from keybaton_testing.trampoline import MAIN, SECONDS


@pytest.fixture
def helpers() -> Iterator[Helpers]:
    with unlocked_helpers() as made:
        yield made


def login(server: object = "registry.example:5000", username: object = "ann", secret: object = "p") -> bytes:
    return json.dumps({"ServerURL": server, "Username": username, "Secret": secret}).encode()


def test_docker_stores_gets_lists_and_erases(helpers: Helpers) -> None:
    """One login for each server, the last; erasing what is not there is no error."""
    assert helpers.docker("store", login()) == (0, "")
    assert helpers.docker("store", login(username="bob", secret='"q\\\u00e9')) == (0, "")
    assert helpers.docker("store", login("https://index.docker.io/v1/", "<token>", "t")) == (0, "")
    code, said = helpers.docker("get", b"registry.example:5000\n")
    assert (code, json.loads(said)) == (
        0,
        {"ServerURL": "registry.example:5000", "Username": "bob", "Secret": '"q\\\u00e9'},
    )
    code, said = helpers.docker("list")
    assert json.loads(said) == {"registry.example:5000": "bob", "https://index.docker.io/v1/": "<token>"}
    assert helpers.docker("erase", b"registry.example:5000") == (0, "")
    assert helpers.docker("erase", b"registry.example:5000") == (0, "")
    assert helpers.docker("get", b"registry.example:5000") == (1, "credentials not found in native keychain\n")
    assert helpers.docker("get", b"registry.example") == (1, "credentials not found in native keychain\n")
    assert {read.client for read in helpers.agent.reads} == {"docker"}


@pytest.mark.parametrize(
    ("action", "request_", "said"),
    [
        ("get", b"", "no credentials server URL"),
        ("erase", b" \n", "no credentials server URL"),
        ("get", b"registry.example\r\nevil.example", "control character"),
        ("get", b"registry.example\0", "control character"),
        ("get", b"\xff", "not UTF-8"),
        ("get", b"x" * (INPUT_MAX + 1), "larger than"),
        ("store", b"nonsense", "not JSON"),
        ("store", b"[" * 5000, "not JSON"),
        ("store", b"[]", "no credentials server URL"),
        ("store", login(""), "no credentials server URL"),
        ("store", login(7), "no credentials server URL"),
        ("store", login(username=""), "no credentials username"),
        ("store", login(secret=None), "no credentials secret"),
        ("store", login(secret="p\nq"), "control character"),
        ("store", login(username="a\r"), "control character"),
        ("store", login("a b"), "control character"),
        ("store", login(secret="\ud800"), "not Unicode"),
        ("store", login("x" * 300), "longer than 256 bytes"),
    ],
)
def test_docker_requests_that_are_none_are_refused(helpers: Helpers, action: str, request_: bytes, said: str) -> None:
    """In its own form: a sentence on standard output and exit code 1."""
    code, text = helpers.docker(action, request_)
    assert code == 1
    assert said in text
    assert helpers.names() == []


def test_docker_usage_and_version(helpers: Helpers) -> None:
    """The version as docker-credential-helpers print theirs."""
    assert helpers.run("docker").returncode == 2
    assert helpers.run("docker", "get", "extra").returncode == 2
    done = subprocess.run(
        [sys.executable, str(MAIN), "helper", "docker", "version"],
        env=helpers.env,
        capture_output=True,
        timeout=SECONDS,
    )
    assert done.stdout.startswith(b"docker-credential-keybaton ")
