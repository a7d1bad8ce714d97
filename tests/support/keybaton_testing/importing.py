"""What an importer finds, in short."""

from __future__ import annotations

import io

from keybaton_cli.importers import Found, ImportedItem, ImportProblem, Source, open_source

LINES = """{"name": "geo", "type": "api-key", "fields": {"apiKey": "k\\u00e4y"}}

{"name": "seal", "type": "file", "fields": {"name": "seal.bin", "content": {"base64": "AP8="}}}
{"name": "Photos", "description": "d", "path": "/p", "origin": "", "links": {"s3": "bucket", "encryptionKey": null}}
"""


def source(data: bytes | str, wanted: str | None = None) -> Source:
    """What is read from standard input."""
    return open_source("-", io.BytesIO(data.encode() if isinstance(data, str) else data), wanted)


def found(data: bytes | str, wanted: str | None = None) -> list[Found]:
    """All that is found in it."""
    return list(source(data, wanted).items)


def secrets(items: list[Found]) -> dict[str, tuple[str, dict[str, str]]]:
    """By name, type and fields of each."""
    return {
        item.name: (item.type, {key: value.decode() for key, value in item.fields.items()})
        for item in items
        if isinstance(item, ImportedItem)
    }


def problems(items: list[Found]) -> list[str]:
    """Place and words of each."""
    return [f"{item.where}: {item.problem}" for item in items if isinstance(item, ImportProblem)]
