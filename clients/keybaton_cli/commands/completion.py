"""`keybaton completion`: prints the script that makes a shell complete commands, options and names."""

from __future__ import annotations

import click

from keybaton_cli import output
from keybaton_cli.framework import App, command, pass_app


@command(
    "completion",
    examples=(
        "keybaton completion bash > ~/.local/share/bash-completion/completions/keybaton",
        "keybaton completion zsh > ~/.zfunc/_keybaton            # with fpath+=~/.zfunc before compinit",
        "keybaton completion fish > ~/.config/fish/completions/keybaton.fish",
    ),
)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print the completion script of a shell. Names come from the agent, where one runs and is unlocked."""
    from click.shell_completion import get_completion_class

    from keybaton_cli.cli import cli
    from keybaton_cli.shells import register

    register()
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"{shell} is not known.")
    source = made(cli, {}, "keybaton", "_KEYBATON_COMPLETE").source()
    if app.json:
        output.document({"shell": shell, "script": source})
    else:
        output.say(source)
