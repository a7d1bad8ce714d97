"""The log: closed list of fields, ids only, bounded size."""

from __future__ import annotations

import ast
import json
import os
import stat
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from keybatond import logs
from keybatond.logs import FIELDS, AgentLog, LogFile

SOURCE = Path(logs.__file__).parent


def written(*calls: tuple[str, dict[str, str | int]]) -> list[dict[str, object]]:
    lines: list[str] = []
    log = AgentLog(lines.append)
    for event, fields in calls:
        log.event(event, **fields)
    log.open()
    return [json.loads(line) for line in lines]


def test_every_field_in_the_code_is_on_the_list() -> None:
    """Read from the source: each keyword of each call of `event`, wherever it stands."""
    used = {
        keyword.arg
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "event"
        for keyword in node.keywords
    }
    assert used - {None} <= FIELDS


def test_a_field_that_is_not_on_the_list_is_left_out_and_named() -> None:
    """Its value never reaches the log."""
    (line,) = written(("started", {"password": "hunter2", "pid": 7}))
    assert line["pid"] == 7
    assert "hunter2" not in json.dumps(line)
    assert line["fields"] == "unknown:password"


def test_a_text_that_is_no_id_is_replaced() -> None:
    """Names and sentences have blanks and other characters; ids and reasons do not."""
    (line,) = written(("ended", {"reason": "My secret value!"}))
    assert line["reason"] == "(not an id)"


def test_a_text_that_is_longer_than_any_id_is_replaced() -> None:
    """128 characters hold every id and reason; a key in its letters is longer."""
    fits, long = written(("ended", {"reason": "x" * 128}), ("ended", {"reason": "x" * 129}))
    assert (fits["reason"], long["reason"]) == ("x" * 128, "(not an id)")


@given(
    st.text(min_size=1).filter(
        lambda text: not text.isascii() or any(not c.isalnum() and c not in "._:/+-" for c in text)
    )
)
def test_no_unfit_text_gets_through(text: str) -> None:
    """Whatever is not made of the characters of ids."""
    (line,) = written(("ended", {"reason": text}))
    assert line["reason"] == "(not an id)"


def test_events_before_the_opening_wait_and_keep_their_order() -> None:
    """The logger is loaded late; nothing is lost by it."""
    assert [line["event"] for line in written(("one", {}), ("two", {}))] == ["one", "two"]


def test_the_file_is_private_and_its_size_is_bounded(tmp_path: Path) -> None:
    """0600; a full file becomes the first of three older ones."""
    file = LogFile(tmp_path / "agent.log", limit=100)
    for number in range(60):
        file.write(f"line {number:03} " + "x" * 20)
    file.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["agent.log", "agent.log.1", "agent.log.2", "agent.log.3"]
    assert all(path.stat().st_size <= 100 and stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())
    assert "line 059" in (tmp_path / "agent.log").read_text()


def test_whatever_lies_in_the_place_of_the_file_costs_lines_alone(tmp_path: Path) -> None:
    """A folder, a pipe that nobody reads and a link are neither written to nor followed, and none stops an agent."""
    log = LogFile(tmp_path / "agent.log")
    (tmp_path / "agent.log").mkdir()
    log.write("lost")
    (tmp_path / "agent.log").rmdir()
    os.mkfifo(tmp_path / "agent.log")
    log.write("lost")
    (tmp_path / "agent.log").unlink()
    (tmp_path / "agent.log").symlink_to(tmp_path / "elsewhere")
    log.write("lost")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "agent.log").unlink()
    log.write("kept")
    log.close()
    assert (tmp_path / "agent.log").read_text() == "kept\n"
