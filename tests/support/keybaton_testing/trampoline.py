"""How a command starts: as the trampoline does it, or always through click; and which modules it loads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keybaton_cli

MAIN = Path(keybaton_cli.__file__).with_name("__main__.py")
SECONDS = 30

THROUGH_CLICK = "import sys; from keybaton_cli.cli import main; sys.exit(main())"

# Prints the loaded modules on standard error at the end, or where another program would take the command's place.
LISTING = """
import posix, sys
leave = posix._exit
def listed(code, *_):
    posix.write(2, "\\n".join(sorted(sys.modules)).encode())
    leave(code if type(code) is int else 0)
posix._exit = posix.execve = listed
main = sys.argv.pop(1)
__file__ = main
exec(compile(open(main).read(), main, "exec"))
"""


def starting(*, bare: bool = True) -> list[str]:
    """A command's beginning: `bare` as the trampoline starts it, else through click."""
    return [sys.executable, "-IS", str(MAIN)] if bare else [sys.executable, "-c", THROUGH_CLICK]


def loaded(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None, stdin: bytes | None = None
) -> tuple[set[str], bytes]:
    """The modules that a command has loaded at its end, and what it printed; it must succeed. No `stdin`: /dev/null."""
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(
        [sys.executable, "-IS", "-c", LISTING, str(MAIN), *arguments],
        env=env,
        cwd=cwd,
        capture_output=True,
        timeout=SECONDS,
        check=True,
        **given,
    )
    return set(done.stderr.decode().split()), done.stdout
