"""The vault's file damaged, cut, foreign, newer, or not a file of its user's alone."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from keybaton_core.items import ItemKind
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
    variable,
    vault_at,
)
from keybatond.adapters.sqlite_store import SqliteStore
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Exposed
from keybatond.services.vault import PutMode, VaultService

PAGE = 4096
HEAD_BYTES = 100  # of SQLite's own header
FLIPS_OF_A_PAGE = 12
INTERIOR, LEAF = 2, 10  # kinds of pages of an index, https://www.sqlite.org/fileformat.html, section 1.6
INDEXED = 500  # items; their tags fill several pages
GROUPED = 130  # variables of each of three projects; the index of their groups fills several pages
NAMES = [f"n{number}" for number in range(12)]


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
                assert error.reason is Reason.VAULT_DAMAGED
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

    async def test_a_tag_that_changed_on_the_disk_is_damage_and_never_not_found(self, path: Path) -> None:
        """Wherever the bit is, in a leaf of the index or above; what is really not there is NOT_FOUND while the file is sound."""
        vault = await made_vault(path)
        refs = [secret(f"n{number}").ref for number in range(INDEXED)]
        await vault.batch_put([secret(ref.name) for ref in refs], PutMode.CREATE)
        for absent in range(50):
            with pytest.raises(KeybatonError, match="NOT_FOUND"):
                vault.get(secret(f"absent {absent}").ref)
        tags = [vault._opened().sealer.tag(ref) for ref in refs]
        await vault.shutdown()
        content = path.read_bytes()
        kinds = {}
        for number, (ref, tag) in enumerate(zip(refs, tags, strict=True)):
            (at,) = [
                at for page in range(len(content) // PAGE) if (at := self.in_index(content, page, tag)) is not None
            ]
            kinds[content[at // PAGE * PAGE]] = kinds.get(content[at // PAGE * PAGE], 0) + 1
            if number % 7 and kinds[content[at // PAGE * PAGE]] > 5:
                continue  # every tag above the leaves, and a sample of theirs
            path.write_bytes(content)
            flip_bit(path, at + number % len(tag), number % 8)
            damaged = vault_at(path)
            await damaged.open(key())
            for look in (damaged.get, damaged.versions, lambda ref, vault=damaged: vault.batch_get([ref], 1000)):
                with pytest.raises(KeybatonError) as caught:
                    look(ref)
                assert caught.value.reason is Reason.VAULT_DAMAGED, ref.name
            await damaged.shutdown()
        assert kinds.keys() == {INTERIOR, LEAF} and kinds[INTERIOR] > 1

    async def test_a_group_that_changed_on_the_disk_is_damage_and_never_a_shorter_list(self, path: Path) -> None:
        """Whichever entry of the index it is and whichever bit, an environment is read whole or not at all."""
        vault = await made_vault(path)
        for project in ("before", "shop", "after"):
            names = [variable(project, "default", f"V{number}").ref for number in range(GROUPED)]
            await vault.batch_put([variable(ref.vault, ref.environment, ref.name) for ref in names], PutMode.CREATE)
        groups = {
            project: vault._opened().sealer.group(ItemKind.ENV_VARIABLE, project)
            for project in ("before", "shop", "after", "none")
        }
        assert [len(vault.group(ItemKind.ENV_VARIABLE, project)) for project in groups] == [GROUPED] * 3 + [0]
        await vault.shutdown()
        content = path.read_bytes()
        kinds = dict.fromkeys((INTERIOR, LEAF), 0)
        for project, group in groups.items():
            for number, at in enumerate(self.all_in_indexes(content, group)):
                kind = content[at // PAGE * PAGE]
                if number % 5 and kind == LEAF:
                    continue  # every one above the leaves, and a sample of theirs
                path.write_bytes(content)
                flip_bit(path, at + number % len(group), number % 8)
                if self.in_group(path, group) == GROUPED:
                    continue  # it is left over from when the page was divided
                kinds[kind] += 1
                damaged = vault_at(path)
                await damaged.open(key())
                with pytest.raises(KeybatonError) as caught:
                    damaged.group(ItemKind.ENV_VARIABLE, project)
                assert caught.value.reason is Reason.VAULT_DAMAGED, (project, number)
                for size in (1000, GROUPED // 3):
                    with pytest.raises(KeybatonError) as caught:
                        self.listed(damaged, project, size)
                    assert caught.value.reason is Reason.VAULT_DAMAGED, (project, number, size)
                await damaged.shutdown()
        assert kinds[INTERIOR] and kinds[LEAF] > GROUPED // 5

    @staticmethod
    def listed(vault: VaultService, project: str, size: int) -> None:
        """Every page of a project's variables."""
        _, token = vault.list(ItemKind.ENV_VARIABLE, project, page_size=size)
        for _ in range(GROUPED):
            if not token:
                return
            _, token = vault.list(ItemKind.ENV_VARIABLE, project, page_size=size, page_token=token)
        raise AssertionError("a list without an end")

    @staticmethod
    def in_group(path: Path, group: bytes) -> int:
        """How many entries of the whole index of groups have this one."""
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            statement = "SELECT count(*) FROM item INDEXED BY item_group WHERE live = 1 AND +grp = ?"
            (count,) = connection.execute(statement, (group,)).fetchone()
        return int(count)

    @staticmethod
    def all_in_indexes(content: bytes, tag: bytes) -> list[int]:
        """Every place of the tag in pages of indexes."""
        return [
            found.start()
            for found in re.finditer(re.escape(tag), content)
            if found.start() > PAGE and content[found.start() // PAGE * PAGE] in {INTERIOR, LEAF}
        ]

    @staticmethod
    def in_index(content: bytes, page: int, tag: bytes) -> int | None:
        """Where the tag is in a page of an index; None for another page."""
        if page and content[page * PAGE] in {INTERIOR, LEAF}:
            at = content.find(tag, page * PAGE, (page + 1) * PAGE)
            return None if at < 0 else at
        return None

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
