"""The questions about projects, environments and running shares in a real terminal, with a real agent."""

from __future__ import annotations

import pytest

from keybaton_testing.prompt_desk import RealDesk

pytestmark = pytest.mark.e2e


def test_files_are_ticked_for_import(real: RealDesk) -> None:
    """All are ticked at first; what is unticked is not read."""
    for name in (".env", ".env.staging", ".env.example"):
        (real.folder / name).write_text(f"FROM={name}\n")
    real.keybaton("env init")
    screen = real.answer("Import which files?", "Down", "Space", "Enter")
    assert ".env.example" not in screen
    screen = real.terminal.wait_for("Imported .env as default: 1 variable.")
    assert real.terminal.exit_code() == 0
    assert real.done("env", "get", "FROM") == ".env\n"
    assert "staging" not in real.done("env", "envs")


def test_a_file_of_two_meanings_is_read_as_the_person_says(real: RealDesk) -> None:
    """The line and what each would read stand above the question."""
    real.with_project()
    (real.folder / ".env").write_text("PATTERN=a#b\n")
    real.keybaton("env import .env")
    screen = real.answer("Read it as", "Down", "Enter")
    assert ".env:1: PATTERN:" in screen
    assert real.terminal.exit_code() == 0
    assert real.done("env", "get", "PATTERN") == "a#b\n"


def test_values_of_variables_are_typed_unseen(real: RealDesk) -> None:
    """One question for each name."""
    real.with_project()
    real.keybaton("env set TOKEN OTHER")
    real.answer("TOKEN:", typed="hush-one")
    real.answer("OTHER:", typed="hush-two")
    screen = real.terminal.wait_for("Set in default: 2 new.")
    assert real.terminal.exit_code() == 0
    assert "hush" not in screen
    assert (real.done("env", "get", "TOKEN"), real.done("env", "get", "OTHER")) == ("hush-one\n", "hush-two\n")


def test_an_environment_that_is_not_there_is_told_before_anything_is_typed(real: RealDesk) -> None:
    """With the option that makes it; the same where nothing is asked."""
    real.with_project()
    (real.folder / ".env").write_text("A=1\n")
    for command in (
        "env set TOKEN --env prod",
        "env set A=1 --env prod",
        "env import .env --env prod",
        "env copy staging prod",
    ):
        real.keybaton(command)
        assert real.terminal.exit_code() == 5
        screen = real.terminal.screen()
        assert "There is no environment prod" in screen
        assert "`--create` makes it" in screen
        assert "TOKEN:" not in screen


def test_a_variable_an_environment_and_a_project_are_removed_after_a_yes(real: RealDesk) -> None:
    """Enter alone is no: exit code 130 and nothing removed. Nobody is asked about what is not there."""
    real.with_project()
    real.done("env", "set", "OTHER=1", "--env", "staging")
    real.keybaton("env remove OTHER NEVER --env staging")
    assert real.terminal.exit_code() == 5
    for command, question, gone, look in (
        ("env remove OTHER --env staging", "Remove OTHER from staging?", "OTHER", "env list --env staging"),
        ("env envs --remove staging", "Remove staging with 1 variable?", "staging", "env envs"),
        (f"env vaults --remove {real.project_id()}", "with all its variables?", "shop", "env vaults"),
    ):
        real.keybaton(command)
        real.answer(question, "Enter")
        real.terminal.wait_for("Nothing was removed.")
        assert real.terminal.exit_code() == 130
        assert gone in real.done(*look.split())
        real.keybaton(command)
        real.answer(question, "y")
        assert real.terminal.exit_code() == 0
        assert gone not in real.done(*look.split())


def test_an_environment_is_sent_after_a_question(real: RealDesk) -> None:
    """The warning first, then the code."""
    real.with_project()
    real.keybaton("env send --env staging")
    screen = real.answer("Send 1 variable of staging?", "Enter")
    assert "whoever types the code" in screen
    screen = real.answer("Waiting for the other device", "C-c")
    assert "keybaton env receive" in screen
    assert real.terminal.exit_code() == 130


def test_one_of_several_shares_is_chosen(real: RealDesk) -> None:
    """Each stands there with its id, its role and what it carries; the other one goes on."""
    real.two_shares()
    real.keybaton("shares cancel")
    screen = real.answer("Which share?", "Enter")
    assert "send one" in screen
    assert "send two" in screen
    assert real.terminal.exit_code() == 0
    states = {row.split("\t")[2]: row.split("\t")[4] for row in real.done("shares").splitlines()}
    assert sorted(states.values()) == ["cancelled (cancelled)", "seeking"]
