"""Writes the man pages from the commands' own help: `python -m keybaton_cli.manpages FOLDER [--check]`.

One page for `keybaton` and one for each command below it, its subcommands included. The pages are committed and installed
with the wheel; a test compares them with what this module makes.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import click

from keybaton_cli import exits
from keybaton_cli.cli import cli
from keybaton_cli.framework import ExampleHelp, LazyGroup

_EXIT_CODES = (
    (exits.DONE, "done"),
    (exits.FAILED, "failed"),
    (exits.USAGE, "the command line is wrong or incomplete"),
    (exits.NO_AGENT, "no agent, and none could be started"),
    (exits.LOCKED, "the vault is locked"),
    (exits.NOT_FOUND, "not found"),
    (exits.CONFLICT, "a conflict, such as a name that is taken"),
    (exits.REFUSED, "refused by the other device, or a wrong code"),
    (exits.TIMED_OUT, "timed out"),
    (exits.INTERRUPTED, "interrupted"),
)
_FILES = (
    ("$XDG_DATA_HOME/keybaton/vault.db", "the vault"),
    ("$XDG_CONFIG_HOME/keybaton/config.toml", "settings of the agent"),
    ("$XDG_STATE_HOME/keybaton/", "the agent's log; it holds no names, values or codes"),
    ("$XDG_RUNTIME_DIR/keybaton/agent.sock", "the agent's socket"),
)


def escaped(text: str) -> str:
    """Text as roff shows it literally: no escapes, no requests, hyphens that can be searched and copied."""
    text = text.replace("\\", "\\(rs").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return "\n".join("\\&" + line if line.startswith(".") else line for line in text.split("\n"))


def _paragraphs(text: str) -> list[str]:
    """Help text as roff paragraphs; what stands between backquotes becomes bold."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("\b\n"):  # click's mark for lines that stay as they are
            lines += [".PP", ".nf", escaped(paragraph[2:].rstrip()), ".fi"]
            continue
        pieces = " ".join(paragraph.split()).split("`")
        shown = [
            escaped(piece) if place % 2 == 0 else f"\\fB{escaped(piece)}\\fR" for place, piece in enumerate(pieces)
        ]
        lines += [".PP", "".join(shown)]
    return lines


def _context(command: click.Command, words: str) -> click.Context:
    return click.Context(command, info_name=words, **command.context_settings)


def _synopsis(command: click.Command, words: str) -> str:
    usage = " ".join(command.collect_usage_pieces(_context(command, words)))
    return f"\\fB{escaped(words)}\\fR {escaped(usage)}"


def _options(command: click.Command, words: str) -> list[str]:
    """The page's own options, the global ones included."""
    return [".SH OPTIONS", *_listed(command, words, frozenset())]


def _own_options(command: click.Command, words: str) -> list[str]:
    """Options of a subcommand beyond those of its page."""
    lines = _listed(command, words, frozenset({"--json", "--socket", "--help"}))
    return [".PP", "Options:", ".RS 4", *lines, ".RE"] if lines else []


def _listed(command: click.Command, words: str, left_out: frozenset[str]) -> list[str]:
    context = _context(command, words)
    lines: list[str] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None and not left_out & set(parameter.opts):
            lines += [".TP", f"\\fB{escaped(record[0])}\\fR", escaped(record[1])]
    return lines


def _examples(command: click.Command, level: str) -> list[str]:
    examples = command.examples if isinstance(command, ExampleHelp) else ()
    if not examples:
        return []
    head = f"{level} EXAMPLES" if level == ".SH" else ".PP\nExamples:"
    return [head, ".PP", ".RS 4", ".nf", *(escaped(line) for line in examples), ".fi", ".RE"]


def _subcommands(group: LazyGroup, words: str) -> list[str]:
    lines = [".SH COMMANDS"]
    context = _context(group, words)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        full = f"{words} {name}"
        lines += [f".SS {escaped(full)}", ".PP", _synopsis(command, full), *_paragraphs(command.help or "")]
        lines += [*_own_options(command, full), *_examples(command, ".SS")]
    return lines


def _head(name: str, short: str) -> list[str]:
    page = name.replace(" ", "-")
    return [
        f'.TH "{escaped(page.upper())}" "1" "" "Keybaton" "Keybaton"',
        ".SH NAME",
        f"{escaped(page)} \\- {escaped(short)}",
    ]


def command_page(name: str, command: click.Command, short: str) -> str:
    """The page of one command below `keybaton`."""
    words = f"keybaton {name}"
    lines = [*_head(words, short.rstrip(".")), ".SH SYNOPSIS", _synopsis(command, words), ".SH DESCRIPTION"]
    lines += [*_paragraphs(command.help or ""), *_options(command, words)]
    if isinstance(command, LazyGroup):
        lines += _subcommands(command, words)
    lines += [*_examples(command, ".SH"), ".SH SEE ALSO", "\\fBkeybaton\\fR(1)"]
    return "\n".join(lines) + "\n"


def main_page() -> str:
    """The page `keybaton(1)`: all commands in a line each, exit codes, environment, files."""
    lines = [*_head("keybaton", (cli.help or "").rstrip(".")), ".SH SYNOPSIS", _synopsis(cli, "keybaton")]
    lines += [".SH DESCRIPTION", *_paragraphs(cli.help or "")]
    lines += _paragraphs(
        "One agent for each user, `keybatond`, owns the vault, its keys and the network; a command that finds none starts "
        "one. With `--json` every command prints one document on standard output, and a failure as "
        '`{"error": {"reason": …, "message": …, "hint": …}}`; `send` and `receive` print one object per line, the last '
        'of them with the event "done" or "failed".'
    )
    lines += [*_options(cli, "keybaton"), ".SH COMMANDS"]
    for title, names in cli.sections:
        lines.append(f".SS {escaped(title)}")
        for name in names:
            lines += [".TP", f"\\fBkeybaton\\-{escaped(name)}\\fR(1)", escaped(cli.lazy[name][1])]
    lines += [*_examples(cli, ".SH"), ".SH EXIT STATUS"]
    for code, meaning in _EXIT_CODES:
        lines += [".TP", f"\\fB{code}\\fR", escaped(meaning)]
    lines += [".SH ENVIRONMENT", ".TP", "\\fBKEYBATON_SOCKET\\fR", "The agent's socket, when it is not the usual one."]
    lines += [".TP", "\\fBNO_COLOR\\fR", "Set to anything: no colour."]
    lines += [".SH FILES"]
    for path, meaning in _FILES:
        lines += [".TP", f"\\fI{escaped(path)}\\fR", escaped(meaning)]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    made = {"keybaton.1": main_page()}
    context = _context(cli, "keybaton")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            made[f"keybaton-{name}.1"] = command_page(name, command, cli.lazy[name][1])
    return made


def main() -> int:
    """Writes the pages, or with `--check` says which are out of date."""
    folder = Path(sys.argv[1])
    made = pages()
    there = {path.name: path.read_text() for path in folder.glob("*.1")}
    stale = sorted({name for name in made | there if made.get(name) != there.get(name)})
    if "--check" in sys.argv[2:]:
        for name in stale:
            print(f"{folder / name} is out of date: run python -m keybaton_cli.manpages {folder}", file=sys.stderr)
        return 1 if stale else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in made:
            (folder / name).write_text(made[name])
        else:
            (folder / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
