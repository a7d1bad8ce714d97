"""`keybaton run --mount`: a `.env` that exists only for its readers, and only while the program runs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from keybaton_cli.commands import run_mount
from keybaton_testing.processes import wait_until
from keybaton_testing.run_place import Place
from keybaton_testing.trampoline import SECONDS, starting


@pytest.fixture
def place(place: Place) -> Place:
    """A project with values that need quoting."""
    place.held.values["default"] = {"A": b"two words # no comment", "B": b"line\nline", "C": b""}
    return place


def mounted(place: Place, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A shell script that finds the FIFO at ./.env."""
    return place.run("--mount", ".env", *options, "--", "sh", "-c", script)


def test_the_program_reads_a_dotenv_file(place: Place) -> None:
    """python-dotenv finds every value in it; afterwards it is gone."""
    done = mounted(place, "cat .env > copy")
    assert done.returncode == 0, done.stderr
    assert dotenv_values(place.folder / "copy") == {"A": "two words # no comment", "B": "line\nline", "C": ""}
    assert sorted(os.listdir(place.folder)) == ["copy", "keybaton.toml"]


def test_it_is_a_fifo_that_only_its_owner_can_open(place: Place) -> None:
    """Mode 0600 whatever the umask, before and after a reader."""
    done = mounted(place, "umask 000; stat -c '%F %a' .env; cat .env >/dev/null; stat -c '%F %a' .env")
    assert done.stdout == "fifo 600\n" * 2


def test_each_reader_gets_the_whole_once(place: Place) -> None:
    """One after the other, at once, and never the text twice."""
    done = mounted(place, "for n in 1 2 3 4 5; do cat .env | md5sum; done")
    assert len(done.stdout.splitlines()) == 5
    assert len(set(done.stdout.splitlines())) == 1
    once = mounted(place, "cat .env | wc -l").stdout
    assert int(once) < 6


def test_a_large_environment_goes_through_in_full(place: Place) -> None:
    """More than a pipe holds, with a reader that leaves in the middle, who does not count."""
    place.held.values["default"] = {f"V{n}": b"x" * 1000 for n in range(200)}
    done = mounted(place, "head -c 10 .env >/dev/null; cat .env | wc -c", "--mount-reads", "1")
    assert int(done.stdout) > 200_000


def test_after_the_agreed_number_of_reads_nothing_is_served(place: Place) -> None:
    """The place is empty then, so that a reader gets an error and does not wait."""
    script = "cat .env >/dev/null; cat .env >/dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; done; cat .env"
    done = mounted(place, script, "--mount-reads", "2")
    assert done.returncode == 1
    assert "No such file" in done.stderr
    assert done.stdout == ""


def test_who_waits_for_a_writer_at_the_end_is_let_go(tmp_path: Path) -> None:
    """A reader that opens the FIFO just before it is removed reads nothing, and does not wait for ever."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        run_mount._remove(path)
        assert not path.exists()
        waiting = select.poll()
        waiting.register(reader, 0)
        assert waiting.poll(0) == [(reader, select.POLLHUP)]  # there was a writer, and it has left
    finally:
        os.close(reader)


def test_a_place_that_is_taken_is_left_alone(place: Place) -> None:
    """An existing file, a link too; exit code 6 and no program."""
    (place.folder / ".env").write_text("OLD=1\n")
    done = mounted(place, "echo started")
    assert (done.returncode, done.stdout) == (6, "")
    assert (place.folder / ".env").read_text() == "OLD=1\n"
    (place.folder / ".env").unlink()
    (place.folder / ".env").symlink_to("elsewhere")
    assert mounted(place, "echo started").returncode == 6


def test_what_no_dotenv_file_can_carry_is_refused(place: Place) -> None:
    """With the variable's name, and before the program starts."""
    place.held.values["default"] = {"BAD": b"'\"`\\n$\\"}
    done = mounted(place, "echo started")
    assert (done.returncode, done.stdout) == (2, "")
    assert "BAD" in done.stderr
    assert not (place.folder / ".env").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_it_is_removed_when_a_signal_ends_everything(place: Place, name: str) -> None:
    """Also when the command itself is killed without a chance to do anything."""
    with subprocess.Popen(
        [*starting(), "run", "--mount", ".env", "--", "sh", "-c", "echo ready; exec sleep 60"],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert stat.S_ISFIFO((place.folder / ".env").lstat().st_mode)
        children = [int(pid) for pid in subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()]
        process.send_signal(signal.Signals[name])
        assert process.wait(SECONDS) == -signal.Signals[name]
        wait_until(lambda: not (place.folder / ".env").exists(), "the removal")
        for pid in children if name == "SIGKILL" else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_signal_to_the_whole_group_leaves_the_file_to_the_program(place: Place) -> None:
    """As Ctrl-C at a terminal does: a program that goes on still has it."""
    script = "trap '' INT; echo ready; read line; cat .env"
    with subprocess.Popen(
        [*starting(), "run", "--mount", ".env", "--", "sh", "-c", script],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate("\n", timeout=SECONDS)
    assert process.returncode == 0
    assert "two words" in out


def test_exit_code_and_masking_go_with_it(place: Place) -> None:
    """Both options together."""
    done = mounted(place, "cat .env; exit 7", "--mask")
    assert done.returncode == 7
    assert "two words" not in done.stdout
    assert "••••••••" in done.stdout


def test_a_limit_without_a_mount_is_a_usage_error(place: Place) -> None:
    """It would do nothing."""
    assert place.run("--mount-reads", "2", "--", "true").returncode == 2
