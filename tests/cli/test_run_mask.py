"""`keybaton run --mask` in pipes: secrets become dots, everything else and the program's end are its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keybaton_cli.masking import MASK
from keybaton_testing.run_place import Place
from keybaton_testing.trampoline import MAIN, SECONDS, starting

SECRET = "hunter2-of-the-test"


@pytest.fixture
def place(place: Place) -> Place:
    """A project with one secret, one short value, and one value that the schema declares not secret."""
    place.held.values["default"] = {"T_S": SECRET.encode(), "T_SHORT": b"abc", "T_OPEN": b"staging.example"}
    place.toml("[schema.T_OPEN]\nsecret = false\n")
    return place


def masked(place: Place, script: str) -> subprocess.CompletedProcess[str]:
    """A shell script under --mask."""
    return place.run("--mask", "--", "sh", "-c", script)


def test_secrets_are_masked_on_both_streams_and_nothing_else_is(place: Place) -> None:
    """stdout and stderr stay apart; short values and what is not secret stay."""
    done = masked(place, 'echo "out $T_S $T_SHORT $T_OPEN"; echo "err $T_S" >&2')
    assert done.stdout == f"out {MASK.decode()} abc staging.example\n"
    assert done.stderr == f"err {MASK.decode()}\n"


@pytest.mark.parametrize(
    "script",
    [
        'printf %s "${T_S%-test}"; printf %s "-test"',
        'printf %s "$T_S" | base64',
        'printf "xy%sz" "$T_S" | base64',
        'printf "xy%sz" "$T_S" | base64 -w 5',
        'for c in h u n t e r 2 - o f - t h e - t e s t; do printf %s "$c"; done',
        'python3 -c \'import os,json,urllib.parse as u; print(json.dumps(os.environ["T_S"]), u.quote(os.environ["T_S"]))\'',
    ],
)
def test_a_secret_in_pieces_or_encoded_is_masked(place: Place, script: str) -> None:
    """Neither the secret nor its encoded core comes through."""
    done = masked(place, script)
    assert done.returncode == 0, done.stderr
    assert MASK.decode() in done.stdout
    assert "hunter2" not in done.stdout
    assert "aHVudGVyMi" not in done.stdout.replace("\n", "")


def test_a_secret_of_several_lines_is_masked_behind_a_logs_words(place: Place) -> None:
    """Each line on its own, also where it is written in two goes."""
    place.held.values["default"] = {
        "T_S": b"-----BEGIN KEY-----\nfirst-of-the-test\nsecond-of-the-test\n-----END KEY-----"
    }
    dots = MASK.decode()
    logged = f"app: -----BEGIN KEY-----\napp: {dots}\napp: {dots}\napp: -----END KEY-----\n"
    assert masked(place, 'echo "$T_S" | sed "s/^/app: /"').stdout == logged
    in_two = 'printf "app: %s" "${line%test}"; case $line in *test) printf test;; esac; echo'
    assert masked(place, f'echo "$T_S" | while read -r line; do {in_two}; done').stdout == logged


def test_what_the_caller_set_instead_is_masked_too(place: Place) -> None:
    """It is what the program has."""
    done = place.run("--mask", "--", "sh", "-c", "echo $T_S", env={"T_S": "from-the-caller"})
    assert done.stdout == f"{MASK.decode()}\n"


def test_what_the_schema_knows_is_a_secret_unless_it_says_otherwise(place: Place) -> None:
    """A rule about its form alone changes nothing."""
    place.toml("[schema.T_S]\nrequired = true\n")
    assert masked(place, 'echo "$T_S"').stdout == f"{MASK.decode()}\n"


def test_the_beginning_of_a_secret_is_not_lost_at_the_end(place: Place) -> None:
    """What was held back goes out though a process that the program left behind has the stream still open."""
    done = masked(place, 'sleep 3 & printf %s "${T_S%-test}"')
    assert done.stdout == SECRET.removesuffix("-test")


def test_bytes_come_through_unchanged(place: Place) -> None:
    """A megabyte of all bytes, and a stream without a final line end."""
    script = "import os, sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)"
    start = [*starting(), "run", "--mask", "--", sys.executable, "-c", script]
    done = subprocess.run(
        start,
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stdout == bytes(range(256)) * 4096


def test_standard_input_is_the_programs(place: Place) -> None:
    """It is not touched on the way."""
    start = [*starting(), "run", "--mask", "--", "cat"]
    done = subprocess.run(
        start, env=place.env, cwd=place.folder, input=b"a\0b", capture_output=True, timeout=SECONDS, check=True
    )
    assert done.stdout == b"a\0b"


@pytest.mark.parametrize("code", [0, 3, 127, 255])
def test_the_exit_code_passes_through(place: Place, code: int) -> None:
    """The program's own."""
    assert masked(place, f"exit {code}").returncode == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "PIPE", "ABRT", "HUP"])
def test_the_signal_that_ended_the_program_passes_through(place: Place, name: str) -> None:
    """The caller's wait tells of it."""
    assert masked(place, f"ulimit -c 0; kill -{name} $$").returncode == -signal.Signals[f"SIG{name}"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_a_signal_to_the_command_reaches_the_program(place: Place, name: str) -> None:
    """And only the program decides what comes of it."""
    script = f"trap 'echo caught; exit 9' {name[3:]}; echo ready; while :; do sleep 0.02; done"
    with subprocess.Popen(
        [*starting(), "run", "--mask", "--", "sh", "-c", script],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.Signals[name])
        out, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (9, "caught\n")


def test_the_program_has_default_signals(place: Place) -> None:
    """Nothing is blocked or ignored that the caller did not ignore."""
    done = masked(place, "exec grep -E 'Sig(Ign|Blk):' /proc/self/status")
    blocked, ignored = (int(line.split()[1], 16) for line in done.stdout.splitlines())
    status = Path("/proc/self/status").read_text()
    ours = int(status.partition("SigIgn:")[2].split()[0], 16)
    python = sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ))  # what only Python ignores
    assert (blocked, ignored) == (0, ours & ~python)


def test_what_may_begin_a_secret_is_shown_after_a_moment(place: Place) -> None:
    """A prompt that ends like a secret's beginning does not wait for the answer that it asks for."""
    with subprocess.Popen(
        [*starting(), "run", "--mask", "--", "sh", "-c", "printf hunt; read x; echo $x"],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        found = b""
        while len(found) < 4:
            found += os.read(process.stdout.fileno(), 4)
        out, _ = process.communicate(b"answer\n", timeout=SECONDS)
    assert (found, out) == (b"hunt", b"answer\n")


def test_a_reader_that_leaves_ends_the_program(place: Place) -> None:
    """As in any pipe."""
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -IS {MAIN} run --mask -- yes | head -n 1; echo "${{PIPESTATUS[0]}}"'],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stdout == "y\n141\n"


def test_a_program_that_is_not_there_ends_as_in_a_shell(place: Place) -> None:
    """127."""
    assert place.run("--mask", "--", "no-such-program").returncode == 127
