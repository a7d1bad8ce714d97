"""A real terminal (tmux) with a shell in it: tests type keys and read the screen as a person does, without sleeping."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from keybaton_testing.processes import wait_until

COLUMNS, ROWS = 100, 45
_PROMPT = "ready> "


class Terminal:
    """One shell in a tmux of its own; a context manager. `env` is the whole environment of what runs in it."""

    def __init__(self, env: Mapping[str, str], shell: Sequence[str] = ("bash", "--norc", "--noprofile")) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kbt-"))
        self._socket = str(self._folder / "tmux")
        self._runs = 0
        variables = {**env, "PS1": _PROMPT, "TERM": "screen-256color", "LC_ALL": "C.UTF-8"}
        command = shlex.join(["env", "-i", *(f"{key}={value}" for key, value in variables.items()), *shell])
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), command)

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
        ).stdout

    def screen(self) -> str:
        """What stands on the screen now, and what has scrolled off it."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-500")

    def coloured(self) -> str:
        """What stands on the screen, with the escape sequences of its colours."""
        return self._tmux("capture-pane", "-p", "-e", "-J")

    def resize(self, columns: int, rows: int) -> None:
        """Gives the window another size, as dragging its corner does."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def wait_for(self, text: str, *, times: int = 1, seconds: float = 20.0) -> str:
        """Waits until the screen holds `text`, `times` times, and returns the screen."""
        try:
            wait_until(lambda: self.screen().count(text) >= times, f"{text!r} on the screen", seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None
        return self.screen()

    def type(self, text: str) -> None:
        """Types characters as they are."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Presses keys by tmux's names: Enter, Space, Up, Down, C-c, C-u, Tab, Escape."""
        self._tmux("send-keys", *keys)

    def line(self, text: str) -> None:
        """Types a line and presses Enter."""
        self.type(text)
        self.press("Enter")

    def run(self, command: str) -> None:
        """Starts a command at the shell's prompt; `exit_code` reads how it ended."""
        self.wait_for(_PROMPT.strip())
        self._runs += 1
        self._wipe()
        self.line(f'{command}; echo "ended {self._runs}:" $?:')

    def _wipe(self) -> None:
        """Takes away what stands on the screen and what has scrolled off it: no wait is to find what was shown before."""
        self._tmux("send-keys", "-R", ";", "clear-history")

    def exit_code(self, *, seconds: float = 20.0) -> int:
        """Waits for the command's end."""
        mark = f"\nended {self._runs}: "
        screen = self.wait_for(mark, seconds=seconds)
        return int(screen.rpartition(mark)[2].split(":")[0])

    def restored(self) -> bool:
        """Whether the terminal echoes and reads lines again, as a shell left it."""
        self._wipe()
        self.line("stty -a | tr ';' '\\n' | tail -n 3; echo \"looked\":")
        words = self.wait_for("looked:").split()
        return "echo" in words and "icanon" in words and "isig" in words

    def close(self) -> None:
        """Ends everything in the terminal, as closing its window does."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, timeout=20, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
