"""Importers: how formats are told, and that no input breaks them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_cli.importers import (
    Found,
    ImportedItem,
    ImportProblem,
    ImportRefused,
    bitwarden,
    json_lines,
    open_source,
    pass_store,
    photosphere,
)
from keybaton_cli.secret_types import SECRET_TYPES
from keybaton_testing.importing import LINES, found, source


def test_what_is_of_no_known_format_is_refused_and_names_them(tmp_path: Path) -> None:
    """Random text, an empty file, an empty folder, nothing there, an unknown format, the wrong one."""
    for data in ("", "\n \n"):
        with pytest.raises(ImportRefused, match="nothing in it"):
            source(data)
    for data in ("hello", "[]", "null", "\x00\x01"):
        with pytest.raises(ImportRefused, match="no known format") as caught:
            source(data)
        assert "bitwarden" in caught.value.hint
    for path, said in ((tmp_path, "neither a pass store"), (tmp_path / "none", "No such file")):
        with pytest.raises(ImportRefused, match=said):
            open_source(str(path), io.BytesIO())
    with pytest.raises(ImportRefused, match="not a format"):
        source(LINES, "csv")
    with pytest.raises(ImportRefused, match="a folder, not a file"):
        source(LINES, "pass")
    with pytest.raises(ImportRefused, match="nothing of jsonl"):
        open_source(str(tmp_path), io.BytesIO(), "jsonl")
    with pytest.raises(ImportRefused, match="not a Bitwarden"):
        found("{}", "bitwarden")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "type", "value", "fields", "items", "login", "uris", "encrypted", "links", "notes", "card"]
            )
            | st.text(max_size=4),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def sound(items: list[Found]) -> None:
    """Every item is one that the agent takes, every problem can be printed."""
    for item in items:
        if isinstance(item, ImportProblem):
            assert item.where.isprintable() and item.problem.isprintable()
        elif not item.is_database:
            names = {spec.name for spec in SECRET_TYPES[item.type]}
            assert set(item.fields) <= names and item.name.strip()


@settings(max_examples=1000)
@given(JSON, st.sampled_from([bitwarden.read, photosphere.read_parsed]))
def test_any_json_is_items_problems_or_one_refusal(parsed: Any, read: Any) -> None:
    """No JSON value makes an importer fail in another way."""
    try:
        sound(list(read({"items": parsed} if read is bitwarden.read and isinstance(parsed, list) else parsed)))
    except ImportRefused:
        return


@settings(max_examples=1000)
@given(st.lists(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()), max_size=5))
def test_any_lines_are_items_or_problems(lines: list[bytes]) -> None:
    """JSON lines never end before their last line."""
    sound(list(json_lines.read(lines)))


@settings(max_examples=1000)
@given(st.text(max_size=80), st.text(min_size=1, max_size=10))
def test_any_content_of_a_pass_entry_becomes_items(content: str, name: str) -> None:
    """Whatever stands in an entry, nothing of it is lost: each line of it is in one of the items."""
    items = list(pass_store.items_of(name, content, {}))
    sound(items)
    taken = b"\n".join(
        value for item in items if isinstance(item, ImportedItem) for value in item.fields.values()
    ).decode()
    if all(isinstance(item, ImportedItem) for item in items):
        assert all(line.strip().split(":", 1)[-1].strip() in taken for line in content.split("\n"))


@settings(max_examples=1000)
@given(st.binary(max_size=200), st.sampled_from([None, "jsonl", "dotenv", "photosphere", "bitwarden"]))
def test_any_bytes_are_items_problems_or_one_refusal(data: bytes, wanted: str | None) -> None:
    """Telling the format is total too."""
    try:
        sound(found(data, wanted))
    except ImportRefused:
        return
