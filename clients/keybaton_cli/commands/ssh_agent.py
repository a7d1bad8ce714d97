"""`keybaton ssh-agent`: the vault's ssh-keys for ssh, git and whatever else asks an SSH agent."""

from __future__ import annotations

import os
import shlex

from keybaton_cli import output
from keybaton_cli.framework import App, command, pass_app


@command(
    "ssh-agent",
    examples=(
        'eval "$(keybaton ssh-agent)"          # this shell and what it starts',
        "keybaton setup ssh                    # for good",
        "ssh-add -l                            # the public keys in the vault",
    ),
)
@pass_app
def ssh_agent(app: App) -> None:
    """Serve the vault's ssh-keys to SSH's programs and print the variable that tells them where.

    The agent signs; the keys never leave it. It serves them until it ends, and only while the vault is unlocked.
    """
    path = app.client().agent.serve_ssh()
    if app.json:
        output.document({"socket": path})
    elif os.environ.get("SHELL", "").endswith("/fish"):
        output.say(f"set -gx SSH_AUTH_SOCK {shlex.quote(path)};")
    else:
        output.say(f"SSH_AUTH_SOCK={shlex.quote(path)}; export SSH_AUTH_SOCK;")
