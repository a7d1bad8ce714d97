"""`keybaton run` against a real grpcio server: what the program gets, how it ends, and what is loaded for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import keybaton_hot as hot
from keybaton_client.problem import ClientError
from keybaton_hot.executing import merged
from keybaton_hot.running import ANSWER_SECONDS, fetched
from keybaton_testing.run_place import PROJECT, SHOW, Place, both_forms
from keybaton_testing.trampoline import SECONDS, loaded, starting


@both_forms
def test_the_program_gets_the_variables(place: Place, bare: bool) -> None:
    """Every value to the byte; another environment by --env, by KEYBATON_ENV, by an alias; found from a folder below."""
    assert place.shown(bare=bare) == {"T_A": "vault", "T_B": "wörth\n2"}
    assert place.shown("--env", "staging", bare=bare) == {"T_A": "stage"}
    assert place.shown(bare=bare, env={"KEYBATON_ENV": "staging"}) == {"T_A": "stage"}
    place.toml('[aliases]\nst = "staging"\n')
    assert place.shown("--env=st", bare=bare) == {"T_A": "stage"}
    below = place.folder / "a" / "b"
    below.mkdir(parents=True)
    assert "vault" in place.run("--", sys.executable, "-c", SHOW, bare=bare, cwd=below).stdout


@both_forms
def test_the_caller_wins_over_the_vault_unless_told_otherwise(place: Place, bare: bool) -> None:
    """Caller, vault, in this order; with --override the vault comes first, and what it does not set stays."""
    caller = {"T_A": "caller", "T_C": "mine"}
    assert place.shown(bare=bare, env=caller) == {**caller, "T_B": "wörth\n2"}
    assert place.shown("--override", bare=bare, env=caller) == {"T_A": "vault", "T_C": "mine", "T_B": "wörth\n2"}


@both_forms
def test_defaults_of_the_schema_come_last_and_fill_what_is_missing_or_empty(place: Place, bare: bool) -> None:
    """Whoever sets the variable wins over its default; an empty value counts as none."""
    place.toml('[schema.T_A]\ndefault = "d"\n[schema.T_C]\ndefault = "d"\n')
    assert place.shown(bare=bare) == {"T_A": "vault", "T_B": "wörth\n2", "T_C": "d"}
    assert place.shown(bare=bare, env={"T_C": "caller"})["T_C"] == "caller"
    assert place.shown("--override", bare=bare, env={"T_C": "caller"})["T_C"] == "caller"
    assert place.shown(bare=bare, env={"T_C": ""})["T_C"] == "d"
    place.held.values["default"]["T_A"] = b""
    assert place.shown(bare=bare)["T_A"] == "d"


def test_defaults_fill_only_what_nobody_set() -> None:
    """The same in one place, for both orders."""
    for override, first in ((False, b"caller"), (True, b"vault")):
        environment = merged({b"A": b"caller", b"E": b""}, {b"A": b"vault"}, {b"A": b"d", b"E": b"d"}, (), override)
        assert environment == {b"A": first, b"E": b"d"}


@both_forms
@pytest.mark.parametrize("code", [0, 1, 2, 5, 42, 127, 255])
def test_the_exit_code_is_the_programs_own(place: Place, bare: bool, code: int) -> None:
    """Whatever it is."""
    assert place.run("--", "sh", "-c", f"exit {code}", bare=bare).returncode == code


@both_forms
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT", "SIGPIPE", "SIGABRT"])
def test_a_signal_that_ends_the_program_is_seen_by_the_caller(place: Place, bare: bool, name: str) -> None:
    """The caller's wait tells of the signal itself, not of an exit code that imitates it."""
    number = signal.Signals[name]
    assert place.run("--", "sh", "-c", f"ulimit -c 0; kill -{name[3:]} $$", bare=bare).returncode == -number


@both_forms
def test_the_program_starts_with_signals_as_they_are_by_default(place: Place, bare: bool) -> None:
    """Python ignores SIGPIPE and SIGXFSZ; the program must not inherit that (`yes | head` would never end)."""
    done = place.run("--", "sh", "-c", "grep SigIgn: /proc/$$/status", bare=bare)
    ignored = int(
        done.stdout.split()[1], 16
    )  # bit n-1 stands for signal n; the caller of these tests may ignore others
    assert [number for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (number - 1) & 1] == []


@both_forms
def test_the_program_takes_the_place_of_the_command(place: Place, bare: bool) -> None:
    """The process id that the caller knows is the program's, and no descriptor of ours is left open in it."""
    script = "import os; print(os.getpid(), *sorted(os.listdir('/proc/self/fd')))"
    with subprocess.Popen(
        [*starting(bare=bare), "run", "--", sys.executable, "-c", script],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert out.split() == [str(process.pid), "0", "1", "2", "3"]  # 3: the listing itself


def test_an_agent_that_was_just_started_is_given_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be fetching its key: the first `keybaton run` of a day is no failure."""
    path = f"{place.env['XDG_RUNTIME_DIR']}/keybaton/agent.sock"
    monkeypatch.setattr("keybaton_client.start.ensure_agent", lambda env, option: path)
    place.held.hangs = threading.Event()
    busy = threading.Timer(ANSWER_SECONDS + 0.5, place.held.hangs.set)
    busy.start()
    assert fetched(PROJECT, "default", "/nowhere/agent.sock")[b"T_A"] == b"vault"
    busy.join()
    place.held.hangs.clear()
    with pytest.raises(ClientError, match="in time"):  # one that ran before, and had to be looked for, is none of those
        fetched(PROJECT, "default", os.path.relpath(path))
    place.held.hangs.set()


@both_forms
def test_a_fifo_in_the_files_place_is_passed_over(place: Place, bare: bool) -> None:
    """It is not waited for; the project of the folder above counts."""
    below = place.folder / "below"
    below.mkdir()
    os.mkfifo(below / "keybaton.toml")
    done = place.run("--", "echo", "started", bare=bare, cwd=below)
    assert (done.returncode, done.stdout) == (0, "started\n")


@both_forms
def test_the_program_is_looked_for_on_the_callers_path(place: Place, bare: bool) -> None:
    """Also where the vault is allowed to set another one for it."""
    place.held.values["default"] = {"PATH": b"/nowhere"}
    done = place.run("--allow", "PATH", "--override", "--", "sh", "-c", 'echo "$PATH"', bare=bare)
    assert (done.returncode, done.stdout) == (0, "/nowhere\n")


@both_forms
def test_options_of_the_program_are_the_programs(place: Place, bare: bool) -> None:
    """With and without `--`; bytes that are no text too."""
    assert place.run("echo", "--json", "--env", bare=bare).stdout == "--json --env\n"
    assert place.run("--", "sh", "-c", 'echo "$1"', "x", "--help", bare=bare).stdout == "--help\n"
    done = place.run("--", "sh", "-c", 'printf %s "$1" | od -An -tx1', "x", "\udcff\udcfe", bare=bare)
    assert done.stdout.split() == ["ff", "fe"]


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "--"], ["run", "--mask", "true"], ["run", "--no-check", "true"], ["run", "--env"], ["run", "-h"]],
)
def test_what_is_unusual_is_left_to_click(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None, before anything is read or sent."""
    monkeypatch.chdir(tmp_path)
    assert hot.run(arguments) is None


def test_run_loads_nothing_but_what_it_needs(place: Place) -> None:
    """Neither click nor grpcio, and nothing of the standard library that is not in the interpreter already."""
    modules, _ = loaded("run", "--", "true", env=place.env, cwd=place.folder)
    empty = subprocess.run(
        [sys.executable, "-IS", "-c", "import sys, posix; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert modules - set(empty.stdout.split()) == {
        "_socket",
        "gc",
        "keybaton_hot",
        "keybaton_hot.executing",
        "keybaton_hot.running",
        "keybaton_hot.answers",
        "keybaton_hot.incoming",
        "keybaton_hot.unary",
    }


def test_a_schema_is_checked_without_what_starts_slowly(place: Place) -> None:
    """Its reader takes some of the standard library; click, grpcio and protobuf would take three times as long."""
    place.toml('[schema.T_A]\nrequired = true\nformat = "hostname"\n[schema.T_C]\ndefault = "d"\n')
    modules, _ = loaded("run", "--", "true", env=place.env, cwd=place.folder)
    packages = {name.partition(".")[0] for name in modules}
    assert "tomllib" in packages
    assert not packages & {"grpc", "google", "click", "asyncio", "keybaton_api", "dataclasses", "pathlib"}
