"""`keybaton secrets import`: batches, taken names, problems, and a dry run."""

from __future__ import annotations

import json
from pathlib import Path

from keybaton_api.agent.v1 import common_pb2
from keybaton_cli.commands.secrets_import import BATCH_ITEMS
from keybaton_testing.command_line import CommandLine
from keybaton_testing.fake_agent import FakeAgent


def lines(*entries: tuple[str, str]) -> bytes:
    """JSON lines of plain secrets."""
    made = ({"name": name, "type": "plain", "fields": {"value": value}} for name, value in entries)
    return "".join(json.dumps(entry) + "\n" for entry in made).encode()


def test_standard_input_is_imported(agent: FakeAgent, run: CommandLine) -> None:
    """`-` reads standard input; the counts are told."""
    result = run("secrets", "import", "-", stdin=lines(("a", "1"), ("b", "2")))
    assert (result.code, result.out) == (0, "jsonl: 2 stored.\n")
    assert agent.field("b", "value") == b"2"


def test_a_large_source_goes_in_batches_below_the_limits(agent: FakeAgent, run: CommandLine, tmp_path: Path) -> None:
    """At most 1,000 items and less than 4 MiB in a message."""
    many = tmp_path / "many.jsonl"
    many.write_bytes(lines(*((f"n{number}", "v") for number in range(BATCH_ITEMS + 5))))
    assert run("secrets", "import", str(many)).code == 0
    assert [len(batch.items) for batch in agent.batches] == [BATCH_ITEMS, 5]
    large = tmp_path / "large.jsonl"
    large.write_bytes(lines(*((f"l{number}", "v" * 250_000) for number in range(30))))
    agent.batches.clear()
    assert run("secrets", "import", str(large)).code == 0
    assert sum(len(batch.items) for batch in agent.batches) == 30
    assert max(batch.ByteSize() for batch in agent.batches) < 4 * 1024 * 1024


def test_taken_names_fail_are_skipped_or_replaced_as_told(agent: FakeAgent, run: CommandLine) -> None:
    """The default changes nothing that exists: exit code 6 and a hint."""
    agent.put_secret("a", value="old")
    source = lines(("a", "new"), ("b", "2"))
    failed = run("secrets", "import", "-", stdin=source)
    assert failed.code == 6
    assert "--on-conflict" in failed.err
    assert agent.current(common_pb2.ITEM_KIND_SECRET, "b") is None
    skipped = run("secrets", "import", "-", "--on-conflict", "skip", "--json", stdin=source)
    assert (skipped.document["created"], skipped.document["skipped"]) == (1, ["a"])
    assert agent.field("a", "value") == b"old"
    replaced = run("secrets", "import", "-", "--on-conflict", "replace", "--json", stdin=source)
    assert replaced.document["replaced"] == 2
    assert agent.field("a", "value") == b"new"


def test_a_dry_run_stores_nothing(agent: FakeAgent, run: CommandLine) -> None:
    """It says what would happen, with the same exit codes."""
    agent.put_secret("a", value="old")
    source = lines(("a", "new"), ("b", "2"))
    assert run("secrets", "import", "-", "--dry-run", stdin=source).code == 6
    told = run("secrets", "import", "-", "--dry-run", "--on-conflict", "skip", "--json", stdin=source).document
    assert (told["created"], told["skipped"], told["dryRun"]) == (1, ["a"], True)
    assert [entry["name"] for entry in told["found"]] == ["b"]
    assert "b\t" in run("secrets", "import", "-", "--dry-run", "--on-conflict", "skip", stdin=source).out
    assert not agent.batches


def test_what_cannot_be_taken_is_listed_and_the_rest_stored(agent: FakeAgent, run: CommandLine) -> None:
    """Exit code 1; no value is part of a problem."""
    source = lines(("good", "1"), ("good", "twice-value")) + b'{"name": "bad", "type": "nonsense", "fields": {}}\n'
    result = run("secrets", "import", "-", stdin=source)
    assert result.code == 1
    assert agent.field("good", "value") == b"1"
    assert "good: the name comes twice" in result.err
    assert "bad" in result.err
    assert "twice-value" not in result.err


def test_a_source_that_is_nothing_known_is_refused(agent: FakeAgent, run: CommandLine, tmp_path: Path) -> None:
    """A missing file and one of no known format: exit code 1 with a hint."""
    assert run("secrets", "import", str(tmp_path / "none")).code == 1
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(range(256)))
    result = run("secrets", "import", str(noise), "--json")
    assert (result.code, result.document["error"]["reason"]) == (1, "FILE_UNREADABLE")


def test_databases_come_with_their_links(agent: FakeAgent, run: CommandLine) -> None:
    """What `dbs view --json` prints can be read back."""
    entry = {
        "name": "photos",
        "description": "d",
        "path": "p",
        "origin": "",
        "links": {"s3": "a", "encryptionKey": None},
    }
    assert run("secrets", "import", "-", "--format", "jsonl", stdin=json.dumps(entry).encode()).code == 0
    item = agent.current(common_pb2.ITEM_KIND_DATABASE, "photos")
    assert item is not None
    assert (item.database.path, item.database.s3, item.database.encryption_key) == ("p", "a", "")
