"""Other programs' files as `keybaton setup` changes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_cli.setup import files, ini
from keybaton_client.problem import ClientError


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Nor is anything left beside it when writing fails."""
    path = tmp_path / "file"
    path.write_text("theirs")
    with pytest.raises(ClientError) as caught:
        files.replace(path, "before", "after")
    assert caught.value.reason == "CONFLICT"
    (tmp_path / "folder").mkdir()
    with pytest.raises(ClientError):
        files.replace(tmp_path / "file" / "below", "", "x")
    with pytest.raises(ClientError):
        files.read(tmp_path / "folder")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
    assert path.read_text() == "theirs"


LINES = st.lists(
    st.sampled_from(["", "# c", "[a]", "[ b ]", "[profile x]", "k = v", "other=1", "  indented = 2", "junk", "; c"])
)


@given(LINES, st.sampled_from(["a", "b", "new"]))
def test_a_key_that_was_added_and_removed_leaves_the_file_as_it_was(lines: list[str], section: str) -> None:
    """Whatever else stands in it; in between it has the value."""
    text = "".join(f"{line}\n" for line in lines)
    more = ini.added(text, section, "mine", "a = b # c")
    assert ini.value(more, section, "mine") == "a = b # c"
    assert ini.value(text, section, "mine") is None
    less = ini.removed(more, section, "mine")
    empty = section in ini.sections(text) and not ini.has_entries(text, section)
    assert less.strip() == text.strip() or empty
    if section not in ini.sections(text):
        behind = "\n[behind]\nk = v\n"  # what somebody has added since then
        assert ini.removed(more + behind, section, "mine") == text + behind
