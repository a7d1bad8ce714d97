"""How a hot command fails: the same lines, document and exit code as from `keybaton_cli.cli`. Loaded only then."""

import sys

from keybaton_cli import output
from keybaton_cli.exits import exit_code
from keybaton_cli.failure import document
from keybaton_client.problem import ClientError


def report(error: ClientError, json: bool) -> int:
    """Says what went wrong and returns the exit code."""
    try:
        if json:
            output.document({"error": document(error)})
    except OSError:  # standard output is what failed
        json = False
    if not json:
        output.note(output.styled("error:", "red", sys.stderr) + " " + output.printable(error.message))
        output.hint(output.printable(error.hint))
    return exit_code(error.reason)
