"""The vault's file with several writers, and under lack of room and rights."""

from __future__ import annotations

import asyncio
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from keybaton_core.vault_parts import Row
from keybaton_testing.require import require
from keybaton_testing.vaults import (
    content_hash,
    made_vault,
    secret,
)
from keybatond.adapters.sqlite_store import SqliteStore
from keybatond.services.vault import PutMode
from keybatond.vault_ports import VaultWriter

SCRIPT_SECONDS = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the vault lies."""
    return tmp_path / "keybaton" / "vault.db"


class TestWriters:
    async def test_the_connection_in_use_writes_through(self, path: Path) -> None:
        """synchronous is FULL and the journal a log on the very connection that commits."""
        vault = await made_vault(path)
        await vault.put(secret("a"), PutMode.CREATE)
        store = vault._store
        assert isinstance(store, SqliteStore)
        connection = store._committer._connection
        assert connection is not None
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == (b"wal",)
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
        await vault.shutdown()

    async def test_a_job_that_fails_takes_none_with_it(self, path: Path) -> None:
        """In one transaction with others: its own changes are undone, theirs are kept, each gets its own error."""
        vault = await made_vault(path)
        store = vault._store
        inside: list[int] = []

        def job(number: int) -> int:
            def run(writer: VaultWriter) -> int:
                inside.append(number)
                writer.put_item(row(number))
                if number % 3 == 0:
                    raise ZeroDivisionError(number)
                return number

            return store.write(run)  # type: ignore[return-value]

        results = await asyncio.gather(*(job(number) for number in range(1, 31)), return_exceptions=True)  # type: ignore[call-overload]
        for number, result in enumerate(results, 1):
            assert isinstance(result, ZeroDivisionError) if number % 3 == 0 else result == number
        kept = [found.seq for found in store.reader().items_after(0, 100)]
        assert kept == [number for number in range(1, 31) if number % 3]
        await vault.shutdown()

    async def test_the_folder_is_closed_to_others_when_it_was_open(self, path: Path) -> None:
        """Mode 0700 is set, not only asked for."""
        path.parent.mkdir(mode=0o755)
        path.parent.chmod(0o755)
        vault = await made_vault(path)
        await vault.shutdown()
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def row(number: int) -> Row:
    """A row that means nothing."""
    return Row(number, bytes([number]) * 16, 1, bytes([number]) * 16, bytes(16), True, b"summary", b"body")


def in_mount_namespace(mounts: str, script: str) -> str:
    """Runs a Python script where `mounts` (shell) has been done; its output."""
    require("root")
    body = "from keybaton_testing.vaults import *\nimport asyncio, subprocess\nfrom pathlib import Path\n"
    body += "from keybatond.errors import KeybatonError\nfrom keybatond.services.vault import PutMode\n"
    command = f"set -e\n{mounts}\nexec '{sys.executable}' -c \"$0\""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, body + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestStorage:
    def test_a_full_disk_is_told_and_loses_nothing(self, tmp_path: Path) -> None:
        """STORAGE_FULL for put, batch and rekey; what was stored stays and is readable, also after a restart on the full disk."""
        folder = tmp_path / "full"
        folder.mkdir(mode=0o700)
        out = in_mount_namespace(
            f"mount -t tmpfs -o size=1m,mode=700 none '{folder}'",
            f"""
            async def main():
                path = Path({str(folder)!r}) / "vault.db"
                vault = await made_vault(path)
                stored = []
                for number in range(1000):
                    try:
                        await vault.put(secret(f"n{{number}}", "x" * 10000), PutMode.CREATE)
                    except KeybatonError as error:
                        print("put", error.reason.value)
                        break
                    stored.append(f"n{{number}}")
                else:
                    raise SystemExit("never full")
                for work in (
                    lambda: vault.batch_put([secret(f"b{{n}}", "x" * 10000) for n in range(100)], PutMode.CREATE),
                    lambda: vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress),
                    lambda: vault.backup(str(path) + ".backup", OTHER_RECORD, key(), no_progress),
                ):
                    try:
                        await work()
                        print("done")
                    except KeybatonError as error:
                        print("work", error.reason.value)
                assert [value_of(vault.get(secret(name).ref)) for name in stored] == ["x" * 10000] * len(stored)
                assert await vault.check(no_progress) == []
                await vault.shutdown()
                filler = path.parent / "filler"
                with filler.open("wb", buffering=0) as file:
                    try:
                        while file.write(b"x" * 4096):
                            pass
                    except OSError:
                        pass
                before = content_hash(path)
                again = await opened_vault(path)
                assert [value_of(again.get(secret(name).ref)) for name in stored] == ["x" * 10000] * len(stored)
                try:
                    await again.put(secret("more"), PutMode.CREATE)
                except KeybatonError as error:
                    print("restarted", error.reason.value)
                assert content_hash(path) == before
                filler.unlink()
                subprocess.run(["mount", "-o", "remount,size=2m", path.parent], check=True)
                await again.delete(secret(stored[0]).ref)
                assert again.count() == len(stored) - 1
                assert await again.check(no_progress) == []
                await again.shutdown()
                print(sorted(file.name for file in path.parent.iterdir()))
            asyncio.run(main())
            """,
        )
        assert out.splitlines() == [
            "put STORAGE_FULL",
            "work STORAGE_FULL",
            "work STORAGE_FULL",
            "work STORAGE_FULL",
            "restarted STORAGE_FULL",
            "['vault.db']",
        ]

    def test_what_a_killed_agent_left_on_a_read_only_disk_is_not_opened_as_an_older_state(self, tmp_path: Path) -> None:
        """Its last writes are in the log alone, which cannot be read there: STORAGE_READ_ONLY, and nothing that lacks them."""
        folder = tmp_path / "readonly"
        folder.mkdir()

        async def make() -> None:
            vault = await made_vault(tmp_path / "living" / "vault.db")
            await vault.put(secret("a"), PutMode.CREATE)
            for name in ("vault.db", "vault.db-wal"):
                shutil.copy(tmp_path / "living" / name, folder / name)
            await vault.shutdown()

        asyncio.run(make())
        assert (folder / "vault.db-wal").stat().st_size
        out = in_mount_namespace(
            f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'",
            f"""
            async def main():
                try:
                    await opened_vault(Path({str(folder)!r}) / "vault.db")
                except KeybatonError as error:
                    print(error.reason.value)
            asyncio.run(main())
            """,
        )
        assert out.splitlines() == ["STORAGE_READ_ONLY"]

    def test_a_read_only_folder_can_be_read_and_says_why_it_cannot_be_written(self, tmp_path: Path) -> None:
        """STORAGE_READ_ONLY for every write, and for a vault that is to be made."""
        folder = tmp_path / "readonly"

        async def make() -> None:
            vault = await made_vault(folder / "vault.db")
            await vault.put(secret("a"), PutMode.CREATE)
            await vault.shutdown()

        asyncio.run(make())
        before = content_hash(folder / "vault.db")
        out = in_mount_namespace(
            f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'",
            f"""
            async def main():
                path = Path({str(folder)!r}) / "vault.db"
                vault = await opened_vault(path)
                print(value_of(vault.get(secret("a").ref)), await vault.check(no_progress))
                other = vault_at(path.with_name("other.db"))
                for work in (
                    lambda: vault.put(secret("b"), PutMode.CREATE),
                    lambda: vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress),
                    lambda: vault.backup(str(path) + ".backup", OTHER_RECORD, key(), no_progress),
                    lambda: other.create(RECORD, key()),
                ):
                    try:
                        await work()
                    except KeybatonError as error:
                        print(error.reason.value)
                print(value_of(vault.get(secret("a").ref)))
                await vault.shutdown()
            asyncio.run(main())
            """,
        )
        assert out.splitlines() == ["value []", *["STORAGE_READ_ONLY"] * 4, "value"]
        assert content_hash(folder / "vault.db") == before
