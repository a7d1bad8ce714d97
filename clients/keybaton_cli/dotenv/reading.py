"""Reads `.env` text as Node's dotenv or as python-dotenv does, and says where the two would differ.

The Node dialect follows dotenv 16 to 18 (`parse` without `fast`); the Python dialect is python-dotenv itself, with `${NAME}`
expanded from the file alone, never from this process's environment.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import NamedTuple

FILE_MAX_BYTES = 1024 * 1024  # an environment holds at most 1 MiB, see the handoff's payload limit
# The grammar of the Node dialect backtracks over white space; a person's file never has runs like this.
SPACE_RUN_MAX = 1000

DIALECTS = ("node", "python")

# ECMAScript's white space and line terminators differ from Python's (ECMA-262, 12.2 and 12.3).
_JS_SPACE = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_JS_SPACES = re.compile(f"^[{_JS_SPACE}]+|[{_JS_SPACE}]+$(?![\\s\\S])")
_START = r"(?:(?<=[\n\u2028\u2029])|\A)"
_END = r"(?=[\n\u2028\u2029]|\Z)"
_SPACE = f"[{_JS_SPACE}]"
_NODE_LINE = re.compile(
    rf"""{_START}{_SPACE}*(?:export{_SPACE}+)?(?P<name>[A-Za-z0-9_.-]+)"""
    rf"""(?:{_SPACE}*={_SPACE}*?|:{_SPACE}+?)"""
    rf"""(?P<value>{_SPACE}*'(?:\\'|[^'])*'|{_SPACE}*"(?:\\"|[^"])*"|{_SPACE}*`(?:\\`|[^`])*`|[^#\n]+)?"""
    rf"""{_SPACE}*(?:\#[^\n\u2028\u2029]*)?{_END}"""
)
_NODE_QUOTED = re.compile(rf"""{_START}(['"`])([\s\S]*)\1{_END}""")
_SPACE_RUN = re.compile(rf"{_SPACE}{{{SPACE_RUN_MAX},}}")


class DotenvRefused(ValueError):
    """A file cannot be read. `line` counts from 1 and is 0 where the whole file is meant; no value is quoted."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)
        self.line = line
        self.problem = problem


class Binding(NamedTuple):
    """One assignment; `line` is where its name stands, from 1. `value` is None for a bare name (Python dialect only)."""

    name: str
    value: str | None
    line: int


class Difference(NamedTuple):
    """A name that the two dialects read differently; each side says "absent", "empty" or "set"."""

    name: str
    line: int
    node: str
    python: str


def decode(data: bytes) -> str:
    """The text of a file: UTF-8, with or without a byte-order mark. Raises DotenvRefused."""
    if len(data) > FILE_MAX_BYTES:
        raise DotenvRefused(0, f"the file is longer than {FILE_MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DotenvRefused(data.count(b"\n", 0, error.start) + 1, "is not UTF-8 text") from None
    if "\0" in text:
        raise DotenvRefused(text.count("\n", 0, text.index("\0")) + 1, "holds a NUL character")
    run = _SPACE_RUN.search(text)
    if run:
        raise DotenvRefused(
            text.count("\n", 0, run.start()) + 1, f"begins a run of over {SPACE_RUN_MAX} white-space characters"
        )
    return text


def parse_node(text: str) -> list[Binding]:
    """Assignments as Node's dotenv reads them, in the order of the file, repeated names included."""
    text = re.sub(r"\r\n?", "\n", text)
    bindings = []
    line, counted = 1, 0
    for match in _NODE_LINE.finditer(text):
        line += text.count("\n", counted, match.start("name"))
        counted = match.start("name")
        value = _JS_SPACES.sub("", match["value"] or "")
        double = value.startswith('"')
        value = _NODE_QUOTED.sub(lambda quoted: quoted[2], value)
        if double:
            value = value.replace("\\n", "\n").replace("\\r", "\r")
        bindings.append(Binding(match["name"], value, line))
    return bindings


def unread_lines(text: str) -> list[int]:
    """Lines, from 1, of which the Node dialect takes nothing though they are neither empty nor comments."""
    text = re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff"))
    rest = _NODE_LINE.sub(lambda match: "\n" * match[0].count("\n"), text)
    return [
        number
        for number, line in enumerate(rest.split("\n"), 1)
        if _JS_SPACES.sub("", line) and not _JS_SPACES.sub("", line).startswith("#")
    ]


def parse_python(text: str) -> list[Binding]:
    """Assignments as python-dotenv reads them, with `${NAME}` and `${NAME:-default}` expanded from the lines above.

    Raises DotenvRefused at a line that python-dotenv gives up on.
    """
    from dotenv.parser import parse_stream  # a dependency that only imports need
    from dotenv.variables import parse_variables

    bindings = []
    known: dict[str, str | None] = {}
    # python-dotenv opens files with universal newlines; so does this.
    for found in parse_stream(io.StringIO(text.removeprefix("\ufeff"), newline=None)):
        line = found.original.line + _blank_lines(found.original.string)
        if found.error:
            raise DotenvRefused(line, "is not an assignment (NAME=value)")
        if found.key is None:
            continue
        value = found.value
        if value is not None:
            value = "".join(atom.resolve(known) for atom in parse_variables(value))
        known[found.key] = value
        bindings.append(Binding(found.key, value, line))
    return bindings


def _blank_lines(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n")


def parse(text: str, dialect: str) -> list[Binding]:
    """Assignments in one of DIALECTS. Raises DotenvRefused."""
    return parse_node(text) if dialect == "node" else parse_python(text)


def last_values(bindings: list[Binding]) -> dict[str, Binding]:
    """The binding that counts for each name: the last one, in both dialects."""
    return {binding.name: binding for binding in bindings}


def differences(text: str) -> list[Difference]:
    """Names that the dialects read differently, by line. A file that python-dotenv refuses differs at that line."""
    node = last_values(parse_node(text))
    try:
        python = last_values(parse_python(text))
    except DotenvRefused as refused:
        return [Difference("", refused.line, "accepted", "refused")]
    found = [
        Difference(name, _line(name, node, python), _kind(node.get(name)), _kind(python.get(name)))
        for name in sorted(node.keys() | python.keys())
        if _value(node.get(name)) != _value(python.get(name))
    ]
    return sorted(found, key=lambda difference: difference.line)


def _line(name: str, *sides: Mapping[str, Binding]) -> int:
    return min(side[name].line for side in sides if name in side)


def _value(binding: Binding | None) -> str | None:
    return binding.value if binding is not None else None


def _kind(binding: Binding | None) -> str:
    if binding is None or binding.value is None:
        return "absent"
    return "set" if binding.value else "empty"
