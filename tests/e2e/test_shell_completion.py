"""Completion in real shells: commands, options, and names from the agent; quick and silent when there is none."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keybaton_testing.device import PATH, device_environment
from keybaton_testing.fake_agent import FakeAgent, fake_agent
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.program import keybaton
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal

pytestmark = pytest.mark.e2e

SHELLS = ("bash", "zsh", "fish")


@dataclass
class Place:
    """Where a shell finds `keybaton` and an agent with names."""

    agent: FakeAgent
    folder: Path
    env: dict[str, str]

    def terminal(self, shell: str) -> Terminal:
        """A terminal in which this shell has the completion loaded, as its manual says."""
        script = self.folder / f"completion.{shell}"
        made = subprocess.run(
            [*keybaton(), "completion", shell], env=self.env, capture_output=True, text=True, timeout=30, check=True
        )
        script.write_text(made.stdout)
        if shell == "bash":
            setup = self.folder / "bashrc"
            setup.write_text(f"PS1='ready> '\nbind 'set bell-style none'\n. {script}\n")
            return Terminal(self.env, ("bash", "--noprofile", "--rcfile", str(setup)))
        if shell == "zsh":
            functions = self.folder / "functions"
            functions.mkdir()
            (functions / "_keybaton").write_text(made.stdout)
            setup = f"PS1='ready> '\nfpath+=({functions})\nautoload -Uz compinit\ncompinit -u -D\nunsetopt BEEP\n"
            (self.folder / ".zshrc").write_text(setup)
            return Terminal({**self.env, "ZDOTDIR": str(self.folder)}, ("zsh", "-d", "-i"))
        begin = f"function fish_prompt; echo 'ready> '; end; function fish_greeting; end; source {script}"
        return Terminal(self.env, ("fish", "--no-config", "-C", begin))


@pytest.fixture
def place() -> Iterator[Place]:
    """A fake agent with a few names, and a `keybaton` on the path."""
    require("tmux", "shells")
    with short_folder() as name, fake_agent(f"{name}/agent.sock") as agent:
        folder = Path(name)
        programs = folder / "bin"
        programs.mkdir()
        command = programs / "keybaton"
        command.write_text(f'#!/bin/sh\nexec {shlex.join(keybaton())} "$@"\n')
        command.chmod(0o755)
        agent.put_secret("photos-s3", "s3-credentials", region="eu")
        agent.put_secret("mail password", value="x")
        agent.put_secret("git:https://a.example", "login", username="a", password="p")
        agent.put_secret("git:https://b.example", "login", username="b", password="p")
        agent.put_secret("one,two", value="x")
        agent.put_database("pictures", path="p")
        env = {**device_environment(folder), "PATH": f"{programs}:{PATH}", "KEYBATON_SOCKET": f"{name}/agent.sock"}
        yield Place(agent, folder, env)


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_names_are_completed(place: Place, shell: str) -> None:
    """A unique beginning is filled in, by commands, by options, by names of secrets and of databases."""
    with place.terminal(shell) as terminal:
        for typed, completed in (
            ("keybaton secr", "keybaton secrets"),
            ("keybaton secrets vi", "keybaton secrets view"),
            ("keybaton secrets send --phot", "keybaton secrets send --photosphere"),
            ("keybaton get pho", "keybaton get photos-s3"),
            ("keybaton secrets add new --type enc", "keybaton secrets add new --type encryption-key"),
            ("keybaton dbs send pic", "keybaton dbs send pictures"),
            ("keybaton secrets view mail", "keybaton secrets view mail\\ password"),
            ("keybaton secrets view mail\\ p", "keybaton secrets view mail\\ password"),
            ("keybaton get git:https://a", "keybaton get git:https://a.example"),
            ("keybaton get one,", "keybaton get one,two"),
        ):
            terminal.wait_for("ready>")
            terminal.type(typed)
            terminal.wait_for(typed)
            terminal.press("Tab")
            terminal.wait_for(completed)
            terminal.press("C-u")
            terminal.press("C-l")


@pytest.mark.parametrize("shell", SHELLS)
def test_programs_and_files_are_completed(place: Place, shell: str) -> None:
    """The program that `run` is to start, what it is given, and files that commands read and write."""
    tool = place.folder / "bin" / "zz-tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    (place.folder / "vars.env").write_text("A=1\n")
    with place.terminal(shell) as terminal:
        for typed, completed in (
            ("keybaton run -- zz-", "keybaton run -- zz-tool"),
            ("keybaton run --env x zz-", "keybaton run --env x zz-tool"),
            (f"keybaton run -- cat {place.folder}/va", f"keybaton run -- cat {place.folder}/vars.env"),
            (f"keybaton env import {place.folder}/va", f"keybaton env import {place.folder}/vars.env"),
            (f"keybaton run --mount {place.folder}/va", f"keybaton run --mount {place.folder}/vars.env"),
        ):
            terminal.wait_for("ready>")
            terminal.type(typed)
            terminal.wait_for(typed)
            terminal.press("Tab")
            terminal.wait_for(completed)
            terminal.press("C-u")
            terminal.press("C-l")


@pytest.mark.parametrize("shell", SHELLS)
def test_without_an_agent_nothing_is_offered_and_none_is_started(place: Place, shell: str) -> None:
    """Tab at a name comes back at once, prints nothing, and leaves no agent behind."""
    place.env["KEYBATON_SOCKET"] = ""
    with place.terminal(shell) as terminal:
        terminal.wait_for("ready>")
        terminal.type("keybaton get zz")
        terminal.wait_for("keybaton get zz")
        terminal.press("Tab")
        terminal.type("-typed-after")
        screen = terminal.wait_for("keybaton get zz-typed-after", seconds=10)
    assert "Traceback" not in screen
    assert "error" not in screen
    assert not (place.folder / "run" / "keybaton").exists()
