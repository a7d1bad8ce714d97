"""`keybaton run` on a real terminal with the real agent: full-screen programs, Ctrl-C, Ctrl-Z, resize and colours.

Each once with the program in place of the command, and once with --mask, where it has a pseudo-terminal of its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_testing.device import Device
from keybaton_testing.processes import wait_until
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal

pytestmark = pytest.mark.e2e

SECRET = "hunter2-of-the-test"


class Desk:
    """A device with a project, and a terminal whose shell stands in the project's folder."""

    def __init__(self, device: Device, terminal: Terminal, folder: Path, options: str) -> None:
        self.options = options
        self.device = device
        self.terminal = terminal
        self.folder = folder

    def run(self, arguments: str) -> None:
        """Starts `keybaton run` with these arguments in the terminal."""
        self.terminal.run(f"keybaton run {self.options} {arguments}")


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    """A device with a project of one secret and one plain variable."""
    require("tmux")
    with Device() as made:
        init = made.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin="a long passphrase\n")
        assert init.returncode == 0, init.stderr
        folder = made.root / "shop"
        folder.mkdir()
        (folder / ".env").write_text(f"TOKEN={SECRET}\nCOLOUR=blue\n")
        began = made.run(["sh", "-c", f"cd {folder} && exec keybaton env init --yes"])
        assert began.returncode == 0, began.stderr
        yield made


@pytest.fixture(params=["", "--mask"], ids=["plain", "mask"])
def desk(device: Device, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A fresh terminal."""
    folder = device.root / "shop"
    with Terminal(device.env) as terminal:
        terminal.wait_for("ready>")
        terminal.line(f"cd {folder}")
        yield Desk(device, terminal, folder, request.param)


def test_vim_works_as_without_it(desk: Desk) -> None:
    """A full-screen program draws, takes keys, sees the variable, writes a file, and leaves the terminal as it was."""
    require("vim")
    written = desk.folder / "written"
    written.unlink(missing_ok=True)
    desk.run(f"-- vim -u NONE -N {written}")
    desk.terminal.wait_for("[New]")
    desk.terminal.type("i")
    desk.terminal.wait_for("INSERT")
    desk.terminal.press("C-r")
    desk.terminal.type("=len($COLOUR)")
    desk.terminal.press("Enter")
    desk.terminal.press("Escape")
    desk.terminal.line(":wq")
    assert desk.terminal.exit_code() == 0
    assert written.read_text() == "4\n"
    assert desk.terminal.restored()


def test_less_pages_and_quits(desk: Desk) -> None:
    """Keys reach the pager at once, and Ctrl-C does not end it."""
    require("less")
    (desk.folder / "long").write_text("".join(f"line-{n}\n" for n in range(500)))
    desk.run("-- less long")
    desk.terminal.wait_for("line-5")
    desk.terminal.press("G")
    desk.terminal.wait_for("line-499")
    desk.terminal.press("C-c")
    desk.terminal.press("q")
    assert desk.terminal.exit_code() == 0
    assert desk.terminal.restored()


def test_ctrl_c_reaches_the_program_and_nobody_else(desk: Desk) -> None:
    """A program that handles SIGINT ends as it likes."""
    desk.run("-- sh -c 'trap \"echo caught; exit 7\" INT; echo waiting; while :; do sleep 0.05; done'")
    desk.terminal.wait_for("\nwaiting")
    desk.terminal.press("C-c")
    assert desk.terminal.exit_code() == 7
    assert "caught" in desk.terminal.screen()


def test_ctrl_c_ends_a_program_that_does_not_handle_it(desk: Desk) -> None:
    """By the signal, as the shell sees."""
    desk.run("-- sh -c 'echo sleeping; exec sleep 60'")
    desk.terminal.wait_for("\nsleeping")
    prompts = desk.terminal.screen().count("ready>")
    desk.terminal.press("C-c")
    desk.terminal.wait_for("ready>", times=prompts + 1)  # what is typed earlier is still the program's
    desk.terminal.line("echo code:$?:")  # the shell leaves the rest of the interrupted line undone
    desk.terminal.wait_for("\ncode:130:")


def test_ctrl_z_stops_the_program_and_fg_goes_on(desk: Desk) -> None:
    """The shell's job control knows the program itself."""
    desk.terminal.line(f"clear; keybaton run {desk.options} -- sh -c 'echo begun; read line; echo got:$line'")
    desk.terminal.wait_for("\nbegun")
    desk.terminal.press("C-z")
    desk.terminal.wait_for("Stopped")
    desk.terminal.line("jobs -l; fg")
    desk.terminal.type("hello")
    desk.terminal.press("Enter")
    desk.terminal.wait_for("\ngot:hello")
    assert desk.terminal.restored()


def test_a_resized_terminal_is_seen_by_the_program(desk: Desk) -> None:
    """SIGWINCH arrives, and the new size is there."""
    desk.run("-- bash -c 'trap \"stty size; exit\" WINCH; stty size; echo waiting; while :; do sleep 0.05; done'")
    desk.terminal.wait_for("\nwaiting")
    desk.terminal.resize(80, 30)
    desk.terminal.wait_for("\n30 80")
    assert desk.terminal.exit_code() == 0


def test_colours_are_kept(desk: Desk) -> None:
    """A program that colours for a terminal finds one on all three descriptors."""
    desk.run("-- sh -c 'test -t 0 && test -t 1 && test -t 2 && printf \"\\033[31mred\\033[0m\\n\"'")
    assert desk.terminal.exit_code() == 0
    assert "\x1b[31mred" in desk.terminal.coloured()


def test_a_pipe_that_closes_ends_the_program(desk: Desk) -> None:
    """`yes | head` ends at once, by SIGPIPE."""
    desk.terminal.run(f"keybaton run {desk.options} -- yes | head -n 1; echo ${{PIPESTATUS[0]}}/")
    assert desk.terminal.exit_code() == 0
    assert "141/" in desk.terminal.screen()


def test_a_locked_vault_is_an_error_within_a_second_and_not_a_prompt(desk: Desk) -> None:
    """The program is not started; exit code 4; afterwards all is as before."""
    assert desk.device.keybaton("lock").returncode == 0
    desk.run("-- echo started")
    assert desk.terminal.exit_code() == 4
    assert "\nstarted" not in desk.terminal.screen()
    opened = desk.device.keybaton("unlock", "--passphrase-fd", "0", stdin="a long passphrase\n")
    assert opened.returncode == 0, opened.stderr


def test_an_agent_that_is_stopped_is_said_to_hang(desk: Desk) -> None:
    """A process that takes connections and answers nothing: exit code 8, soon, and no program."""
    pid = desk.device.agent_pid()
    assert pid is not None
    subprocess.run(["kill", "-STOP", str(pid)], check=True)
    try:
        wait_until(lambda: "T (stopped)" in Path(f"/proc/{pid}/status").read_text(), "the agent's stop")
        desk.run("-- echo started")
        assert desk.terminal.exit_code(seconds=10) == 8
        assert "\nstarted" not in desk.terminal.screen()
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
