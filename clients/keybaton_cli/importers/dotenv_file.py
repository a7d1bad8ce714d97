"""Imports a `.env` file: each name becomes a `plain` secret. Reading the dialect is `dotenv.reading`'s job."""

from __future__ import annotations

from collections.abc import Iterator

from keybaton_cli.dotenv.foreign import encrypted, references
from keybaton_cli.dotenv.reading import DotenvRefused, decode, last_values, parse_node, unread_lines
from keybaton_cli.importers.model import Found, ImportedItem, ImportProblem, ImportRefused, checked


def read(data: bytes) -> Iterator[Found]:
    """One item for each name, with the value that counts; problems for lines that are none and for values that do not count."""
    try:
        text = decode(data)
        bindings = parse_node(text)
    except DotenvRefused as refused:
        raise ImportRefused(f"The .env file cannot be read: {refused}.") from None
    counting = last_values(bindings)
    for line in unread_lines(text):
        yield ImportProblem(f"line {line}", "is not an assignment (NAME=value)")
    for binding in bindings:
        last = counting[binding.name].line
        if binding is not counting[binding.name]:
            yield ImportProblem(f"line {binding.line}", f"{binding.name} comes again in line {last}, which counts")
    for binding in encrypted(counting.values()):
        yield ImportProblem(binding.name, "is encrypted by dotenvx (`dotenvx decrypt --stdout` prints it)")
        del counting[binding.name]
    for binding in references(counting.values()):
        yield ImportProblem(binding.name, "is a reference to 1Password (op://…), not the value itself", skipped=False)
    for name, binding in counting.items():
        yield checked(ImportedItem(name, "plain", {"value": (binding.value or "").encode()}))


def holds_assignments(data: bytes) -> bool:
    """Whether it reads as a `.env` file with at least one assignment."""
    try:
        return bool(parse_node(decode(data)))
    except DotenvRefused:
        return False
