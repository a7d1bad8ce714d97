"""Files of `[section]` and `key = value` lines, edited line by line: what is not touched stays as it was typed."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[\s*(.*?)\s*\]\s*(?:[#;].*)?$")
_ENTRY = re.compile(r"([^\s=:#;\[][^=:]*?)\s*[=:]\s*(.*?)\s*$")


def sections(text: str) -> list[str]:
    """Names of the sections, in order."""
    return [found[1] for line in text.splitlines() if (found := _HEADER.match(line))]


def value(text: str, section: str, key: str) -> str | None:
    """The value of a key; None where it is not set."""
    for line in _lines_of(text, section):
        found = _ENTRY.match(text.splitlines()[line])
        if found and found[1].lower() == key:
            return found[2]
    return None


def has_entries(text: str, section: str) -> bool:
    """Whether a section sets anything, or holds a comment."""
    lines = text.splitlines()
    return any(lines[line].strip() for line in _lines_of(text, section))


def added(text: str, section: str, key: str, new: str) -> str:
    """`text` with the key, which is not there yet, in that section, which is made at the end where it is missing."""
    lines = text.splitlines(keepends=True)
    entry = f"{key} = {new}\n"
    for at, line in enumerate(lines):
        found = _HEADER.match(line)
        if found and found[1] == section:
            if not line.endswith("\n"):
                lines[at] = line + "\n"
            return "".join([*lines[: at + 1], entry, *lines[at + 1 :]])
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}[{section}]\n{entry}"


def removed(text: str, section: str, key: str) -> str:
    """`text` without the key, and without its section where that says nothing more."""
    lines = text.splitlines(keepends=True)
    gone = {
        line
        for line in _lines_of(text, section)
        if (found := _ENTRY.match(text.splitlines()[line])) and found[1].lower() == key
    }
    kept = "".join(line for at, line in enumerate(lines) if at not in gone)
    if has_entries(kept, section):
        return kept
    lines = kept.splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if (found := _HEADER.match(line)) and found[1] == section)
    start = at - 1 if at and not lines[at - 1].strip() else at
    return "".join(lines[:start] + lines[at + 1 :])


def _lines_of(text: str, section: str) -> list[int]:
    """Numbers of the lines below the first header of that section."""
    numbers: list[int] = []
    inside = seen = False
    for number, line in enumerate(text.splitlines()):
        found = _HEADER.match(line)
        if found:
            inside = found[1] == section and not seen
            seen = seen or inside
        elif inside:
            numbers.append(number)
    return numbers
