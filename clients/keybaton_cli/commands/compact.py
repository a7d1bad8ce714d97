"""`keybaton vault compact`: older versions go for good, and the file gets smaller."""

from __future__ import annotations

import click

from keybaton_api.agent.v1 import agent_pb2
from keybaton_cli import output, prompts
from keybaton_cli.commands.vault import last_of
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.items import NOUNS

_NAMED_MAX = 20  # items in the preview; `--json` names up to 1,000


@command(
    "compact",
    examples=(
        "keybaton vault compact --keep 5                  # shows what would go, and asks",
        "keybaton vault compact --older-than 365 --yes",
        "keybaton vault compact --keep 3 --older-than 90  # what either keeps stays",
        "keybaton vault compact --keep 0 --dry-run",
    ),
)
@click.option("--keep", type=click.IntRange(0, 10_000), metavar="N", help="Keep N versions before the current one.")
@click.option(
    "--older-than",
    type=click.IntRange(0, 36_500),
    metavar="DAYS",
    help="Keep what was replaced or removed in the last DAYS days.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_app
def compact(app: App, keep: int | None, older_than: int | None, dry_run: bool, yes: bool) -> None:
    """Forget older versions for good, removed items with them, and make the vault's file smaller. Backups keep theirs."""
    if keep is None and older_than is None:
        raise UsageFailure("What is to stay must be said.", "Give --keep, --older-than or both.")
    api = app.client().agent
    if not (yes or dry_run):
        prompts.demand(app, "Whether to forget them", "`--yes` says so; `--dry-run` only shows them.")
    if dry_run or not yes:
        would = last_of(api.compact_vault(keep, older_than, dry_run=True), "looking")
        if dry_run or not would.items:
            _tell(app, would, dry_run=True)
            return
        _preview(would)
        if not prompts.Asker().confirm(f"Forget {_count(would)}? Nothing brings them back."):
            raise Failure("INTERRUPTED", "Nothing was forgotten.")
    _tell(app, last_of(api.compact_vault(keep, older_than), "compacting"), dry_run=False)


def _count(done: agent_pb2.CompactVaultResponse) -> str:
    gone = f", with {output.count(done.gone, 'removed item')}" if done.gone else ""
    return f"{output.count(done.versions, 'version')} of {output.count(done.items, 'item')}{gone}"


def _preview(would: agent_pb2.CompactVaultResponse) -> None:
    rows = []
    for item in would.shown[:_NAMED_MAX]:
        name = f"{item.ref.name} ({item.ref.environment})" if item.ref.environment else item.ref.name
        rows.append((NOUNS.get(item.ref.kind, "item"), name, str(item.versions), "removed" if item.gone else ""))
    output.table(("KIND", "NAME", "VERSIONS", ""), rows)
    if would.items > len(rows):
        output.say(f"… and {output.count(would.items - len(rows), 'item')} more.")


def _tell(app: App, done: agent_pb2.CompactVaultResponse, *, dry_run: bool) -> None:
    if app.json:
        shown = [
            {
                "name": item.ref.name,
                "kind": NOUNS.get(item.ref.kind, "item"),
                "project": item.ref.vault or None,
                "environment": item.ref.environment or None,
                "versions": item.versions,
                "gone": item.gone,
            }
            for item in done.shown
        ]
        output.document(
            {
                "dryRun": dry_run,
                "versions": done.versions,
                "items": done.items,
                "removedItems": done.gone,
                "shown": shown,
            }
        )
    elif not done.items:
        output.say("No version is old enough to go.")
    elif dry_run:
        _preview(done)
        output.say(f"It would forget {_count(done)}.")
    else:
        output.say(f"Forgot {_count(done)}.")
