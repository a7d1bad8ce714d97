"""`keybaton run` against a real grpcio server: when the program is not started, and what is said then."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest

from keybaton_client.problem import ClientError
from keybaton_hot.executing import hijacks, merged
from keybaton_testing.run_place import PROJECT, Place, both_forms
from keybaton_testing.trampoline import SECONDS, starting
from keybatond.errors import KeybatonError, Reason


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
    script = 'rmdir "$PWD"; exec "$@"'
    command = ["sh", "-c", script, "sh", *starting(bare=bare), "run", "true"]
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
def test_what_the_kernel_does_not_take_is_told(place: Place, bare: bool) -> None:
    """A variable over its limit for one (128 KiB), and which limit it is."""
    place.held.values["default"] = {"T_A": b"x" * 200_000}
    done = place.run("--", "echo", "started", bare=bare)
    assert (done.returncode, done.stdout) == (2, "")
    assert "more than the system takes" in done.stderr
