"""Why the agent does not start: one sentence and what to do, for the person who started it."""

from __future__ import annotations


class StartRefused(Exception):
    """Ends the start before anything was changed. `message` is a sentence, `hint` says what to do and may be empty."""

    running = False  # another agent is why

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
