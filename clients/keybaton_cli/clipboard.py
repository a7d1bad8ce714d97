"""Puts a value on the clipboard through the desktop's own tool, and has it taken off again when it is still there."""

from __future__ import annotations

import hmac
import os
import shutil
import subprocess
import sys

from keybaton_cli import clipboard_clear, output
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App

CLEAR_SECONDS = 45
_TOOL_SECONDS = 5

# (needed variable, command that copies standard input, command that prints the clipboard)
_TOOLS: tuple[tuple[str, list[str], list[str]], ...] = (
    ("WAYLAND_DISPLAY", ["wl-copy"], ["wl-paste", "--no-newline"]),
    ("DISPLAY", ["xclip", "-selection", "clipboard", "-in"], ["xclip", "-selection", "clipboard", "-out"]),
    ("DISPLAY", ["xsel", "--clipboard", "--input"], ["xsel", "--clipboard", "--output"]),
    ("", ["pbcopy"], ["pbpaste"]),
)


def copy_for_a_while(app: App, value: bytes, name: str, seconds: int = CLEAR_SECONDS) -> None:
    """Copies `value`; a process of its own clears it after `seconds` unless something else was copied since."""
    copying, pasting = _tool()
    _put(copying, value)
    _clear_later(copying, pasting, value, seconds)
    if app.json:
        output.document({"name": name, "copied": True, "clearsAfterSeconds": seconds})
    else:
        output.say(f"Copied {output.printable(name)}; the clipboard is cleared in {seconds} seconds.")


def _tool() -> tuple[list[str], list[str]]:
    for variable, copying, pasting in _TOOLS:
        if (not variable or os.environ.get(variable)) and shutil.which(copying[0]) and shutil.which(pasting[0]):
            return copying, pasting
    raise Failure(
        "NO_CLIPBOARD",
        "There is no clipboard here that can be reached.",
        "It needs a desktop session and one of wl-clipboard, xclip or xsel.",
    )


def _put(copying: list[str], value: bytes) -> None:
    # The tools stay behind to serve the clipboard: they must not hold our descriptors, or the caller's pipe never closes.
    try:
        subprocess.run(
            copying,
            input=value,
            timeout=_TOOL_SECONDS,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        raise Failure("NO_CLIPBOARD", f"{copying[0]} could not reach the clipboard.") from None


def _clear_later(copying: list[str], pasting: list[str], value: bytes, seconds: int) -> None:
    """Starts a process that outlives this one; it is told a keyed hash of the value, not the value."""
    key = os.urandom(32)
    clearer = subprocess.Popen(
        [sys.executable, "-IS", clipboard_clear.__file__, str(seconds), *pasting, "--", *copying],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    if clearer.stdin is not None:
        with clearer.stdin as pipe:
            pipe.write(key + hmac.digest(key, value, "sha256"))
