"""`make bench`: measures every row, prints the table next to the bounds, and writes bench-results.json."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keybaton_testing.bench import agent_rows, command_rows, share_rows, vault_rows
from keybaton_testing.bench.measure import Row
from keybaton_testing.bench.setting import Setting

_GROUPS: dict[str, Callable[[Setting], list[Row]]] = {
    "get": command_rows.get,
    "run": command_rows.run,
    "list": command_rows.listing,
    "start": agent_rows.cold_start,
    "idle": agent_rows.idle,
    "load": agent_rows.load,
    "put": vault_rows.durable_put,
    "import": vault_rows.batch_import,
    "share": share_rows.shares,
    "sizes": agent_rows.sizes,
}
_RESULTS = Path("bench-results.json")


def main() -> int:
    """Returns 1 when a bound does not hold or a row could not be measured at all."""
    parser = argparse.ArgumentParser(prog="make bench BENCH=…", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"only these of: {' '.join(_GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and 20,000 secrets instead of 1,000,000")
    options = parser.parse_args()
    unknown = set(options.groups) - set(_GROUPS)
    if unknown:
        parser.error(f"there is no group {', '.join(sorted(unknown))}")
    setting = Setting.from_environment(quick=options.quick)
    rows: list[Row] = []
    for name in options.groups or _GROUPS:
        print(f"measuring: {name} …", file=sys.stderr, flush=True)
        rows += _measured(name, setting)
    print(_table(rows))
    _write(rows, quick=options.quick)
    return 1 if any(row.holds is False or row.note.startswith("failed") for row in rows) else 0


def _measured(name: str, setting: Setting) -> list[Row]:
    """The rows of one group; one that fails becomes a row that says so, and the others go on."""
    try:
        return _GROUPS[name](setting)
    except Exception as error:
        traceback.print_exc()
        return [Row(name, "", None, None, note=f"failed: {type(error).__name__}: {error}"[:160])]


def _table(rows: list[Row]) -> str:
    cells = [("", "what", "against", "figure", "bound", "")]
    for row in rows:
        sign = {True: "ok", False: "OVER", None: "-"}[row.holds]
        figure = "-" if row.value is None else f"{row.value:.3g} {row.unit}"
        bound = "" if row.bound is None else f"{'≥' if row.at_least else '≤'} {row.bound:g}"
        cells.append((sign, row.what, row.against, figure, bound, row.note))
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    return "\n".join(
        "  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _write(rows: list[Row], *, quick: bool) -> None:
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()},
        "rows": [{**dataclasses.asdict(row), "holds": row.holds} for row in rows],
    }
    _RESULTS.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
