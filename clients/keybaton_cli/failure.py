"""How a command fails: as the client library's error, with a reason, a sentence and a hint. The exit code follows from it."""

from __future__ import annotations

from keybaton_client.problem import ClientError


class Failure(ClientError):
    """Ends the command with a reason of one of the lists in `exits`."""


class UsageFailure(Failure):
    """The command line itself is wrong or incomplete: exit code 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__("USAGE", message, hint)


class SessionFailure(Failure):
    """A share ended without being saved; its last line has been printed already."""


def hint_of(error: ClientError) -> str:
    """What to do about it: as the error says, and where it cannot know, what mostly helps."""
    if error.reason == "PROTOCOL" and not error.hint:
        return "After an update, `keybaton stop` ends the old agent; the next command starts the new one."
    return error.hint


def document(error: ClientError) -> dict[str, str]:
    """What `--json` shows of a failure."""
    return {"reason": error.reason, "message": error.message, "hint": hint_of(error)}
