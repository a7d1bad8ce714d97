"""What only `keybaton run --mask` does on a terminal: dots in place of secrets, and the terminal given back in every case."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.processes import wait_until
from keybaton_testing.program import keybaton
from keybaton_testing.require import require
from keybaton_testing.run_place import run_place
from keybaton_testing.terminal import Terminal

pytestmark = pytest.mark.e2e

SECRET = "hunter2-of-the-test"


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A shell in the folder of a project with one secret."""
    require("tmux")
    with run_place() as place:
        place.held.values["default"] = {"TOKEN": f"{SECRET}\nsecond-line".encode()}
        with Terminal(place.env) as made:
            made.wait_for("ready>")
            made.line(f'cd {place.folder}; k() {{ {" ".join(keybaton())} run --mask -- "$@"; }}')
            yield made


def test_a_secret_on_the_screen_is_dots(terminal: Terminal) -> None:
    """Over the line ends that a terminal makes, in several writes, and in what full-screen programs show."""
    terminal.run("""k sh -c 'echo "<$TOKEN>"; printf "<hunter2"; sleep 0.01; printf "%s>\\n" "${TOKEN#hunter2}"'""")
    assert terminal.exit_code() == 0
    screen = terminal.screen()
    assert "<••••••••>" in screen
    assert "second-line" not in screen
    assert SECRET not in screen
    assert terminal.restored()


def test_what_is_typed_is_echoed_by_the_programs_terminal(terminal: Terminal) -> None:
    """Once, and not for a hidden prompt; Ctrl-D ends the input."""
    terminal.run("k sh -c 'read a; echo got:$a; stty -echo; read b; stty echo; echo len:${#b}; cat; echo end:'")
    terminal.line("visible")
    terminal.wait_for("\ngot:visible")
    terminal.line("hidden")
    terminal.wait_for("\nlen:6")
    terminal.press("C-d")
    assert terminal.exit_code() == 0
    assert "hidden" not in terminal.screen().partition("got:visible")[2]
    assert terminal.restored()


@pytest.mark.parametrize("number", ["TERM", "HUP", "KILL", "SEGV"])
def test_the_terminal_is_given_back_when_the_program_is_killed(terminal: Terminal, number: str) -> None:
    """By any signal; the exit code is the shell's for that signal."""
    terminal.line(f"clear; k bash -c 'ulimit -c 0; stty raw -echo; kill -{number} $$'; echo code:$?:")
    numbers = {"TERM": 143, "HUP": 129, "KILL": 137, "SEGV": 139}
    terminal.wait_for(f"code:{numbers[number]}:")
    assert terminal.restored()


def test_a_signal_to_the_command_reaches_the_program(terminal: Terminal) -> None:
    """And the terminal is given back then, too."""
    terminal.line("clear; k sh -c 'echo $PPID; exec sleep 60'; echo code:$?:")
    wait_until(lambda: any(line.strip().isdigit() for line in terminal.screen().splitlines()), "the leader's id")
    leader = next(int(line) for line in terminal.screen().splitlines() if line.strip().isdigit())
    command = int(Path(f"/proc/{leader}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(command, signal.SIGTERM)
    terminal.wait_for("code:143:")
    assert terminal.restored()


def test_standard_input_and_error_elsewhere_stay_there(terminal: Terminal) -> None:
    """A pipe into the program and a file for its errors, masked as well; the output still is a terminal."""
    terminal.run(
        "echo input | k sh -c 'cat; test -t 1 && echo tty; echo \"err $TOKEN\" >&2; test -t 2 || echo file' 2>errors"
        "; cat errors"
    )
    assert terminal.exit_code() == 0
    screen = terminal.screen()
    for line in ("\ninput", "\ntty", "\nfile", "\nerr ••••••••"):
        assert line in screen
    assert terminal.restored()


def test_a_background_job_leaves_the_terminal_alone(terminal: Terminal) -> None:
    """Its output appears, the shell keeps its own modes, and `fg` brings it to the front."""
    terminal.line("clear; k sh -c 'echo begun; read line; echo got:$line' &")
    terminal.wait_for("ready> begun")
    assert terminal.restored()
    terminal.line("clear; fg")
    terminal.wait_for("\nk sh -c")  # the shell has brought it to the front
    terminal.line("hello")
    terminal.wait_for("\ngot:hello")
    assert terminal.restored()
