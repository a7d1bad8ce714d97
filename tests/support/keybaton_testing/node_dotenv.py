"""The real `dotenv` of npm as an oracle: what Node reads from `.env` texts."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

NODE_SECONDS = 60

_PROGRAM = """
const {parse} = require(process.argv[1]);
const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(texts.map(text => Object.entries(parse(Buffer.from(text, 'utf8'))))));
"""


@functools.cache
def folder() -> Path | None:
    """Where the package lies: `$KEYBATON_NODE_MODULES`, else npm's global folder; None when it is not installed."""
    if not shutil.which("node"):
        return None
    roots = [os.environ.get("KEYBATON_NODE_MODULES", "")]
    if shutil.which("npm"):
        found = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, timeout=NODE_SECONDS, check=False)
        roots.append(found.stdout.strip())
    for root in roots:
        if root and (Path(root) / "dotenv" / "package.json").is_file():
            return Path(root) / "dotenv"
    return None


def parse_all(texts: list[str]) -> list[dict[str, str]]:
    """What `dotenv.parse` returns for each text, in one run of Node."""
    package = folder()
    assert package is not None
    done = subprocess.run(
        ["node", "-e", _PROGRAM, str(package)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=NODE_SECONDS,
        check=True,
    )
    return [dict(pairs) for pairs in json.loads(done.stdout)]
