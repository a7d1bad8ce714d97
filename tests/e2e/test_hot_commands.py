"""The hot commands of the wheel against a real agent, which the first of them starts."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest

from keybaton_testing.device import Device
from keybaton_testing.program import keybaton

pytestmark = pytest.mark.e2e

PASSPHRASE = "a passphrase of this test"
SECONDS = 60


@pytest.fixture
def device() -> Iterator[Device]:
    """A device on which no agent runs."""
    with Device() as made:
        yield made


@pytest.fixture
def opened(device: Device) -> Device:
    """One with an open vault under a passphrase."""
    made = device.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=PASSPHRASE + "\n")
    assert made.returncode == 0, made.stderr
    return device


def test_a_missing_agent_is_started_and_its_answer_shown(device: Device) -> None:
    """`get` on a new device: an agent comes up, says that there is no vault, and goes on running."""
    ran = device.keybaton("get", "anything")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: There is no vault yet.\nhint: `keybaton init` makes one.\n"
    assert device.agent_pid() is not None


def test_the_callers_pipe_ends_with_the_command_that_started_the_agent(device: Device) -> None:
    """A shell's `$(keybaton get …)` must not wait for the agent."""
    ran = subprocess.run(
        ["sh", "-c", 'out=$("$0" get anything 2>&1); echo "then: $out"', *keybaton()],
        env=device.env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert ran.stdout.startswith("then: error: There is no vault yet.")


def test_what_was_added_is_got_and_listed(opened: Device) -> None:
    """Values go in by standard input and descriptors and come out to the byte."""
    value = "line one\nline two ünï\n"
    assert opened.keybaton("secrets", "add", "a note", "--type", "note", stdin=value + "\n").returncode == 0
    reading, writing = os.pipe()
    os.write(writing, b"pem\n")
    os.close(writing)
    field = f"privateKeyPem={reading}"
    added = opened.keybaton(
        "secrets", "add", "a key", "--type", "encryption-key", "--field-fd", field, pass_fds=[reading]
    )
    os.close(reading)
    assert (added.returncode, added.stdout) == (0, "Stored a key.\n")
    assert "no PEM block" in added.stderr
    assert opened.keybaton("get", "a note").stdout == value + "\n"
    assert opened.keybaton("get", "a key", "--field", "privateKeyPem").stdout == "pem\n"
    listed = [line.split("\t")[:2] for line in opened.keybaton("secrets", "list").stdout.splitlines()]
    assert sorted(listed) == [["a key", "encryption-key"], ["a note", "note"]]


def test_more_names_than_one_page_are_listed_and_imported(opened: Device) -> None:
    """2,500 secrets in three imports, two of them in one batch each."""
    for start, count in ((0, 1000), (1000, 500), (1500, 1000)):
        lines = [f"NAME_{number}=value of {number}\n" for number in range(start, start + count)]
        source = opened.root / f"{start}.env"
        source.write_text("".join(lines))
        done = opened.keybaton("secrets", "import", str(source))
        assert (done.returncode, done.stdout) == (0, f"dotenv: {count:,} stored.\n"), done.stderr
    listed = opened.keybaton("secrets", "list").stdout.splitlines()
    assert len({line.split("\t")[0] for line in listed}) == len(listed) == 2500
    assert opened.keybaton("get", "NAME_2222").stdout == "value of 2222\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["get", "nothing of that name"], 5),
        (["get", "three", "--field", "nonsense"], 5),
        (["get", "three"], 2),
        (["secrets", "add", "three", "--type", "plain"], 6),
    ],
)
def test_failures_have_their_exit_codes_and_sentences(opened: Device, arguments: list[str], code: int) -> None:
    """Not found, no such field, several fields, a taken name."""
    fields: list[str] = []
    with contextlib.ExitStack() as files:
        for name in ("region", "accessKeyId", "secretAccessKey"):
            (opened.root / name).write_text("x")
            fields += ["--field-fd", f"{name}={files.enter_context((opened.root / name).open()).fileno()}"]
        numbers = [int(word.partition("=")[2]) for word in fields[1::2]]
        added = opened.keybaton("secrets", "add", "three", "--type", "s3-credentials", *fields, pass_fds=numbers)
    assert added.returncode == 0, added.stderr
    failed = opened.keybaton(*arguments, stdin="value\n")
    assert failed.returncode == code
    assert failed.stderr.startswith("error: ")
    assert failed.stdout == ""


def test_a_name_that_is_not_there_is_told_with_the_nearest(opened: Device) -> None:
    """On the quick way too."""
    opened.keybaton("secrets", "add", "github-token", "--type", "token", stdin="v\n", check=True)
    failed = opened.keybaton("get", "gihub-token")
    assert (failed.returncode, failed.stdout) == (5, "")
    assert failed.stderr.startswith("error: There is no secret named gihub-token; the nearest is github-token.\n")


def test_a_locked_vault_is_said_at_once(opened: Device) -> None:
    """Exit code 4, and a hint that names the command."""
    assert opened.keybaton("lock").returncode == 0
    for arguments in (("get", "a"), ("secrets", "list"), ("secrets", "add", "a", "--type", "plain")):
        ran = opened.keybaton(*arguments, stdin="v\n", timeout=10)
        assert ran.returncode == 4
        assert "keybaton unlock" in ran.stderr
