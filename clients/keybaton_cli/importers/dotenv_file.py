"""Imports a `.env` file: each name becomes a `plain` secret. Reading the dialect is `dotenv.reading`'s job."""

from __future__ import annotations

from collections.abc import Iterator

from keybaton_cli.dotenv.reading import DotenvRefused, decode, last_values, parse_node
from keybaton_cli.importers.model import Found, ImportedItem, ImportRefused, checked


def read(data: bytes) -> Iterator[Found]:
    """One item for each name, with the value that counts; in the order of the names' last lines."""
    try:
        bindings = last_values(parse_node(decode(data)))
    except DotenvRefused as refused:
        raise ImportRefused(f"The .env file cannot be read: {refused}.") from None
    for name, binding in bindings.items():
        yield checked(ImportedItem(name, "plain", {"value": (binding.value or "").encode()}))


def holds_assignments(data: bytes) -> bool:
    """Whether it reads as a `.env` file with at least one assignment."""
    try:
        return bool(parse_node(decode(data)))
    except DotenvRefused:
        return False
