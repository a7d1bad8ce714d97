"""`keybaton run` against a real grpcio server: what the program gets, how it ends, and when it is not started at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import keybaton_hot as hot
from keybaton_client.problem import ClientError
from keybaton_hot.executing import hijacks, merged
from keybaton_hot.running import ANSWER_SECONDS, fetched
from keybaton_testing.run_place import MAIN, PROJECT, SECONDS, SHOW, THROUGH_CLICK, Place, run_place
from keybatond.errors import KeybatonError, Reason


@pytest.fixture
def place() -> Iterator[Place]:
    """A project with the environments `default` and `staging`."""
    with run_place() as made:
        yield made


both_forms = pytest.mark.parametrize("bare", [True, False], ids=["hot", "complete"])


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
    start = [sys.executable, "-IS", str(MAIN)] if bare else [sys.executable, "-c", THROUGH_CLICK]
    script = "import os; print(os.getpid(), *sorted(os.listdir('/proc/self/fd')))"
    with subprocess.Popen(
        [*start, "run", "--", sys.executable, "-c", script],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert out.split() == [str(process.pid), "0", "1", "2", "3"]  # 3: the listing itself


@both_forms
@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "NODE_OPTIONS", "GIT_SSH_COMMAND", "BASH_FUNC_x", "DYLD_X"])
def test_a_name_that_hijacks_programs_is_refused_unless_allowed(place: Place, bare: bool, name: str) -> None:
    """The program is not started; the words name the variable and the option; no value is shown."""
    place.held.values["default"] = {name: b"/no/such-value"}
    done = place.run("--", "echo", "started", bare=bare)
    assert done.returncode == 2
    assert name in done.stderr
    assert f"--allow {name}" in done.stderr
    assert "such-value" not in done.stderr + done.stdout
    assert "started" not in done.stdout
    allowed = place.run("--allow", name, "--", "/bin/echo", "started", bare=bare)
    assert allowed.returncode == 0, allowed.stderr


@both_forms
def test_a_default_of_the_committed_file_cannot_hijack_either(place: Place, bare: bool) -> None:
    """Whoever can commit keybaton.toml gets no code run by it."""
    place.toml('[schema.LD_PRELOAD]\ndefault = "/tmp/evil.so"\n')
    done = place.run("--", "echo", "started", bare=bare)
    assert (done.returncode, done.stdout) == (2, "")
    assert "LD_PRELOAD" in done.stderr


def test_every_kind_of_hijacking_name_is_known() -> None:
    """Those of the dynamic loader, of interpreters, of git, and of where programs look for their configuration."""
    for name in (b"PATH", b"LD_AUDIT", b"PYTHONSTARTUP", b"PERL5OPT", b"GIT_CONFIG_COUNT", b"HOME", b"XDG_CONFIG_HOME"):
        assert hijacks(name)
    for name in (
        b"MAKEFILES",
        b"DOTNET_STARTUP_HOOKS",
        b"PYTHONPYCACHEPREFIX",
        b"TAR_OPTIONS",
        b"LUA_INIT_5_4",
        b"VIMINIT",
    ):
        assert hijacks(name)
    for name in (b"DATABASE_URL", b"PATHS", b"MY_LD_PRELOAD", b"NODE_ENV"):
        assert not hijacks(name)
    with pytest.raises(ClientError):
        merged({}, {b"PATH": b"x"}, {}, (), True)


@both_forms
def test_a_violation_of_the_schema_keeps_the_program_from_starting(place: Place, bare: bool) -> None:
    """Exit code 2 and every finding, no secret value; --no-check starts all the same."""
    place.toml(
        '[schema.T_A]\nformat = "port"\n[schema.T_M]\nrequired = true\n[schema.T_P]\nformat = "port"\nclient = true\n'
    )
    place.held.values["default"]["T_P"] = b"99999"
    done = place.run("--", "echo", "started", bare=bare)
    assert (done.returncode, done.stdout) == (2, "")
    assert "T_A is not a port from 1 to 65535" in done.stderr
    assert "T_M is required and not set" in done.stderr
    assert "99999" in done.stderr
    assert "vault" not in done.stderr.replace("keybaton env", "")
    assert "`keybaton env set T_A T_M T_P --env default` mends it; `--no-check`" in done.stderr
    assert place.run("--no-check", "--", "echo", "started", bare=bare).stdout == "started\n"


@both_forms
def test_the_hint_names_no_more_than_a_few_variables(place: Place, bare: bool) -> None:
    """The message has them all."""
    place.toml("".join(f"[schema.T_{letter}]\nrequired = true\n" for letter in "UVWXYZ"))
    done = place.run("--", "true", bare=bare)
    assert all(f"T_{letter} is required" in done.stderr for letter in "UVWXYZ")
    assert "`keybaton env set NAME… --env default` mends it" in done.stderr


@both_forms
def test_what_the_caller_sets_is_held_against_the_schema_too(place: Place, bare: bool) -> None:
    """The program would get the caller's value, so that is what must fit."""
    place.toml('[schema.T_A]\nformat = "port"\n')
    assert place.run("--", "true", bare=bare, env={"T_A": "80"}).returncode == 0
    place.held.values["default"]["T_A"] = b"80"
    assert place.run("--", "true", bare=bare, env={"T_A": "none"}).returncode == 2
    assert place.run("--override", "--", "true", bare=bare, env={"T_A": "none"}).returncode == 0


@both_forms
def test_an_unknown_environment_is_an_error_that_names_the_nearest(place: Place, bare: bool) -> None:
    """Exit code 5, and the environment `default` is not even asked for."""
    done = place.run("--env", "stagign", "--", "echo", "started", bare=bare)
    assert (done.returncode, done.stdout) == (5, "")
    assert "stagign" in done.stderr
    assert "staging" in done.stderr
    assert place.held.asked == ["stagign"]


@both_forms
def test_a_locked_vault_exits_with_4(place: Place, bare: bool) -> None:
    """And says how to unlock it."""
    place.held.failure = KeybatonError(Reason.VAULT_LOCKED)
    for arguments in (("--", "echo", "--json"), ("echo", "--json")):  # an option of the program's, not of ours
        done = place.run(*arguments, bare=bare)
        assert (done.returncode, done.stdout) == (4, "")
        assert "keybaton unlock" in done.stderr


@both_forms
def test_a_working_directory_that_is_gone_is_told(place: Place, bare: bool) -> None:
    """A sentence and exit code 1, no traceback."""
    gone = place.folder / "gone"
    gone.mkdir()
    start = [sys.executable, "-IS", str(MAIN)] if bare else [sys.executable, "-c", THROUGH_CLICK]
    script = 'rmdir "$PWD"; exec "$@"'
    command = ["sh", "-c", script, "sh", *start, "run", "true"]
    done = subprocess.run(command, cwd=gone, env=place.env, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: The working directory has been removed." in done.stderr
    assert "Traceback" not in done.stderr


@both_forms
def test_an_agent_that_hangs_is_not_waited_for_longer_than_a_second(place: Place, bare: bool) -> None:
    """The exit code of a time-out; the interpreter's own start comes on top."""
    start = time.monotonic()
    place.run("--", "true", bare=bare)
    usual = time.monotonic() - start
    place.held.hangs = threading.Event()
    start = time.monotonic()
    done = place.run("--", "echo", "started", bare=bare)
    took = time.monotonic() - start
    place.held.hangs.set()
    assert (done.returncode, done.stdout) == (8, "")
    assert took - usual < 2.5  # generous for a machine that does other things: the bound itself is ANSWER_SECONDS


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


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('vault = "zz"\n', 1, "32 hexadecimal digits"),
        (f'vault = "{"z" * 32}"\n', 1, "32 hexadecimal digits"),
        (f'vault = "{PROJECT}"\n[schema.A]\nformt = "url"\n', 3, "expected one of required, format"),
        (f'vault = "{PROJECT}"\nname = \n', 2, "expected TOML"),
        (f'vault = "{PROJECT}"\n[schema.A]\npattern = "("\n', 3, "regular expression"),
        (f'vault = "{PROJECT}"\n\n[aliases]\nx = 3\n', 4, "alias"),
        ("", 0, "vault"),
    ],
)
def test_a_malformed_project_file_is_named_with_its_line(place: Place, text: str, line: int, words: str) -> None:
    """File, line, and what was expected; exit code 2; the agent is not asked."""
    path = place.folder / "keybaton.toml"
    path.write_text(text)
    done = place.run("--", "echo", "started")
    assert (done.returncode, done.stdout) == (2, "")
    assert (f"{path.resolve()}:{line}: " if line else f"{path.resolve()}: ") in done.stderr
    assert words in done.stderr
    assert place.held.asked == []


@both_forms
def test_a_fifo_in_the_files_place_is_passed_over(place: Place, bare: bool) -> None:
    """It is not waited for; the project of the folder above counts."""
    below = place.folder / "below"
    below.mkdir()
    os.mkfifo(below / "keybaton.toml")
    done = place.run("--", "echo", "started", bare=bare, cwd=below)
    assert (done.returncode, done.stdout) == (0, "started\n")


def test_without_a_project_the_words_say_how_to_make_one(place: Place) -> None:
    """Exit code 5."""
    (place.folder / "keybaton.toml").unlink()
    done = place.run("--", "echo", "started")
    assert done.returncode == 5
    assert "keybaton env init" in done.stderr


@both_forms
def test_a_program_that_cannot_be_run_ends_as_in_a_shell(place: Place, bare: bool) -> None:
    """127 for what is not there, 126 for what cannot be executed."""
    assert place.run("--", "no-such-program", bare=bare).returncode == 127
    (place.folder / "text").write_text("#!/bin/sh\n")
    assert place.run("--", "./text", bare=bare).returncode == 126


@both_forms
def test_the_program_is_looked_for_on_the_callers_path(place: Place, bare: bool) -> None:
    """Also where the vault is allowed to set another one for it."""
    place.held.values["default"] = {"PATH": b"/nowhere"}
    done = place.run("--allow", "PATH", "--override", "--", "sh", "-c", 'echo "$PATH"', bare=bare)
    assert (done.returncode, done.stdout) == (0, "/nowhere\n")


@both_forms
def test_what_the_kernel_does_not_take_is_told(place: Place, bare: bool) -> None:
    """A variable over its limit for one (128 KiB), and which limit it is."""
    place.held.values["default"] = {"T_A": b"x" * 200_000}
    done = place.run("--", "echo", "started", bare=bare)
    assert (done.returncode, done.stdout) == (2, "")
    assert "more than the system takes" in done.stderr


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


@both_forms
def test_a_pattern_that_never_ends_is_told_within_a_second(place: Place, bare: bool) -> None:
    """A project's file may come from anybody; what the pattern costs is the processor's time, not that of a busy machine."""
    place.held.values["default"] = {"T_A": b"a" * 40 + b"b"}
    place.toml('[schema.T_A]\npattern = "(a+)+$"\n')
    before = os.times()
    done = place.run("--", "echo", "started", bare=bare)
    after = os.times()
    assert (done.returncode, done.stdout) == (2, "")
    assert "T_A takes too long to hold against its pattern" in done.stderr
    assert "(a+)+$" in done.stderr
    assert after.children_user + after.children_system - before.children_user - before.children_system < (
        1 if bare else 2
    )
    assert place.run("--no-check", "--", "echo", "started", bare=bare).stdout == "started\n"


# Runs the command up to the exec, and prints the loaded modules in its place.
_LISTING = """
import posix, sys
def listed(*_):
    posix.write(2, "\\n".join(sorted(sys.modules)).encode())
    posix._exit(0)
posix.execve = listed
main = sys.argv.pop(1)
__file__ = main
exec(compile(open(main).read(), main, "exec"))
"""


def test_run_loads_nothing_but_what_it_needs(place: Place) -> None:
    """Neither click nor grpcio, and nothing of the standard library that is not in the interpreter already."""
    done = subprocess.run(
        [sys.executable, "-IS", "-c", _LISTING, str(MAIN), "run", "--", "true"],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    empty = subprocess.run(
        [sys.executable, "-IS", "-c", "import sys, posix; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert set(done.stderr.decode().split()) - set(empty.stdout.split()) == {
        "_socket",
        "gc",
        "keybaton_hot",
        "keybaton_hot.executing",
        "keybaton_hot.running",
        "keybaton_hot.answers",
        "keybaton_hot.incoming",
        "keybaton_hot.requests",
        "keybaton_hot.unary",
    }


def test_a_schema_is_checked_without_what_starts_slowly(place: Place) -> None:
    """Its reader takes some of the standard library; click, grpcio and protobuf would take three times as long."""
    place.toml('[schema.T_A]\nrequired = true\nformat = "hostname"\n[schema.T_C]\ndefault = "d"\n')
    done = subprocess.run(
        [sys.executable, "-IS", "-c", _LISTING, str(MAIN), "run", "--", "true"],
        env=place.env,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.decode().split()}
    assert "tomllib" in loaded
    assert not loaded & {"grpc", "google", "click", "asyncio", "keybaton_api", "dataclasses", "pathlib"}
