"""The real `dotenv` of npm as an oracle: what Node reads from `.env` texts."""

from __future__ import annotations

from keybaton_testing import node_packages

PACKAGE = "dotenv"

_PROGRAM = """
const {parse} = require(process.argv[1]);
const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(texts.map(text => Object.entries(parse(Buffer.from(text, 'utf8'))))));
"""


def parse_all(texts: list[str]) -> list[dict[str, str]]:
    """What `dotenv.parse` returns for each text, in one run of Node."""
    return [dict(pairs) for pairs in node_packages.run(_PROGRAM, PACKAGE, texts)]
