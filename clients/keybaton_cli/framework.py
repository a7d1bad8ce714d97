"""What every command shares: lazily loaded groups, `--json` and `--socket`, examples in the help, access to the agent."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from keybaton_client.client import Client

    _NumberType = click.ParamType[int]
else:
    _NumberType = click.ParamType  # not generic before click 8.4

CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass
class App:
    """One run of the command line: its global options and its connection."""

    json: bool = False
    events: bool = False  # the command that was called prints one JSON object per line
    socket: str | None = None
    kind: str = "cli"  # what the log of reads calls this command
    _client: Client | None = field(default=None, repr=False)

    def client(self, *, start: bool = True) -> Client:
        """A connection to the agent, which is started when none runs and `start`. Raises ClientError NO_AGENT."""
        if self._client is None:
            from keybaton_client.client import Client

            self._client = Client.connect(self.socket or "", start=start, client=self.kind)
        return self._client

    def close(self) -> None:
        """Ends the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


pass_app = click.make_pass_decorator(App, ensure=True)


def _keep_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(App).json = True


def _keep_socket(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value:
        context.ensure_object(App).socket = value


def is_descriptor(text: str) -> bool:
    """Whether `text` can be the number of a file descriptor."""
    return text.isascii() and text.isdigit() and len(text) <= 9


class Descriptor(_NumberType):
    """The number of an open file descriptor."""

    name = "descriptor"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """The number; anything but digits is a usage error."""
        text = str(value)
        if not is_descriptor(text):
            self.fail(f"{text!r} is not the number of a file descriptor.", parameter, context)
        return int(text)


DESCRIPTOR = Descriptor()


def global_options(*, events: bool = False) -> list[click.Option]:
    """Fresh `--json` and `--socket`; they work before and after the command's name."""
    json_text = "One JSON object per line" if events else "One JSON document"
    return [
        click.Option(
            ["--json"],
            is_flag=True,
            help=f"{json_text} on stdout, errors too; nothing is asked.",
            expose_value=False,
            callback=_keep_json,
        ),
        click.Option(
            ["--socket"],
            metavar="PATH",
            help="The agent's socket, when it is not the usual one (also KEYBATON_SOCKET).",
            expose_value=False,
            callback=_keep_socket,
        ),
    ]


class ExampleHelp:
    """Adds the examples at the end of a help page, exactly as they are to be typed."""

    examples: Sequence[str] = ()

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the section `Examples`."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Command(ExampleHelp, click.Command):
    """A command with the global options and examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), events: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = examples
        self.events = events
        self.params.extend(global_options(events=events))

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As click's; notes before anything can fail how failures are to be told."""
        context.ensure_object(App).events = self.events
        return super().parse_args(context, args)


class NoCommand(click.UsageError):
    """A group was called by its name alone: its help is the answer, on stderr, with the exit code of a usage error."""


class LazyGroup(ExampleHelp, click.Group):
    """A group that imports a command's module when it is called; its help needs none of them."""

    def __init__(
        self,
        *args: Any,
        commands: dict[str, tuple[str, str]],
        sections: Sequence[tuple[str, Sequence[str]]] = (),
        examples: Sequence[str] = (),
        **more: Any,
    ) -> None:
        more.setdefault("context_settings", CONTEXT_SETTINGS)
        super().__init__(*args, **more)
        self.lazy = commands
        self.sections = sections
        self.examples = examples
        self.params.extend(global_options())

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As click's, but for a call without anything."""
        if not args and self.no_args_is_help and not context.resilient_parsing:
            raise NoCommand("A command is needed.", context)
        return super().parse_args(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        """Names in the order of their table."""
        return list(self.lazy)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command; imports its module."""
        entry = self.lazy.get(name)
        if entry is None:
            return None
        module, attribute = entry[0].split(":")
        loaded = getattr(importlib.import_module(module), attribute)
        if not isinstance(loaded, click.Command):
            raise TypeError(f"{entry[0]} is no command")
        return loaded

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands from the short texts alone, in sections where there are some."""
        sections = self.sections or (("Commands", tuple(self.lazy)),)
        size = max(len(name) for name in self.lazy)
        for title, names in sections:
            with formatter.section(title):
                formatter.write_dl([(name.ljust(size), self.lazy[name][1]) for name in names])

    def _names_below(self, group: str) -> Sequence[str]:
        """Of a group that is nothing but its table, which is loaded; a command's module is not imported for it."""
        module, attribute = self.lazy[group][0].split(":")
        found = getattr(sys.modules.get(module), attribute, None)
        return tuple(found.lazy) if isinstance(found, LazyGroup) and found.callback is None else ()

    def _near(self, name: str) -> list[str]:
        """What may be meant: a command below a group, one that other programs call so, or one that is spelt alike."""
        import difflib

        from keybaton_cli.other_names import OTHER_NAMES

        for wanted in (name, *OTHER_NAMES.get(name, ())):
            if wanted in self.lazy:
                return [wanted]
            if below := [f"{group} {wanted}" for group in self.lazy if wanted in self._names_below(group)]:
                return below
        return difflib.get_close_matches(name, self.lazy, n=1)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the command that may be meant in the error."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.lazy:
            near = self._near(name)
            guess = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            context.fail(f"There is no command {name!r}.{guess}")
        return super().resolve_command(context, args)


def command(
    name: str, *, examples: Sequence[str] = (), events: bool = False, **more: Any
) -> Callable[[Callable[..., Any]], Command]:
    """Makes a Command of a function whose docstring is the help text; `events`: its JSON is one object per line."""
    settings = {**CONTEXT_SETTINGS, **more.pop("context_settings", {})}

    def made(function: Callable[..., Any]) -> Command:
        return click.command(name, cls=Command, examples=examples, events=events, context_settings=settings, **more)(
            function
        )

    return made
