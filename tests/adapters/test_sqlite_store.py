"""The vault's file under damage, lack of room, lack of rights and several writers; and the order in which it reaches the disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
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
    OTHER_KEY,
    content_hash,
    database,
    flip_bit,
    key,
    made_vault,
    no_progress,
    secret,
    value_of,
    vault_at,
)
from keybatond.adapters.sqlite_store import SqliteStore
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Exposed
from keybatond.services.vault import PutMode
from keybatond.vault_ports import VaultWriter

PAGE = 4096
HEAD_BYTES = 100  # of SQLite's own header
FLIPS_OF_A_PAGE = 12
NAMES = [f"n{number}" for number in range(12)]
SCRIPT_SECONDS = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the vault lies."""
    return tmp_path / "keybaton" / "vault.db"


@pytest.fixture
async def small(path: Path) -> Path:
    """A closed vault of some pages: items, history, a removal, a link, a log of reads, freed pages."""
    vault = await made_vault(path)
    await vault.put(secret("large", "y" * 9000), PutMode.CREATE)
    for name in NAMES:
        await vault.put(secret(name, f"value of {name}"), PutMode.CREATE)
    await vault.put(secret("large", "value of large"), PutMode.REPLACE)
    await vault.put(database("db", s3="n1"), PutMode.CREATE)
    await vault.delete(secret("n11").ref)
    vault.get(secret("n1").ref, client="test")
    await vault.shutdown()
    assert not path.with_name("vault.db-wal").exists()
    return path


async def look(path: Path) -> tuple[Reason | None, set[str], list[str]]:
    """What somebody finds in a vault: why it does not open; the names whose value is not found; what the check says.

    AssertionError for any value that is not the right one, and for a file that was changed by looking.
    """
    before = content_hash(path)
    vault = vault_at(path)
    missing: set[str] = set()
    try:
        await vault.open(key())
        for name in [*NAMES[:-1], "large"]:
            try:
                assert value_of(vault.get(secret(name).ref)) == f"value of {name}"
            except KeybatonError as error:
                assert error.reason in {Reason.VAULT_DAMAGED, Reason.NOT_FOUND}
                missing.add(name)
        with contextlib.suppress(KeybatonError):
            listed, _ = vault.list()
            assert {summary.ref.name for summary in listed} <= {*NAMES, "large", "db"}
        return None, missing, await vault.check(no_progress)
    except KeybatonError as error:
        return error.reason, set(), []
    finally:
        await vault.shutdown()
        assert content_hash(path) == before


class TestDamage:
    async def test_a_flipped_bit_in_any_page_is_told_or_harmless(self, small: Path, tmp_path: Path) -> None:
        """It never gives a wrong value; what the check does not find has changed no answer; the file stays as it is."""
        size = small.stat().st_size
        offsets = list(range(HEAD_BYTES))
        for page in range(size // PAGE):
            offsets += [
                page * PAGE + (number * PAGE) // FLIPS_OF_A_PAGE + page % 31 for number in range(FLIPS_OF_A_PAGE)
            ]
        told = 0
        for offset in offsets:
            copy = tmp_path / "copy" / "vault.db"
            copy.parent.mkdir(exist_ok=True, mode=0o700)
            shutil.copy(small, copy)
            flip_bit(copy, offset, offset % 8)
            reason, missing, findings = await look(copy)
            assert reason in {None, Reason.VAULT_DAMAGED, Reason.VAULT_NEWER, Reason.WRONG_KEY}, offset
            if reason is None and not findings:
                assert not missing, offset
            told += reason is not None or bool(findings)
            shutil.rmtree(copy.parent)
        assert told > len(offsets) // 4

    async def test_a_cut_file_is_damaged(self, small: Path, tmp_path: Path) -> None:
        """At every length below its own, whole pages or not; also an empty one."""
        size = small.stat().st_size
        for length in [0, 1, 99, 100, PAGE - 1, *range(PAGE, size, PAGE), size - 1]:
            copy = tmp_path / "vault.db"
            copy.write_bytes(small.read_bytes()[:length])
            reason, _, _ = await look(copy)
            assert reason is Reason.VAULT_DAMAGED, length

    async def test_a_foreign_file_is_no_vault(self, tmp_path: Path) -> None:
        """Rubbish, and another program's database."""
        import sqlite3

        foreign = tmp_path / "foreign.db"
        with contextlib.closing(sqlite3.connect(foreign)) as connection:
            connection.execute("CREATE TABLE header(one INTEGER PRIMARY KEY, content BLOB)")
        rubbish = tmp_path / "rubbish.db"
        rubbish.write_bytes(b"\x00" * 8192)
        for file in (foreign, rubbish):
            reason, _, _ = await look(file)
            assert reason is Reason.VAULT_DAMAGED

    async def test_a_trigger_in_the_file_is_not_run(self, small: Path) -> None:
        """Somebody who can write the file gets no statement into the agent."""
        import sqlite3

        with contextlib.closing(sqlite3.connect(small)) as connection:
            connection.execute("CREATE TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item; END")
            connection.commit()
        reason, _, _ = await look(small)
        assert reason is Reason.VAULT_DAMAGED

    async def test_a_newer_format_is_told_as_newer(self, small: Path) -> None:
        """Before SQLite opens the file; header() says so too."""
        flip_bit(small, 63, 1)  # user_version 1 becomes 3
        reason, _, _ = await look(small)
        assert reason is Reason.VAULT_NEWER
        with pytest.raises(KeybatonError) as caught:
            vault_at(small).header()
        assert caught.value.reason is Reason.VAULT_NEWER

    async def test_a_wrong_key_leaves_the_file_alone(self, small: Path) -> None:
        """WRONG_KEY."""
        before = content_hash(small)
        vault = vault_at(small)
        with pytest.raises(KeybatonError) as caught:
            await vault.open(key(OTHER_KEY))
        assert caught.value.reason is Reason.WRONG_KEY
        await vault.shutdown()
        assert content_hash(small) == before

    @pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
    async def test_links_are_not_followed(self, small: Path, tmp_path: Path, suffix: str) -> None:
        """Neither for the vault nor for its companions."""
        target = small.with_name(small.name + suffix)
        elsewhere = tmp_path / "elsewhere"
        if suffix:
            elsewhere.write_bytes(b"")
        else:
            shutil.move(target, elsewhere)
        target.symlink_to(elsewhere)
        vault = vault_at(small)
        with pytest.raises(KeybatonError) as caught:
            await vault.open(key())
        assert caught.value.reason is Reason.STORAGE_FAILED
        assert caught.value.data["obstacle"].startswith(f"{target} is a symbolic link")
        await vault.shutdown()

    @pytest.mark.parametrize("suffix", ["", "-wal"])
    async def test_a_file_that_others_could_open_is_closed_to_them(self, small: Path, suffix: str) -> None:
        """Before it is opened, and whoever made the store is told; one that cannot be closed is told as that."""
        part = small.with_name(small.name + suffix)
        part.touch()
        part.chmod(0o664)
        told: list[Exposed] = []
        SqliteStore(small, told.append).reader()
        assert told == [Exposed(str(part), 0o664, closed=True)]
        assert stat.S_IMODE(part.stat().st_mode) == 0o600

    async def test_on_a_read_only_disk_it_is_opened_and_told(
        self, small: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Secrets stay readable there."""

        def refuse(path: Path, mode: int) -> None:
            raise OSError(errno.EROFS, "read-only")

        small.chmod(0o640)
        monkeypatch.setattr(Path, "chmod", refuse)
        told: list[Exposed] = []
        SqliteStore(small, told.append).reader()
        assert told == [Exposed(str(small), 0o640, closed=False)]

    @pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
    async def test_another_users_file_is_refused(self, small: Path, suffix: str) -> None:
        """Whoever owns it may change it at any time."""
        require("root")
        part = small.with_name(small.name + suffix)
        part.touch()
        os.chown(part, 65534, 65534)
        vault = vault_at(small)
        with pytest.raises(KeybatonError) as caught:
            vault.header()
        assert caught.value.reason is Reason.STORAGE_FAILED
        assert caught.value.data["obstacle"].startswith(f"{part} belongs to another user")


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


class TestOrder:
    """SIGKILL says nothing of power cuts: here the system calls themselves must come in the right order."""

    def trace(self, tmp_path: Path, script: str) -> list[str]:
        """The system calls of a script that have to do with files, in the order of their end."""
        require("strace")
        output = tmp_path / "trace"
        body = "from keybaton_testing.vaults import *\nimport asyncio, os\nfrom pathlib import Path\n"
        body += "from keybatond.services.vault import PutMode\n"
        calls = "pwrite64,write,fdatasync,fsync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,ftruncate"
        done = subprocess.run(
            [
                *("strace", "-f", "-y", "-s", "40", "-o", str(output), "-e", f"trace={calls}"),
                *(sys.executable, "-c", body + textwrap.dedent(script)),
            ],
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return _joined(output.read_text().splitlines())

    def test_a_write_is_on_the_disk_before_it_is_acknowledged(self, tmp_path: Path) -> None:
        """Between the last write to the log and the answer there is a synchronisation of the log, for each put."""
        path = tmp_path / "k" / "vault.db"
        lines = self.trace(
            tmp_path,
            f"""
            async def main():
                vault = await made_vault(Path({str(path)!r}))
                os.write(1, b"MADE")
                for number in range(5):
                    await vault.put(secret(f"n{{number}}"), PutMode.CREATE)
                    os.write(1, b"ACKNOWLEDGED")
                await vault.shutdown()
            asyncio.run(main())
            """,
        )
        steps = [step for line in lines if (step := self.step(line))]
        text = " ".join(steps)
        assert re.fullmatch(r"(.*? log( log)* sync-log answer){5}.*", text), text
        for part in text.split(" answer")[:5]:
            assert part.endswith("sync-log"), text
        made = text.split("made")[0].split()
        assert made[-4:] == ["sync-new", "link", "unlink", "sync-folder"], made

    def test_a_restored_file_takes_its_place_whole_and_after_the_old_one_is_safe(self, tmp_path: Path) -> None:
        """New file, old one linked aside, its log gone, the rename: each synchronised before the next."""
        path, backup = tmp_path / "k" / "vault.db", tmp_path / "b" / "backup"
        backup.parent.mkdir()
        lines = self.trace(
            tmp_path,
            f"""
            async def main():
                vault = await made_vault(Path({str(path)!r}))
                await vault.put(secret("a"), PutMode.CREATE)
                os.write(1, b"MADE")
                await vault.backup({str(backup)!r}, RECORD, key(), no_progress)
                os.write(1, b"BACKUP")
                async def opener(record):
                    return key()
                await vault.restore({str(backup)!r}, opener, OTHER_RECORD, key(OTHER_KEY), no_progress, replace=True)
                os.write(1, b"RESTORED")
            asyncio.run(main())
            """,
        )
        text = " ".join(step for line in lines if (step := self.step(line)))
        backing = text.split("made")[1].split("backup")[0].split()
        assert backing[-4:] == ["sync-new", "link", "unlink", "sync-folder"], text
        restoring = text.split("backup")[1].split("restored")[0].split()
        placed = restoring[restoring.index("sync-new") :]
        kept = ["sync-new", "link", "sync-folder", "unlink-log", "sync-folder", "rename", "sync-folder"]
        assert placed == kept, text

    @staticmethod
    def step(line: str) -> str:
        """A system call in one word, or nothing when it does not matter here."""
        for pattern, word in (
            (r"write\(1<.*\"MADE\"", "made"),
            (r"write\(1<.*\"ACKNOWLEDGED\"", "answer"),
            (r"write\(1<.*\"BACKUP\"", "backup"),
            (r"write\(1<.*\"RESTORED\"", "restored"),
            (r"(f|fdata)sync\(\d+<[^>]*\.new-[0-9a-f]+>", "sync-new"),
            (r"pwrite64\(\d+<[^>]*\.new-[0-9a-f]+>", "write-new"),
            (r"(f|fdata)sync\(\d+<[^>]*-wal>", "sync-log"),
            (r"pwrite64\(\d+<[^>]*vault\.db-wal>", "log"),
            (r"link(at)?\(.*\.new-|link(at)?\(.*replaced-", "link"),
            (r"rename(at2?)?\(.*\.new-", "rename"),
            (r"unlink(at)?\(.*\.new-[0-9a-f]+\"", "unlink"),
            (r"unlink(at)?\(.*vault\.db-wal\"", "unlink-log"),
            (r"fsync\(\d+<[^>]*/[kb]>", "sync-folder"),
        ):
            if re.search(r"\b" + pattern, line):
                return word
        return ""


def _joined(lines: list[str]) -> list[str]:
    """Calls of several threads that strace has torn apart, each at the place of its end, which is when it has happened."""
    begun: dict[str, str] = {}
    joined = []
    for line in lines:
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
        elif "resumed>" in call:
            joined.append(begun.pop(thread, "") + call.partition("resumed>")[2])
        else:
            joined.append(call)
    return joined
