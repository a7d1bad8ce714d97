"""Questions to the person at the terminal. Without a terminal nothing is asked: the command says which option to give."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import termios
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from keybaton_cli import output
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import App

if TYPE_CHECKING:
    import questionary

_T = TypeVar("_T")

PASSPHRASE_MIN_CHARACTERS = 8
"""As the agent demands it of a new one; here it is said while the person is still typing."""
_TRIES = 3
_SHORT = 10  # a list of so many needs no search

Check = Callable[[str], str]
"""Looks at a typed text and returns what is wrong with it, or nothing."""


class Withdrawn(Exception):
    """A question was taken back because what it was about has ended."""


def possible(app: App) -> bool:
    """Whether a person can be asked: a terminal on both sides, and nobody wants JSON."""
    return not app.json and output.is_terminal(sys.stdin) and output.is_terminal(sys.stdout)


def cannot_ask(app: App, what: str, hint: str) -> UsageFailure:
    """What is said where nobody can be asked."""
    why = "with --json nothing is asked" if app.json else "there is no terminal to ask on"
    return UsageFailure(f"{what} cannot be asked: {why}.", hint)


def demand(app: App, what: str, option: str) -> None:
    """UsageFailure, naming `option`, when `what` cannot be asked."""
    if not possible(app):
        raise cannot_ask(app, what, option)


def agree(app: App, yes: bool, question: str, declined: str = "Nothing was removed.", *, default: bool = False) -> None:
    """Asks, unless `yes`. UsageFailure where nobody can be asked, Failure INTERRUPTED when the person says no."""
    if yes:
        return
    demand(app, "Whether you are sure", "`--yes` goes on without asking.")
    if not Asker().confirm(question, default):
        raise Failure("INTERRUPTED", declined)


class Asker:
    """Asks one question at a time; `withdraw` takes the present one back from another thread."""

    def __init__(self) -> None:
        self._application: Any = None
        self._withdrawn = False

    def withdraw(self) -> None:
        """Ends the question that stands, and every later one at once."""
        self._withdrawn = True
        application = self._application
        loop = getattr(application, "loop", None)
        if application is not None and loop is not None:
            with contextlib.suppress(RuntimeError):  # answered meanwhile: its loop is closed
                loop.call_soon_threadsafe(self._end, application)

    @staticmethod
    def _end(application: Any) -> None:
        if application.is_running and not application.is_done:
            application.exit(exception=Withdrawn())

    def _asked(self, question: questionary.Question) -> Any:
        if self._withdrawn:
            raise Withdrawn
        _stop_echo()
        self._application = question.application
        # The withdrawal may come before the application has a loop: it looks once more when it starts.
        question.application.pre_run_callables.append(self._look)
        try:
            return question.unsafe_ask()
        finally:
            self._application = None

    def _look(self) -> None:
        if self._withdrawn:
            self._application.loop.call_soon(self._end, self._application)

    def text(self, label: str, default: str = "", check: Check | None = None) -> str:
        """A line of text; Enter keeps `default`."""
        questionary = _questionary()
        return str(self._asked(questionary.text(label, default=default, validate=_validator(check), **_look_of())))

    def hidden(self, label: str, check: Check | None = None) -> str:
        """A line that is not shown."""
        questionary = _questionary()
        return str(self._asked(questionary.password(label, validate=_validator(check), **_look_of())))

    def lines(self, label: str, *, hidden: bool) -> str:
        """Text of several lines, ended with Esc and then Enter; `hidden`: shown as asterisks."""
        questionary = _questionary()
        kind = questionary.password if hidden else questionary.text
        told = "(several lines; Esc, then Enter ends)\n"
        return str(self._asked(kind(label, multiline=True, instruction=told, **_look_of())))

    def confirm(self, label: str, default: bool = False) -> bool:
        """Yes or no."""
        return bool(self._asked(_questionary().confirm(label, default=default, **_look_of())))

    def choose(self, label: str, choices: Sequence[tuple[str, _T]], default: int = 0) -> _T:
        """One of several, with the arrow keys; typing narrows a long list."""
        questionary = _questionary()
        listed = [questionary.Choice(output.printable(title), value=index) for index, (title, _) in enumerate(choices)]
        long = len(listed) > _SHORT
        question = questionary.select(
            label,
            choices=listed,
            default=listed[default],
            use_search_filter=long,
            use_jk_keys=not long,
            instruction="(type to narrow the list)" if long else None,
            **_look_of(),
        )
        return choices[int(self._asked(question))][1]

    def tick(
        self, label: str, choices: Sequence[tuple[str, _T]], *, ticked: bool = True, some: bool = False
    ) -> list[_T]:
        """Any of several, with `some` at least one; Space changes one, and typing narrows a long list."""
        long = len(choices) > _SHORT
        while True:
            questionary = _questionary()
            listed = [
                questionary.Choice(output.printable(title), value=index, checked=ticked)
                for index, (title, _) in enumerate(choices)
            ]
            question = questionary.checkbox(
                label,
                choices=listed,
                use_search_filter=long,
                use_jk_keys=not long,
                instruction=f"(Space changes, {'typing narrows, ' if long else ''}Enter goes on)",
                **_look_of(),
            )
            chosen = [choices[int(index)][1] for index in self._asked(question)]
            if chosen or not some:
                return chosen
            output.note("Nothing is ticked: Space ticks what the mark » points at.")


def _questionary() -> Any:
    import questionary
    from prompt_toolkit.application.current import get_app_session

    # Without knowing the cursor's row the question takes the lines that it needs; knowing it, prompt_toolkit takes all that
    # are left and puts what is wrong with an answer at the bottom of the window, far from the question.
    session: Any = get_app_session()
    session.output.enable_cpr = False
    return questionary


def _stop_echo() -> None:
    """Until the command's end: what is typed ahead of a question would stand on the screen, be it a passphrase."""
    with contextlib.suppress(termios.error):  # no terminal: the question fails by itself
        before = termios.tcgetattr(sys.stdin)
        if before[3] & termios.ECHO:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, [*before[:3], before[3] & ~termios.ECHO, *before[4:]])
            atexit.register(_restore, sys.stdin.fileno(), before)


def _restore(terminal: int, modes: list[Any]) -> None:
    with contextlib.suppress(OSError, termios.error):
        if os.tcgetpgrp(terminal) == os.getpgrp():  # in the background it is another program's by now
            termios.tcsetattr(terminal, termios.TCSADRAIN, modes)


def _validator(check: Check | None) -> Callable[[str], bool | str]:
    def validate(text: str) -> bool | str:
        problem = check(text) if check else ""
        return problem or True

    return validate


def _look_of() -> dict[str, Any]:
    import questionary

    if output.colour_wanted(sys.stdout):
        return {"qmark": "?"}
    return {"qmark": "?", "style": questionary.Style([])}


def passphrase(
    app: App, number: int | None, label: str, *, twice: bool = False, option: str = "--passphrase-fd"
) -> bytes:
    """A passphrase from the descriptor `number`, else asked for (two times for a new one). Never empty."""
    if number is not None:
        from keybaton_cli.values import first_line

        given = first_line(number, option)
        if not given:
            raise UsageFailure(f"{option}: the first line is empty; the passphrase belongs there.")
        return given
    demand(app, "The passphrase", f"`{option} N` reads it from the first line of a file descriptor.")
    asker = Asker()
    if not twice:
        return asker.hidden(label, lambda text: "" if text else "A passphrase is needed.").encode()
    for _ in range(_TRIES):
        typed = asker.hidden(label, long_enough)
        if asker.hidden("Once more:") == typed:
            return typed.encode()
        output.note("The two differ.")
    raise Failure("USAGE", "The two passphrases differ; nothing was changed.")


def long_enough(text: str) -> str:
    """What is wrong with the length of a new passphrase."""
    return "" if len(text) >= PASSPHRASE_MIN_CHARACTERS else f"At least {PASSPHRASE_MIN_CHARACTERS} characters."
