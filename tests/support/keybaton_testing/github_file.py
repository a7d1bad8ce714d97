"""The file that `$GITHUB_ENV` names: GitHub's own writer as an oracle, and a reader after the rules of GitHub's runner.

The runner's reader is a part of that program and comes in no package, so it cannot be asked itself. `read` follows its rules
as they were seen in its source (SetEnvFileCommand); `written` is the package that actions use to write for it.
"""

from __future__ import annotations

import re

from keybaton_testing import node_packages

PACKAGE = "@actions/core"
REFUSED = ("NODE_OPTIONS",)  # names that the runner takes from nowhere but the workflow itself, in any case of letters

_PROGRAM = """
const fs = require('fs'), os = require('os'), path = require('path');
const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'kbg-')), 'env');
process.env.GITHUB_ENV = file;
const {exportVariable} = require(process.argv[1]);
console.log(JSON.stringify(JSON.parse(fs.readFileSync(0, 'utf8')).map(([name, value]) => {
  fs.writeFileSync(file, '');
  exportVariable(name, value);
  return fs.readFileSync(file, 'utf8');
})));
fs.rmSync(path.dirname(file), {recursive: true});
"""


def written(pairs: list[tuple[str, str]]) -> list[str]:
    """What the package adds to the file for each name and value."""
    texts: list[str] = node_packages.run(_PROGRAM, PACKAGE, pairs)
    return texts


def read(text: str, *, windows: bool = False) -> dict[str, str]:
    """Names and values. ValueError for what the runner refuses.

    A line is NAME=VALUE, or NAME<<DELIMITER and the value's lines up to one that is the delimiter. Only on Windows does a
    carriage return belong to the line end; those within a value stay as they are on both.
    """
    end = re.compile(r"\r?\n|\Z" if windows else r"\n|\Z")
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        line, position = _line(text, position, end)
        if not line:
            continue
        parts = re.fullmatch(r"(.+?)(=|<<)(.*)", line, re.DOTALL)
        if parts is None or parts[1].upper() in REFUSED:
            raise ValueError(f"refused: {line!r}")
        name, sign, rest = parts.groups()
        if sign == "<<":
            rest, position = _block(text, position, rest, end)
        values[name] = rest
    return values


def _line(text: str, position: int, end: re.Pattern[str]) -> tuple[str, int]:
    found = end.search(text, position)
    assert found is not None
    return text[position : found.start()], found.end()


def _block(text: str, start: int, delimiter: str, end: re.Pattern[str]) -> tuple[str, int]:
    stop = position = start
    while position < len(text):
        begin = position
        line, position = _line(text, position, end)
        if line == delimiter:
            return text[start:stop], position
        stop = begin + len(line)
    raise ValueError("there is no delimiter")
