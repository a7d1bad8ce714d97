"""What a person may set in config.toml: strict, with the file, the line and what was expected in every complaint."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from keybaton_core.names import DEVICE_NAME_MAX_BYTES
from keybaton_core.names import plain as plain_text
from keybatond.refusal import StartRefused

SETTINGS_MAX_BYTES = 64 * 1024  # a page of settings; anything larger is a mistake
IDLE_LOCK_MAX_MINUTES = 7 * 24 * 60


class Settings(NamedTuple):
    """The values in force. The fields are the keys of config.toml."""

    device_name: str = ""  # empty: the host's name
    idle_lock_minutes: int = 60  # 0: never
    lock_with_session: bool = True  # on suspend and when the screen is locked
    ssh_agent: bool = False  # whether SSH's programs are served from the start
    interfaces: tuple[str, ...] = ()  # names of those that shares use; empty: all

    @classmethod
    def read(cls, path: Path) -> Settings:
        """From the file; the defaults when there is none. StartRefused names file, line and what was expected."""
        try:
            # Not to wait for ever on a pipe; one that is empty reads as an empty file.
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
                content = file.read(SETTINGS_MAX_BYTES + 1) or b""
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise StartRefused(f"{path} cannot be read: {error.strerror}.") from None
        if len(content) > SETTINGS_MAX_BYTES:
            raise StartRefused(f"{path} is larger than {SETTINGS_MAX_BYTES} bytes.")
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Settings:
        """From the bytes of a file named `path` in complaints. StartRefused."""
        import tomllib  # 4 ms, and most people have no config.toml

        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise StartRefused(f"{path}, line {line}: expected UTF-8 text.") from None
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _malformed(path, text, str(error)) from None
        for key, value in values.items():
            problem = _problem(key, value)
            if problem:
                raise StartRefused(f"{path}, line {_line_of(text, key)}: {problem}")
        if "interfaces" in values:
            values["interfaces"] = tuple(values["interfaces"])
        return cls(**values)


_EXPECTED: Mapping[str, str] = {
    "device_name": f"a text of at most {DEVICE_NAME_MAX_BYTES} bytes without control characters",
    "idle_lock_minutes": f"a whole number from 0 (never) to {IDLE_LOCK_MAX_MINUTES}",
    "lock_with_session": "true or false",
    "ssh_agent": "true or false",
    "interfaces": 'a list of names such as ["eth0", "wlan0"]',
}


def _problem(key: str, value: object) -> str:
    """What is wrong with a setting; empty when it is fit."""
    if key not in _EXPECTED:
        return f"expected one of {', '.join(_EXPECTED)}; this key is unknown."
    fit = {
        "device_name": isinstance(value, str) and _fits_device_name(value),
        "interfaces": isinstance(value, list) and all(isinstance(name, str) and name for name in value),
        "idle_lock_minutes": type(value) is int and 0 <= value <= IDLE_LOCK_MAX_MINUTES,
    }.get(key, isinstance(value, bool))
    return "" if fit else f"{key}: expected {_EXPECTED[key]}."


def _fits_device_name(value: str) -> bool:
    return len(value.encode()) <= DEVICE_NAME_MAX_BYTES and plain_text(value, DEVICE_NAME_MAX_BYTES) == value


def _line_of(text: str, key: str) -> int:
    """Where a top-level key or table stands; the parser does not tell."""
    pattern = re.compile(rf"""^\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)), 1)


def _malformed(path: Path, text: str, problem: str) -> StartRefused:
    """The parser's complaint with its place in front."""
    found = re.search(r"\s*\((?:at line (\d+), column \d+|at end of document)\)$", problem)
    line = found.group(1) if found and found.group(1) else str(len(text.splitlines()) or 1)
    said = problem[: found.start()] if found else problem
    return StartRefused(
        f"{path}, line {line}: expected TOML such as `idle_lock_minutes = 60`; {said[:1].lower()}{said[1:]}."
    )
