"""Other programs' configuration files: read whole, written atomically, everything that is not ours kept byte for byte."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from keybaton_cli import whole_file
from keybaton_cli.failure import Failure

FILE_MAX_BYTES = 1024 * 1024  # configuration that people edit; anything larger is a mistake
NEW_MODE = 0o600


def read(path: Path) -> str:
    """The text of a file; empty where there is none. Failure."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Failure("FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > FILE_MAX_BYTES:
        raise Failure("FILE_UNREADABLE", f"{path} is larger than {FILE_MAX_BYTES // 1024} KiB.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Failure("FILE_UNREADABLE", f"{path} is not UTF-8 text.") from None


def replace(path: Path, before: str, after: str) -> None:
    """Puts `after` in the place of `before`, with the file's mode, through a link where the file is one. Failure.

    CONFLICT when the file is no longer as it was when the change was thought out.
    """
    if read(path) != before:
        raise Failure("CONFLICT", f"{path} was changed meanwhile.", "Run the command again.")
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else NEW_MODE
        whole_file.write(target, after.encode(), mode, replace=True, exact=True)
    except OSError as error:
        raise Failure("STORAGE_FAILED", f"{path} cannot be written: {error.strerror}.") from None


def shown(path: Path) -> str:
    """A path for a person, with ~ for the home folder."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def home(variable: str, *default: str) -> Path:
    """The file that an environment variable names, else the one below the home folder."""
    value = os.environ.get(variable, "")
    return Path(value) if value else Path.home().joinpath(*default)


def config_folder() -> Path:
    """XDG_CONFIG_HOME, as its specification says."""
    value = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(value) if value.startswith("/") else Path.home() / ".config"
