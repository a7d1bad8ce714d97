"""What every importer yields: items ready for the agent, and problems that name an item or a line but never a value."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from keybaton_cli.failure import Failure
from keybaton_cli.secret_types import LINKS, SECRET_TYPES

# The agent's limits; beyond them it would refuse the whole batch.
NAME_MAX_BYTES: Final = 256
TEXT_MAX_BYTES: Final = 4096
VALUE_MAX_BYTES: Final = 256 * 1024
# Explicit directional controls and marks of UAX #9.
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class ImportedItem(NamedTuple):
    """A secret (`type` of SECRET_TYPES) or a database (`type` "database", with `links` by slot); fields as bytes."""

    name: str
    type: str
    fields: Mapping[str, bytes]
    links: Mapping[str, str] = MappingProxyType({})

    @property
    def is_database(self) -> bool:
        """Whether it is a database; its fields are description, path and origin."""
        return self.type == DATABASE


class ImportProblem(NamedTuple):
    """`where` is a name or a line, `problem` a phrase on it. `skipped`: nothing was taken from there."""

    where: str
    problem: str
    skipped: bool = True


Found = ImportedItem | ImportProblem
DATABASE: Final = "database"
DATABASE_FIELDS: Final = ("description", "path", "origin")


class ImportRefused(Failure):
    """The source as a whole cannot be read."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__("FILE_UNREADABLE", message, hint)


def text_problem(text: str, limit: int) -> str | None:
    """Why the agent would not take `text` as a name (or description, path, origin), or None."""
    plain = text.isascii() and text.isprintable()  # as nearly all are
    if not plain and any(c in _BIDI or unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in text):
        return "contains a control character"
    return f"is longer than {limit} bytes" if len(text.encode()) > limit else None


def checked(item: ImportedItem) -> Found:
    """`item`, or the problem that would make the agent refuse it."""
    problem = text_problem(item.name, NAME_MAX_BYTES)
    if problem is None and (not item.name.strip() or item.name != item.name.strip()):
        problem = "is empty" if not item.name.strip() else "begins or ends with white space"
    if problem is not None:
        return ImportProblem(printable(item.name), f"the name {problem}")
    problem = _database_problem(item) if item.is_database else _secret_problem(item)
    return item if problem is None else ImportProblem(item.name, problem)


def _secret_problem(item: ImportedItem) -> str | None:
    specs = SECRET_TYPES.get(item.type)
    if specs is None:
        return f"its type is not one of {', '.join(SECRET_TYPES)}"
    known = {spec.name: spec for spec in specs}
    for name, value in item.fields.items():
        if name not in known:
            return f"{printable(name)} is not a field of {item.type}, which has {', '.join(known)}"
        if not known[name].binary and not _is_text(value):
            return f"{name} is not UTF-8 text"
    missing = [spec.name for spec in specs if spec.required and spec.name not in item.fields]
    if missing:
        return f"{', '.join(missing)} is missing"
    if sum(map(len, item.fields.values())) > VALUE_MAX_BYTES:
        return f"its value is longer than {VALUE_MAX_BYTES} bytes"
    return None


def _database_problem(item: ImportedItem) -> str | None:
    slots = {slot for slot, _, _, _ in LINKS}
    for name, value in item.fields.items():
        if name not in DATABASE_FIELDS:
            return f"{printable(name)} is not a field of a database"
        problem = (
            text_problem(value.decode(errors="surrogateescape"), TEXT_MAX_BYTES) if _is_text(value) else "is no text"
        )
        if problem is not None:
            return f"{name} {problem}"
    for slot, name in item.links.items():
        if slot not in slots:
            return f"{printable(slot)} is not a link of a database"
        if not name.strip() or text_problem(name, NAME_MAX_BYTES):
            return f"the name of its {slot} is no name of a secret"
    return None


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def printable(text: str, limit: int = 64) -> str:
    """`text` fit for a message: control characters dropped, shortened."""
    kept = "".join(c for c in text if c.isprintable() and c not in _BIDI)
    return kept[:limit] or "(no name)"


def free_name(name: str, taken: dict[str, int], also: str = "") -> str:
    """`name`, or with `also` or a number in brackets when an earlier item has it; remembers the result in `taken`.

    `taken` holds for each name the number to go on with, so that many items of one name take no longer than others.
    """
    found = name
    if name in taken and also:
        found = f"{name} ({also})"
    while found in taken:
        found = f"{name} ({taken[name]})"
        taken[name] += 1
    taken[found] = 2
    return found
