"""What commands print: text for people, one JSON document for programs. Colour only adds to what the words say."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

MASK = "•" * 8

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at `stream`; a closed stream is no terminal."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def colour_wanted(stream: TextIO) -> bool:
    """Colour only on a terminal that can, and never with NO_COLOR (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """`text` with a terminal style where colour is wanted."""
    if not colour_wanted(stream or sys.stdout):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def printable(text: str) -> str:
    """`text` without what could steer a terminal or turn its order around; peers and files may have made it."""
    if text.isascii() and text.isprintable():  # nearly all: a list has thousands of them
        return text
    return "".join(c if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} else "�" for c in text)


def say(text: str = "") -> None:
    """A line of the answer, on stdout."""
    print(text)


def note(text: str = "") -> None:
    """A line beside the answer, on stderr. That nobody can see it changes nothing of what is done."""
    with contextlib.suppress(OSError, ValueError):  # whoever writes the answer will notice
        sys.stdout.flush()  # in the order in which it was said, where both go to one place
    if is_terminal(sys.stderr) and not text.startswith(("\x1b", " ")):
        text = "\n".join(folded(text, columns(sys.stderr)))
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        mute(sys.stderr)


def mute(stream: TextIO) -> None:
    """Nothing can be written there: what is still buffered must not fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def warn(text: str) -> None:
    """A warning on stderr."""
    marked("warning:", "yellow", text)


def hint(text: str) -> None:
    """What to do next, on stderr."""
    if text:
        marked("hint:", "cyan", text)


def marked(mark: str, style: str, text: str) -> None:
    """A sentence with a coloured word before it, on stderr."""
    lines = [f"{mark} {text}"]
    if is_terminal(sys.stderr):
        lines = folded(lines[0], columns(sys.stderr))
    note(styled(mark, style, sys.stderr) + "\n".join(lines).removeprefix(mark))


def columns(stream: TextIO) -> int:
    """How wide the terminal of `stream` is now."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def folded(text: str, size: int) -> list[str]:
    """`text` in lines of at most `size` columns. What stands between backticks is for copying and stays whole."""
    if len(text) <= size and width(text) <= size:
        return [text]
    import re

    lines = [""]
    for word in re.findall(r"(?:`[^`]*`|\S)+", text):
        if lines[-1] and width(lines[-1]) + 1 + width(word) > size:
            lines.append(word)
        else:
            lines[-1] += " " * bool(lines[-1]) + word
    return lines


def document(value: Any) -> None:
    """One JSON document, on one line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns. On a terminal with a head; in a pipe without it and separated by tabs, for other programs."""
    lines = [[printable(cell) for cell in row] for row in rows]
    if not is_terminal(sys.stdout):
        for line in lines:
            print("\t".join(line))
        return
    if not lines:
        return
    widths = [max(width(cell) for cell in column) for column in zip(head, *lines, strict=True)]
    print(styled(_aligned(head, widths), "bold"))
    for line in lines:
        print(_aligned(line, widths))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (size - width(cell)) for cell, size in zip(cells, widths, strict=True)]
    return "  ".join(padded).rstrip()


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Labels and values, aligned; further lines of a value stand below its first."""
    kept = list(rows)
    size = max((width(label) for label, _ in kept), default=0)
    for label, value in kept:
        first, *rest = value.split("\n")
        print(f"{styled(label, 'dim')}{' ' * (size - width(label))}  {first}".rstrip())
        for line in rest:
            print(" " * (size + 2) + line)


def json_value(value: bytes) -> Any:
    """A value for JSON: text where it is text, else its base64 (for the content of files)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def when(milliseconds: int) -> str:
    """A time of the past as local date and time."""
    if not milliseconds:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def when_json(milliseconds: int) -> str | None:
    """A time as RFC 3339 in UTC."""
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def count(number: int, noun: str) -> str:
    """`1 secret`, `2 secrets`."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"
    return f"{number:,} {plural}"
