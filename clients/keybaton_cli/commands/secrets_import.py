"""`keybaton secrets import`: stores what an importer finds, in batches that the agent takes whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_cli import output
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.importers import FORMATS, Found, ImportedItem, ImportProblem, Source, open_source
from keybaton_cli.items import DATABASE, SECRET, database_ref, secret_item
from keybaton_cli.secret_types import doubt
from keybaton_client.problem import ClientError

BATCH_ITEMS = 1000  # of the API
BATCH_BYTES = 3 * 1024 * 1024  # a message holds 4 MiB; the next item may add 256 KiB and its name
_ON_CONFLICT = ("skip", "replace", "fail")


@dataclass
class _Outcome:
    """What has become of the source so far."""

    created: int = 0
    replaced: int = 0
    skipped: list[str] = field(default_factory=list)
    found: list[tuple[str, str]] = field(default_factory=list)
    """Of a dry run: name and type of what would be stored or replaced."""
    problems: list[ImportProblem] = field(default_factory=list)

    def json(self, source_format: str, dry_run: bool) -> dict[str, Any]:
        """The document of `--json`."""
        found = [{"name": name, "type": kind} for name, kind in self.found]
        return {
            "format": source_format,
            "dryRun": dry_run,
            "created": self.created,
            "replaced": self.replaced,
            "skipped": self.skipped,
            **({"found": found} if dry_run else {}),
            "problems": [
                {"where": problem.where, "problem": problem.problem, "skipped": problem.skipped}
                for problem in self.problems
            ],
        }


@command(
    "import",
    examples=(
        "keybaton secrets import secrets.jsonl --dry-run",
        "keybaton secrets import ~/.password-store",
        "keybaton secrets import bitwarden-export.json --on-conflict skip",
        "vendor-tool export | keybaton secrets import -",
    ),
)
@click.argument("file", metavar="FILE|FOLDER|-", type=click.Path(allow_dash=True))
@click.option("--format", "named", type=click.Choice(FORMATS), help="What it is. [default: told by its content]")
@click.option(
    "--on-conflict",
    type=click.Choice(_ON_CONFLICT),
    default="fail",
    show_default=True,
    help="What to do with names that exist here. `fail` stops at the first batch that holds one.",
)
@click.option("--dry-run", is_flag=True, help="Store nothing; say what would be stored.")
@pass_app
def import_secrets(app: App, file: str, named: str | None, on_conflict: str, dry_run: bool) -> None:
    """Take over secrets from a file, a folder or standard input.

    Knows JSON lines, .env files, a Photosphere vault without encryption, a `pass` store and Bitwarden's JSON export.
    Exit code 1 when parts of the source could not be taken; they are listed, the rest is stored.
    """
    source = open_source(file, sys.stdin.buffer, named)
    outcome = _Outcome()
    store = _look if dry_run else _store
    try:
        for batch in _batches(_items(app, source, outcome)):
            store(app, batch, on_conflict, outcome)
    except ClientError as error:
        raise _explained(error, outcome) from None
    _report(app, source.format, outcome, dry_run)
    if outcome.problems and any(problem.skipped for problem in outcome.problems):
        raise click.exceptions.Exit(1)


def _explained(error: ClientError, outcome: _Outcome) -> Failure:
    """The failure with what is stored already, and what `--on-conflict` can do about a taken name."""
    message, hint = error.message, error.hint
    if error.reason == "NAME_TAKEN":
        name = error.data.get("name", "")
        message = f"The name {name} is taken." if name else message
        hint = "`--on-conflict skip` leaves what is here as it is, `--on-conflict replace` replaces it."
    stored = outcome.created + outcome.replaced
    if stored:
        message += f" {output.count(stored, 'item')} had been stored before that."
    return Failure(error.reason, message, hint, dict(error.data))


def _items(app: App, source: Source, outcome: _Outcome) -> Iterator[common_pb2.Item]:
    """The items, converted; problems go to the outcome, and the progress to a terminal."""
    progress = _progress(app, source.total)
    for number, found in enumerate(_checked(source.items), 1):
        progress(number)
        if isinstance(found, ImportProblem):
            outcome.problems.append(found)
        else:
            odd = doubt(found.fields)
            if odd:
                outcome.problems.append(ImportProblem(found.name, odd, skipped=False))
            yield _converted(found)
    progress(0)


def _checked(items: Iterator[Found]) -> Iterator[Found]:
    """Names that come twice would make the agent refuse their batch: the second is a problem."""
    seen: set[tuple[bool, str]] = set()
    for found in items:
        if isinstance(found, ImportedItem):
            key = (found.is_database, found.name.casefold() if found.is_database else found.name)
            if key in seen:
                yield ImportProblem(found.name, "the name comes twice")
                continue
            seen.add(key)
        yield found


def _converted(found: ImportedItem) -> common_pb2.Item:
    if not found.is_database:
        return secret_item(found.name, found.type, dict(found.fields))
    texts = {key: value.decode() for key, value in found.fields.items()}
    links = {"s3": "s3", "encryptionKey": "encryption_key", "geocodingKey": "geocoding_key"}
    named = {links[slot]: name for slot, name in found.links.items()}
    return common_pb2.Item(ref=database_ref(found.name), database=common_pb2.Database(**texts, **named))


def _batches(items: Iterator[common_pb2.Item]) -> Iterator[list[common_pb2.Item]]:
    batch: list[common_pb2.Item] = []
    size = 0
    for item in items:
        length = item.ByteSize()
        if batch and (len(batch) == BATCH_ITEMS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def _store(app: App, batch: list[common_pb2.Item], on_conflict: str, outcome: _Outcome) -> None:
    mode = vault_pb2.PUT_MODE_UPSERT if on_conflict == "replace" else vault_pb2.PUT_MODE_CREATE
    done = app.client().vault.batch_put(batch, mode, skip_existing=on_conflict == "skip")
    outcome.created += done.created
    outcome.replaced += done.replaced
    outcome.skipped += [ref.name for ref in done.skipped]


def _look(app: App, batch: list[common_pb2.Item], on_conflict: str, outcome: _Outcome) -> None:
    """What `_store` would do."""
    there = {(kind, name) for kind in (SECRET, DATABASE) for name in _existing(app, batch, kind)}
    existing = [item.ref.name for item in batch if (item.ref.kind, item.ref.name) in there]
    if existing and on_conflict == "fail":
        told = f"Taken already: {output.count(len(existing), 'name')} of {len(batch):,}, such as {existing[0]}."
        raise Failure("NAME_TAKEN", told, "`--on-conflict skip` or `--on-conflict replace` says what to do with them.")
    outcome.created += len(batch) - len(existing)
    left = set() if on_conflict == "replace" else there
    outcome.found += [
        (item.ref.name, item.secret.type or "database") for item in batch if (item.ref.kind, item.ref.name) not in left
    ]
    if on_conflict == "replace":
        outcome.replaced += len(existing)
    else:
        outcome.skipped += existing


def _existing(app: App, batch: list[common_pb2.Item], kind: common_pb2.ItemKind.ValueType) -> list[str]:
    """Names in the batch that the vault has; only names are fetched, never values."""
    wanted = {
        item.ref.name.casefold() if kind == DATABASE else item.ref.name: item for item in batch if item.ref.kind == kind
    }
    if not wanted:
        return []
    there = {
        summary.ref.name.casefold() if kind == DATABASE else summary.ref.name
        for summary in app.client().vault.list_items(kind)
    }
    return [item.ref.name for name, item in wanted.items() if name in there]


def _progress(app: App, total: int | None) -> Callable[[int], None]:
    """Shows how many have been read, on a terminal; 0 takes the line away."""
    if app.json or not output.is_terminal(sys.stderr):
        return lambda number: None

    def show(number: int) -> None:
        of = f" of {total:,}" if total else ""
        if not number or number % 50 == 0 or number == total:
            sys.stderr.write(f"\r\x1b[K{f'reading … {number:,}{of}' if number else ''}")
            sys.stderr.flush()

    return show


def _report(app: App, source_format: str, outcome: _Outcome, dry_run: bool) -> None:
    if app.json:
        output.document(outcome.json(source_format, dry_run))
        return
    for problem in outcome.problems:
        verb = "left out" if problem.skipped else "taken"
        output.note(f"{verb}: {output.printable(problem.where)}: {output.printable(problem.problem)}")
    output.table(("NAME", "TYPE"), outcome.found)
    parts = [f"{outcome.created:,} {'would be ' if dry_run else ''}stored"]
    if outcome.replaced:
        parts.append(f"{outcome.replaced:,} {'would be ' if dry_run else ''}replaced")
    if outcome.skipped:
        parts.append(f"{len(outcome.skipped):,} skipped, as their names exist")
    output.say(f"{source_format}: " + ", ".join(parts) + ".")
