"""Descriptions of changes: what would be written where. Applying them is left to whoever has asked the person."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keybaton_cli.failure import Failure

_SAID_MAX = 200


@dataclass(frozen=True)
class Step:
    """One change: `lines` as they will stand in `where`, or as they would be typed; `apply` makes it."""

    where: str
    lines: tuple[str, ...]
    apply: Callable[[], object]
    removes: bool = False


@dataclass(frozen=True)
class Plan:
    """Steps, none when nothing is left to do, and what the person should know."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """How things are: whether the program is there, and where it was told to use the vault ("" for not at all)."""

    installed: bool
    where: str


def installed(program: str) -> bool:
    """Whether a program is on PATH."""
    return shutil.which(program) is not None


def helper(name: str) -> str:
    """How other programs call one of our helpers: by name where PATH has it, else by its whole path. Failure."""
    if shutil.which(name):
        return name
    for folder in (
        Path(sys.executable).parent,
        Path(sysconfig.get_path("scripts")),
        Path(sys.argv[0]).resolve().parent,
    ):
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    raise Failure("NOT_FOUND", f"{name} is not installed beside this command.", "Install Keybaton again.")


def first_line(said: str) -> str:
    """What another program said, as far as a sentence has room for it."""
    return (said.strip().splitlines() or ["it gave no reason"])[0][:_SAID_MAX]


def conflict(where: str, what: str, hint: str) -> Failure:
    """Somebody else's configuration stands in the way."""
    return Failure("CONFLICT", f"{where}: {what}; it was left as it is.", hint)
