"""A folder on a device that is a project, or is to become one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from keybaton_testing.device import Device
from keybaton_testing.program import keybaton


class Project:
    """A folder on a device."""

    def __init__(self, device: Device, folder: Path) -> None:
        self.device = device
        self.folder = folder

    def run(self, *command: str, stdin: str = "", ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a program in the folder."""
        done = self.device.run(["sh", "-c", 'cd "$0" && exec "$@"', str(self.folder), *command], stdin=stdin)
        assert not ok or done.returncode == 0, done.stderr
        return done

    def keybaton(self, *arguments: str, stdin: str = "", ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `keybaton` in the folder."""
        return self.run(*keybaton(), *arguments, stdin=stdin, ok=ok)

    def write(self, **files: str) -> None:
        """Makes files; `env_staging` is `.env.staging`."""
        for name, text in files.items():
            (self.folder / ("." + name.replace("_", "."))).write_text(text)
