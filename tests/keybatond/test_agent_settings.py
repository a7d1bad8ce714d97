"""config.toml: what is accepted, and what is said of everything else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybatond.refusal import StartRefused
from keybatond.settings import SETTINGS_MAX_BYTES, Settings

PATH = Path("/config.toml")


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    """A missing file is no error."""
    assert Settings.read(tmp_path / "config.toml") == Settings(idle_lock_minutes=60)


def test_a_full_file_is_read() -> None:
    """Each key sets its field."""
    content = b'device_name = "Work laptop"\nidle_lock_minutes = 0\nlock_with_session = false\n'
    assert Settings.parse(content, PATH) == Settings("Work laptop", 0, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"idle_lock_minutes = \n", "/config.toml, line 1: expected TOML"),
        (b"\n\nnonsense\n", "/config.toml, line 3: expected TOML"),
        (b"device_name = 'a\n", "/config.toml, line 1: expected TOML"),
        (b"# fine\nidle_lock_minutes = true\n", "line 2: idle_lock_minutes: expected a whole number from 0"),
        (b"idle_lock_minutes = -1\n", "line 1: idle_lock_minutes: expected"),
        (b"idle_lock_minutes = 1.5\n", "line 1: idle_lock_minutes: expected"),
        (b"\nlock_with_session = 1\n", "line 2: lock_with_session: expected true or false"),
        (b'device_name = "' + b"x" * 65 + b'"\n', "line 1: device_name: expected a text of at most 64 bytes"),
        (b'device_name = "a\\u202eb"\n', "line 1: device_name: expected"),
        (b"idle_lock_minutes = 5\nidle_lock = 5\n", "line 2: expected one of device_name, idle_lock_minutes"),
        (b"\n[vault]\nx = 1\n", "line 2: expected one of"),
        (b"a = 1\n\xff\n", "line 2: expected UTF-8 text"),
    ],
)
def test_a_complaint_names_file_line_and_what_was_expected(content: bytes, said: str) -> None:
    """Malformed files, wrong types and unknown keys are refused with their place."""
    with pytest.raises(StartRefused) as refused:
        Settings.parse(content, PATH)
    assert said in refused.value.message


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    """The agent would else hang before it can say why."""
    path = tmp_path / "config.toml"
    os.mkfifo(path)
    assert Settings.read(path) == Settings()


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    """The size has a limit."""
    (tmp_path / "config.toml").write_bytes(b"#" * (SETTINGS_MAX_BYTES + 1))
    with pytest.raises(StartRefused, match="larger than"):
        Settings.read(tmp_path / "config.toml")


@settings(max_examples=1000)
@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet="device_namlk=\"'[]{}.\n#\\ 0", max_size=80).map(str.encode))
)
def test_any_bytes_are_settings_or_refused(content: bytes) -> None:
    """No content makes the parser fail in another way."""
    try:
        assert isinstance(Settings.parse(content, PATH), Settings)
    except StartRefused as refused:
        assert "line" in refused.message
