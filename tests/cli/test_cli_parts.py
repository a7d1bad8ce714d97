"""Parts of the command line by themselves: what loads when, colour, large digits, clipboard, the systemd unit."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from keybaton_cli import cli, clipboard, output
from keybaton_cli.big_digits import big
from keybaton_cli.commands import service
from keybaton_cli.framework import App
from keybaton_cli.other_names import OTHER_NAMES
from keybaton_testing.command_line import CommandLine
from keybaton_testing.fake_agent import FakeAgent, fake_agent
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.processes import wait_until


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts shell scripts in front of the path; they find a folder of their own in $PLACE."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PLACE", str(tmp_path))

    def make(name: str, script: str) -> Path:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        return tmp_path

    return make


def test_a_wrong_command_line_is_told_on_one_line_with_where_to_look(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choices too, which click breaks into lines."""
    told = CommandLine(capfdbinary, monkeypatch)("completion")
    assert told.code == 2
    assert told.err.splitlines() == [
        "error: Missing argument 'SHELL'. Choose from: bash, zsh, fish",
        "hint: `keybaton completion --help` shows what it takes.",
    ]


@pytest.mark.parametrize("arguments", [["--help"], ["secrets", "--help"], ["secrets", "send", "--help"], ["nonsense"]])
def test_help_loads_neither_prompts_nor_the_agents_api_more_than_it_must(arguments: list[str]) -> None:
    """A group's help imports no command at all; no help imports the prompt library."""
    code = (
        "import sys; from keybaton_cli.cli import main; main(sys.argv[1:]); "
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    loaded = set(done.stderr.split())
    assert not loaded & {"questionary", "prompt_toolkit", "segno", "cryptography"}
    if arguments[-2:-1] != ["send"]:
        assert not loaded & {"grpc", "google.protobuf", "keybaton_cli.commands.secrets"}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("add",), "There is no command 'add'. Did you mean 'secrets add' or 'dbs add'?"),
        (
            ("receive",),
            "There is no command 'receive'. Did you mean 'secrets receive' or 'dbs receive' or 'env receive'?",
        ),
        (("statsu",), "There is no command 'statsu'. Did you mean 'status'?"),
        (("secrets", "lst"), "There is no command 'lst'. Did you mean 'list'?"),
        (("ls",), "There is no command 'ls'. Did you mean 'secrets list' or 'dbs list' or 'env list'?"),
        (("show",), "There is no command 'show'. Did you mean 'get'?"),
        (("secrets", "show"), "There is no command 'show'. Did you mean 'view'?"),
        (("secrets", "rename"), "There is no command 'rename'. Did you mean 'edit'?"),
        (("env", "unset"), "There is no command 'unset'. Did you mean 'remove'?"),
        (("frobnicate",), "There is no command 'frobnicate'."),
    ],
)
def test_a_command_that_is_not_there_is_looked_for_below_the_groups_too(
    run: CommandLine, typed: tuple[str, ...], told: str
) -> None:
    """Whoever leaves the group out is told it, whoever uses another program's word Keybaton's; else what is spelt alike."""
    import_module("keybaton_cli.commands.shares")  # whatever is loaded already, the words are the same
    result = run(*typed)
    assert (result.code, result.err.splitlines()[0]) == (2, f"error: {told}")


def test_another_programs_word_leads_to_a_command_that_is_there() -> None:
    """Each word that is suggested is a command, at the top or below a group."""
    tables = (cli.secrets_group, cli.dbs_group, cli.env_group, cli.vault_group, cli.cli)
    present = {name for table in tables for name in table.lazy}
    assert {word for words in OTHER_NAMES.values() for word in words} <= present


def test_colour_needs_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never in a pipe, never with NO_COLOR, never on a dumb terminal."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.styled("x", "red", Screen()) == "\x1b[31mx\x1b[0m"
    assert output.styled("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.styled("x", "red", Screen()) == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert output.styled("x", "red", Screen()) == "x"


def test_what_steers_a_terminal_or_turns_its_order_is_replaced() -> None:
    """Controls of both sets, marks that cannot be seen, line separators, halves of surrogate pairs; nothing else."""
    assert output.printable("a\x1b\x9b\x7f\n\u202e\u2066\u200b\u2028\ud800b") == "a" + "�" * 9 + "b"
    assert output.printable("naïve 漢 e\u0301 •") == "naïve 漢 e\u0301 •"


def test_large_digits_are_three_lines_of_equal_width() -> None:
    """Other characters, or a terminal without block characters, have no large form."""
    lines = big("0123456789", "utf-8")
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert len({tuple(line[start : start + 4] for line in lines) for start in range(0, 70, 7)}) == 10
    assert big("12a4", "utf-8") == []
    assert big("1234", "ascii") == []


def test_columns_of_wide_and_combining_characters_are_aligned() -> None:
    """A name in another script takes the columns that a terminal gives it."""
    assert [output.width(text) for text in ("abc", "鍵", "e\u0301", "")] == [3, 2, 1, 0]


def test_a_copied_value_is_cleared_after_a_while(
    programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process of its own clears it; the value is in no process's arguments."""
    place = programs("wl-copy", 'cat > "$PLACE/held.new"; mv "$PLACE/held.new" "$PLACE/held"')
    programs("wl-paste", 'cat "$PLACE/held"')
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    clipboard.copy_for_a_while(App(), b"hush", "token", seconds=1)
    assert (place / "held").read_bytes() == b"hush"
    assert "hush" not in capsys.readouterr().out
    wait_until(lambda: (place / "held").read_bytes() == b"", "the cleared clipboard")


def test_what_was_copied_since_stays_on_the_clipboard(
    programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clearing is only for our own value."""
    place = programs("wl-copy", 'cat > "$PLACE/held"')
    programs("wl-paste", 'cat "$PLACE/held"; touch "$PLACE/looked"')
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    clipboard.copy_for_a_while(App(), b"hush", "token", seconds=1)
    (place / "held").write_bytes(b"something else")
    wait_until((place / "looked").exists, "a look at the clipboard")
    assert (place / "held").read_bytes() == b"something else"


def test_without_a_clipboard_copy_fails_and_prints_no_value(
    agent: FakeAgent, run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 and a hint."""
    agent.put_secret("token", value="hush")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    result = run("get", "token", "--copy")
    assert (result.code, result.out) == (1, "")
    assert "hush" not in result.err


def test_stop_sends_no_signal_to_a_process_that_is_not_the_listener(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Whoever answers as an agent may name any process: it must be the one that listens."""
    sent: list[int] = []
    monkeypatch.setattr("signal.pidfd_send_signal", lambda *_: sent.append(1))
    with short_folder() as folder, fake_agent(f"{folder}/agent.sock"):
        monkeypatch.setenv("KEYBATON_SOCKET", f"{folder}/agent.sock")
        done = CommandLine(capfdbinary, monkeypatch)("stop")
    assert (done.code, sent) == (3, [])
    assert "not a process of this user" in done.err


def test_the_unit_names_the_agent_that_is_installed_here(
    run: CommandLine, programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Installed from the shipped unit with only ExecStart changed, enabled, and removed again."""
    place = programs("systemctl", 'echo "$@" >> "$PLACE/calls"; [ "$2" != is-active ]')
    agent = tmp_path / "strange $folder%" / "keybatond"
    monkeypatch.setattr(service, "agent_command", lambda: str(agent))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("KEYBATON_SOCKET", raising=False)
    result = run("service", "install")
    assert result.code == 0, result.err
    unit = tmp_path / "config" / "systemd" / "user" / "keybatond.service"
    changed = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    assert changed == [f'ExecStart="{str(agent).replace("$", "$$").replace("%", "%%")}"']
    assert "Type=notify" in unit.read_text()
    assert "--user enable --now keybatond.service" in (place / "calls").read_text()
    assert run("service", "uninstall").code == 0
    assert not unit.exists()
    assert "--user disable --now keybatond.service" in (place / "calls").read_text()


def test_a_systemd_that_refuses_is_an_error_with_its_own_words(
    run: CommandLine, programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What systemctl says last is what the person reads."""
    programs("systemctl", 'echo "Failed to connect to bus" >&2; exit 1')
    monkeypatch.setattr(service, "agent_command", lambda: "/usr/bin/keybatond")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    result = run("service", "install", "--json")
    assert result.code == 1
    assert "Failed to connect to bus" in result.document["error"]["message"]
    assert not (tmp_path / "config").exists()
