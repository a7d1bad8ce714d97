"""How a hot command fails: the same lines, document and exit code as from `keybaton_cli.cli`. Loaded only then."""

from keybaton_cli import output
from keybaton_cli.exits import exit_code
from keybaton_cli.failure import document, hint_of
from keybaton_client.problem import ClientError


def json_asked(arguments: list[str]) -> bool:
    """Whether a command line asks for JSON, as far as that can be told before it is read."""
    if "--" in arguments:
        arguments = arguments[: arguments.index("--")]
    elif arguments[:1] == ["run"]:
        return False  # what looks like an option may be the program's
    return "--json" in arguments


def failed(error: BaseException, arguments: list[str]) -> int:
    """The exit code of a command that `error` has ended, after saying why. Raises what is an error of this program."""
    if isinstance(error, BrokenPipeError):
        return 1  # the reader of our pipe has left; as click does
    if isinstance(error, KeyboardInterrupt):
        error = ClientError("INTERRUPTED", "Interrupted.")
    if not isinstance(error, ClientError):
        raise error
    json = json_asked(arguments)
    try:
        if json:
            output.document({"error": document(error)})
    except OSError:  # standard output is what failed
        json = False
    if not json:
        output.marked("error:", "red", output.printable(error.message))
        output.hint(output.printable(hint_of(error)))
    return exit_code(error.reason)
