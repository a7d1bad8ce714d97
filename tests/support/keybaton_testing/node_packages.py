"""Packages of npm as oracles: where they lie, and a run of Node with one of them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

NODE_SECONDS = 60


@functools.cache
def folder(name: str) -> Path | None:
    """Where a package lies: in `$KEYBATON_NODE_MODULES`, else in npm's global folder; None when it is not installed."""
    if not shutil.which("node"):
        return None
    roots = [os.environ.get("KEYBATON_NODE_MODULES", "")]
    if shutil.which("npm"):
        found = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, timeout=NODE_SECONDS, check=False)
        roots.append(found.stdout.strip())
    for root in roots:
        if root and (Path(root) / name / "package.json").is_file():
            return Path(root) / name
    return None


def run(program: str, name: str, given: Any) -> Any:
    """The JSON that `program` prints; its argument is the package's folder, its input `given` as JSON."""
    done = subprocess.run(
        ["node", "-e", program, str(folder(name))],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=NODE_SECONDS,
        check=True,
    )
    return json.loads(done.stdout)
