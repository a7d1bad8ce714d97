"""Files that are written whole or not at all: their mode, what is in the way, and what a failure leaves."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from keybaton_cli import whole_file


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """A strict one."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_what_the_umask_leaves_of_its_mode(tmp_path: Path) -> None:
    """All of it where it is to be exact."""
    whole_file.write(tmp_path / "new", b"text", 0o644)
    assert (tmp_path / "new").read_bytes() == b"text"
    assert mode(tmp_path / "new") == 0o600
    whole_file.write(tmp_path / "new", b"other", 0o644, replace=True, exact=True)
    assert (tmp_path / "new").read_bytes() == b"other"
    assert mode(tmp_path / "new") == 0o644


def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    """A file, a link that leads nowhere, a folder; nothing is left beside them."""
    (tmp_path / "file").write_text("theirs")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("file", "link", "folder", "."):
        with pytest.raises(FileExistsError):
            whole_file.write(tmp_path / name, b"ours", 0o600)
    with pytest.raises(OSError, match="directory"):
        whole_file.write(tmp_path / "folder", b"ours", 0o600, replace=True)
    assert (tmp_path / "file").read_text() == "theirs"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "link"]


def test_nothing_is_left_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before it is whole, and no other lies beside it."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "file").write_text("theirs")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        whole_file.write(tmp_path / "file", b"ours", 0o600, replace=True)
    assert (tmp_path / "file").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["file"]
