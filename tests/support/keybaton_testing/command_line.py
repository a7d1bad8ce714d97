"""Runs `keybaton` in the test's own process: quick, with real descriptors for what it reads and prints."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import pytest

from keybaton_cli.cli import main


@dataclass(frozen=True)
class Result:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its JSON objects, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]


class CommandLine:
    """Calls like a function; `stdin` is a pipe with these bytes, or /dev/null."""

    def __init__(self, captured: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self._captured = captured
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> Result:
        """Runs one command line to its end."""
        source = os.open(os.devnull, os.O_RDONLY) if stdin is None else descriptor(stdin)
        with os.fdopen(source, "r") as file:
            self._monkeypatch.setattr("sys.stdin", file)
            code = main(list(arguments))
        captured = self._captured.readouterr()
        return Result(code, captured.out.decode(), captured.err.decode())


def descriptor(content: bytes) -> int:
    """The reading end of a pipe that holds `content` (less than a pipe's buffer); the test process closes it at its end."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading
