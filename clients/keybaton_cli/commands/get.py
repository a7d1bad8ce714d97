"""`keybaton get`: prints one bare value (the hot path serves the plain form of it without this module)."""

from __future__ import annotations

import sys

import click

from keybaton_cli import missing, output
from keybaton_cli.completion import complete_secret
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.items import secret_ref


@command(
    "get",
    examples=(
        "keybaton get github-token",
        "keybaton get photos-s3 --field secretAccessKey",
        "keybaton get github-token --copy                    # to the clipboard, for 45 seconds",
    ),
)
@click.argument("name", shell_complete=complete_secret)
@click.option("--field", default="", metavar="KEY", help="Which field, where the secret has several.")
@click.option("--copy", is_flag=True, help="Put it on the clipboard, for 45 seconds, instead of printing it.")
@pass_app
def get(app: App, name: str, field: str, copy: bool) -> None:
    """Print the value of a secret, followed by a newline."""
    ref = secret_ref(name)
    with missing.told(app, ref):
        value = app.client().vault.get_value(ref, field)
    if copy:
        from keybaton_cli.clipboard import copy_for_a_while

        copy_for_a_while(app, value, name)
    elif app.json:
        output.document({"name": name, "field": field or None, "value": output.json_value(value)})
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(value + b"\n")
        sys.stdout.buffer.flush()
