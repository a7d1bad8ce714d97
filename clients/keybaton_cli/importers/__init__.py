"""Importers: `open_source` finds out what a file, a folder or standard input is, and yields its items and problems.

Formats are told by content; the caller may name one instead. Nothing is written here, and no value is ever part of a problem.
Each format's reader is imported when it is needed: together they would take longer than reading a thousand secrets.
"""

# ruff: noqa: PTH112, PTH119, PTH123 (to import pathlib takes longer than to read a file)
from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from keybaton_cli.importers.model import Found, ImportedItem, ImportProblem, ImportRefused

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FORMATS", "Found", "ImportProblem", "ImportRefused", "ImportedItem", "Source", "open_source"]

FORMATS: Final = ("jsonl", "dotenv", "photosphere", "pass", "bitwarden")
HEAD_BYTES: Final = 1024 * 1024  # enough to tell a format by
WHOLE_MAX_BYTES: Final = 64 * 1024 * 1024  # of a file that is parsed as one; JSON lines have no limit of their own


class Source(NamedTuple):
    """A recognised source. `total` is the number of steps, for a progress display, where it is known beforehand."""

    format: str
    items: Iterator[Found]
    total: int | None = None


def open_source(path: str, standard_input: IO[bytes], wanted: str | None = None) -> Source:
    """The source at `path`, or standard input for `-`. Raises ImportRefused when it cannot be read or told.

    Items are produced as they are asked for; an iterator may raise ImportRefused too.
    """
    if wanted is not None and wanted not in FORMATS:
        raise ImportRefused(f"{wanted} is not a format that can be imported.", f"Known are {', '.join(FORMATS)}.")
    if path == "-":
        return _from_file(standard_input, "", wanted)
    try:
        if os.path.isdir(path):
            return _from_folder(path, wanted)
        file = open(path, "rb")  # noqa: SIM115 (closed by _closing)
    except OSError as failure:
        raise ImportRefused(f"{path} cannot be read: {failure.strerror}.") from None
    try:
        source = _from_file(file, os.path.basename(path), wanted)
    except BaseException:
        file.close()
        raise
    return source._replace(items=_closing(file, source.items))


def _closing(file: IO[bytes], items: Iterator[Found]) -> Iterator[Found]:
    with file:
        yield from items


def _from_folder(path: str, wanted: str | None) -> Source:
    from pathlib import Path

    from keybaton_cli.importers import pass_store, photosphere

    folder = Path(path)
    if wanted == "pass" or (wanted is None and _looks_like_pass(folder)):
        files = pass_store.entries(folder)
        return Source("pass", pass_store.read(folder, files), len(files))
    if wanted == "photosphere" or (wanted is None and photosphere.is_vault_folder(folder)):
        return Source("photosphere", photosphere.read_folder(folder))
    told = f"it has nothing of {wanted} in it" if wanted else "neither a pass store nor a Photosphere vault"
    raise ImportRefused(f"The folder cannot be imported: {told}.")


def _looks_like_pass(folder: Path) -> bool:
    from keybaton_cli.importers import pass_store, photosphere

    return pass_store.names_keys(folder) or (not photosphere.is_vault_folder(folder) and pass_store.has_entries(folder))


def _from_file(file: IO[bytes], name: str, wanted: str | None) -> Source:
    try:
        head = file.read(HEAD_BYTES)
        found = wanted or _told(head, name)
        if found == "jsonl":
            from keybaton_cli.importers import json_lines

            return Source("jsonl", json_lines.read(_lines(head, file)))
        data = head + file.read(WHOLE_MAX_BYTES + 1 - len(head)) if len(head) == HEAD_BYTES else head
    except OSError as failure:
        raise ImportRefused(f"The input cannot be read: {failure.strerror}.") from None
    if len(data) > WHOLE_MAX_BYTES:
        raise ImportRefused(f"The file is longer than {WHOLE_MAX_BYTES // 2**20} MiB.", "JSON lines may be longer.")
    return _from_whole(data, found)


def _from_whole(data: bytes, wanted: str | None) -> Source:
    from keybaton_cli.importers import dotenv_file

    if not data.strip():
        raise ImportRefused("There is nothing in it.", "Where a program was to write it, look whether that has failed.")
    if wanted == "dotenv":
        return Source("dotenv", dotenv_file.read(data))
    from keybaton_cli.importers import bitwarden, json_lines, photosphere

    parsed = _json(data)
    readers: dict[str, tuple[Callable[[object], bool], Callable[[Any], Iterator[Found]]]] = {
        "bitwarden": (bitwarden.is_export, bitwarden.read),
        "photosphere": (
            lambda value: photosphere.is_vault(value) or photosphere.is_secret(value),
            photosphere.read_parsed,
        ),
    }
    for name, (fits, read) in readers.items():
        if wanted == name or (wanted is None and fits(parsed)):
            return Source(name, read(parsed))
    if wanted is None and dotenv_file.holds_assignments(data):
        return Source("dotenv", dotenv_file.read(data))
    if wanted == "pass":
        raise ImportRefused("A pass store is a folder, not a file.")
    raise ImportRefused(
        "The file is of no known format.",
        f"Name one with --format: {', '.join(FORMATS)}. JSON lines are each {json_lines.SHAPE}.",
    )


def _told(head: bytes, name: str) -> str | None:
    """The format, where the name or the first line tells; None where the whole file has to be looked at."""
    if name.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if name == ".env" or name.startswith(".env.") or name.endswith(".env"):
        return "dotenv"
    lines = [line for line in head.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]
    from keybaton_cli.importers import photosphere

    parsed = _json(lines[0]) if lines else None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("name"), str):
        return None
    # One secret of Photosphere's, alone in its file, has the shape of a line with a value.
    alone = len(lines) == 1 and photosphere.is_secret(parsed) and parsed["type"] not in ("token", "note")
    return None if alone else "jsonl"


def _json(data: bytes) -> object:
    import json

    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _lines(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    """Lines of `head` and what follows it. One that is too long is cut just above the limit and the rest of it dropped."""
    from keybaton_cli.importers import json_lines

    limit = json_lines.LINE_MAX_BYTES + 1
    *whole, last = head.split(b"\n")
    yield from whole
    line = last + file.readline(limit)
    while line:
        yield line
        while len(line) >= limit and not line.endswith(b"\n"):
            line = file.readline(limit)
        line = file.readline(limit)
