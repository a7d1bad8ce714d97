"""Writes variables as text for a shell, `.env` readers, JSON, docker and GitHub Actions so that each value survives exactly.

Where a format cannot carry a value, CannotCarry names the variable and says why; nothing is approximated.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping

from keybaton_cli.dotenv.reading import DotenvRefused, last_values, parse

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]+")
# bufio.Scanner's token limit, which docker's reader of env-files keeps.
DOCKER_LINE_MAX_BYTES = 64 * 1024 - 1
# What GitHub's runner takes from the workflow alone, whatever the case of its letters.
_GITHUB_REFUSES = frozenset({"NODE_OPTIONS"})

# A quoted value must stay itself whatever quotes stand before and after it in the file.
_NEIGHBOURS = ("A_='a'\nB_=\"b\"\nC_=`c`\n", "\nD_='d'\nE_=\"e\"\nF_=`f`\n")


class CannotCarry(ValueError):
    """A format has no way to write a value. `name` is the variable's; the value is not quoted."""

    def __init__(self, name: str, problem: str, hint: str = "") -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem
        self.hint = hint


def shell(values: Mapping[str, str]) -> str:
    """`export NAME='value'` lines for `eval` in any POSIX shell (POSIX.1-2017, 2.2.2 Single-Quotes)."""
    return "".join(f"export {name}={_shell_quoted(value)}\n" for name, value in values.items())


def _shell_quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else "'" + value.replace("'", "'\\''") + "'"


def as_json(values: Mapping[str, str]) -> str:
    """One JSON object (RFC 8259)."""
    return json.dumps(dict(values), ensure_ascii=False, indent=2) + "\n"


def docker(values: Mapping[str, str]) -> str:
    """An env-file for `docker run --env-file`: one line each, no quoting. CannotCarry for line ends."""
    for name, value in values.items():
        if "\n" in value or value.endswith("\r"):
            raise CannotCarry(name, "docker's env-file has no way to write a line end", "use --format json or shell")
        if len(f"{name}={value}".encode()) > DOCKER_LINE_MAX_BYTES:
            raise CannotCarry(name, f"docker's env-file takes lines of at most {DOCKER_LINE_MAX_BYTES} bytes")
    return "".join(f"{name}={value}\n" for name, value in values.items())


def github_actions(values: Mapping[str, str]) -> str:
    """Lines for the file that `$GITHUB_ENV` names, each value between delimiters that it does not contain.

    CannotCarry for what the runner refuses, and for an end that its Windows build takes for a line's.
    """
    parts = []
    for name, value in values.items():
        if name.upper() in _GITHUB_REFUSES:
            raise CannotCarry(name, "GitHub's runner refuses it in this file", "set it under env: in the workflow")
        if value.endswith("\r"):
            raise CannotCarry(name, "a final carriage return would be taken as part of the line end")
        delimiter = f"KEYBATON_{secrets.token_hex(16)}"
        parts.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    return "".join(parts)


def _quotings(value: str) -> Iterator[str]:
    """Ways to write a value, nicest first."""
    if _PLAIN.fullmatch(value) or not value:
        yield value
    yield f"'{value}'"
    yield f'"{value}"'
    yield '"' + value.replace("\n", "\\n").replace("\r", "\\r") + '"'
    yield f"`{value}`"
    # python-dotenv decodes backslash escapes, and expands ${NAME:-default} even between single quotes: `${:-$}` is a `$`.
    for text in (value, value.replace("${", "${:-$}{")):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        yield '"' + escaped.replace("\n", "\\n").replace("\r", "\\r") + '"'


def _reads_back(text: str, values: Mapping[str, str], dialects: tuple[str, ...]) -> bool:
    for dialect in dialects:
        try:
            found = last_values(parse(text, dialect))
        except DotenvRefused:
            return False
        if any(name not in found or found[name].value != value for name, value in values.items()):
            return False
    return True


def dotenv(values: Mapping[str, str], dialects: tuple[str, ...] = ("node", "python")) -> str:
    """A `.env` file that every one of `dialects` reads back exactly. CannotCarry where no quoting does."""
    lines = []
    for name, value in values.items():
        for quoted in _quotings(value):
            before, after = _NEIGHBOURS
            if _reads_back(f"{before}{name}={quoted}{after}", {name: value}, dialects):
                lines.append(f"{name}={quoted}\n")
                break
        else:
            which = " and ".join(dialects)
            raise CannotCarry(
                name,
                f"no way of quoting is read back exactly by the {which} dialect" + ("s" if len(dialects) > 1 else ""),
                "choose one reader with --dialect, or use --format json or shell",
            )
    text = "".join(lines)
    # Each line was checked among quotes of every kind; the whole file is checked as it will be read.
    if not _reads_back(text, values, dialects):
        raise CannotCarry("the file", "its lines cannot stand together exactly", "use --format json or shell")
    return text


FORMATS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "shell": shell,
    "dotenv": dotenv,
    "json": as_json,
    "docker": docker,
    "github-actions": github_actions,
}
