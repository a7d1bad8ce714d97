"""Items of the vault: stored, found, listed, changed, linked, undone, across lock and restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keybaton_core.items import DatabaseBody, Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.vault_contract import ShareVaultContract
from keybaton_testing.vaults import (
    OTHER_KEY,
    database,
    key,
    made_vault,
    opened_vault,
    secret,
    value_of,
    variable,
    vault_at,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault import Change, PutMode, VaultService
from keybatond.services.vault_reads import FLUSH_READS, FLUSH_SECONDS, READS_TOGETHER
from keybatond.services.vault_transaction import READ_BATCHES_KEPT

CREATE, REPLACE, UPSERT = PutMode.CREATE, PutMode.REPLACE, PutMode.UPSERT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the vault lies; its folder is not there yet."""
    return tmp_path / "keybaton" / "vault.db"


@pytest.fixture
def clock() -> FakeClock:
    """The vault's clock."""
    return FakeClock()


@pytest.fixture
async def vault(path: Path, clock: FakeClock) -> AsyncIterator[VaultService]:
    """Open and empty."""
    vault = await made_vault(path, clock)
    yield vault
    await vault.shutdown()


def refusal(caught: pytest.ExceptionInfo[KeybatonError]) -> Reason:
    """The reason of an expected failure."""
    return caught.value.reason


def names(vault: VaultService, *args: object, **kwargs: object) -> list[str]:
    """Every name that a list shows, page after page."""
    found, token = [], ""
    while True:
        page, token = vault.list(*args, **kwargs, page_token=token)  # type: ignore[arg-type]
        found += [summary.ref.name for summary in page]
        if not token:
            return found


class TestRealVault(ShareVaultContract):
    """The real service keeps the contract that the fake keeps."""


class TestPut:
    async def test_every_kind_comes_back_as_it_was_stored(self, vault: VaultService) -> None:
        """Secrets of several fields, binary content, empty values, databases with links, variables."""
        login = {name: SecretBytes.from_text(name * 3) for name in ("username", "password", "totp")}
        stored = [
            Item(ItemRef(ItemKind.SECRET, "ünï 🔑"), SecretBody("login", login)),
            Item(
                ItemRef(ItemKind.SECRET, "file"),
                SecretBody(
                    "file", {"name": SecretBytes.from_text("n"), "content": SecretBytes(bytes(range(256)) * 1000)}
                ),
            ),
            secret("empty", ""),
            database("Photos", s3="a", encryptionKey="b", geocodingKey="c"),
            variable("project", "staging", "TOKEN", "x\ny"),
        ]
        for item in stored:
            summary = await vault.put(item, CREATE)
            assert summary.version == 1
            found = vault.get(item.ref)
            assert (found.ref, found.body, found.id, found.version) == (item.ref, item.body, summary.id, 1)
        assert vault.count() == len(stored)

    async def test_a_value_of_the_maximum_is_kept_and_one_byte_more_is_refused(self, vault: VaultService) -> None:
        """256 KiB of a secret's fields together."""
        await vault.put(secret("max", "x" * 262144), CREATE)
        assert len(value_of(vault.get(secret("max").ref))) == 262144
        with pytest.raises(KeybatonError) as caught:
            await vault.put(secret("more", "x" * 262145), CREATE)
        assert refusal(caught) is Reason.INVALID_ARGUMENT
        assert caught.value.data["field"] == "value"

    async def test_modes_and_versions_are_held_to(self, vault: VaultService) -> None:
        """CREATE never replaces, REPLACE never creates, a base version is compared."""
        with pytest.raises(KeybatonError) as caught:
            await vault.put(secret("a"), REPLACE)
        assert refusal(caught) is Reason.NOT_FOUND
        await vault.put(secret("a", "1"), UPSERT)
        with pytest.raises(KeybatonError) as caught:
            await vault.put(secret("a", "2"), CREATE)
        assert refusal(caught) is Reason.NAME_TAKEN
        with pytest.raises(KeybatonError) as caught:
            await vault.put(secret("a", "2"), REPLACE, base_version=2)
        assert refusal(caught) is Reason.VERSION_CONFLICT
        assert caught.value.data["current"] == "1"
        assert (await vault.put(secret("a", "2"), REPLACE, base_version=1)).version == 2
        with pytest.raises(KeybatonError) as caught:
            await vault.put(secret("b"), UPSERT, base_version=1)
        assert refusal(caught) is Reason.VERSION_CONFLICT

    @pytest.mark.parametrize("name", ["", " a", "a\n", "a\u202eb", "x" * 257])
    async def test_unfit_names_are_refused_by_put_get_and_delete(self, vault: VaultService, name: str) -> None:
        """INVALID_ARGUMENT that names the field and quotes nothing."""
        with pytest.raises(KeybatonError) as caught:
            await vault.put(secret(name), CREATE)
        assert (refusal(caught), caught.value.data["field"]) == (Reason.INVALID_ARGUMENT, "name")
        with pytest.raises(KeybatonError) as caught:
            vault.get(ItemRef(ItemKind.SECRET, name))
        assert refusal(caught) is Reason.INVALID_ARGUMENT
        with pytest.raises(KeybatonError) as caught:
            await vault.delete(ItemRef(ItemKind.SECRET, name))
        assert refusal(caught) is Reason.INVALID_ARGUMENT

    async def test_secrets_differ_by_case_and_databases_do_not(self, vault: VaultService) -> None:
        """Names are exact for secrets, compared without case for databases."""
        await vault.put(secret("Key", "upper"), CREATE)
        await vault.put(secret("key", "lower"), CREATE)
        assert value_of(vault.get(ItemRef(ItemKind.SECRET, "Key"))) == "upper"
        await vault.put(database("Straße"), CREATE)
        assert vault.get(ItemRef(ItemKind.DATABASE, "STRASSE")).ref.name == "Straße"
        with pytest.raises(KeybatonError) as caught:
            await vault.put(database("strasse"), CREATE)
        assert refusal(caught) is Reason.NAME_TAKEN
        renamed = await vault.put(database("STRASSE"), REPLACE, rename_from="Straße")
        assert (renamed.ref.name, renamed.version) == ("STRASSE", 2)

    async def test_many_writers_at_once_each_get_their_own_answer(self, vault: VaultService) -> None:
        """Grouped commits: those that fail do not harm the others."""
        await vault.put(secret("taken"), CREATE)
        results = await asyncio.gather(
            *(vault.put(secret("taken" if n % 5 == 0 else f"n{n}"), CREATE) for n in range(200)), return_exceptions=True
        )
        for n, result in enumerate(results):
            if n % 5 == 0:
                assert isinstance(result, KeybatonError)
                assert result.reason is Reason.NAME_TAKEN
            else:
                assert not isinstance(result, BaseException)
        assert vault.count() == 161
        assert await vault.check(lambda done, total: None) == []

    async def test_a_writer_that_goes_away_harms_nobody(self, vault: VaultService) -> None:
        """Cancelled while its write waits: the write is done or not, the next one goes on."""
        task = asyncio.create_task(vault.put(secret("a"), CREATE))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await vault.put(secret("b"), CREATE)
        assert set(names(vault)) in ({"b"}, {"a", "b"})


class TestBatch:
    async def test_a_batch_is_all_or_nothing(self, vault: VaultService) -> None:
        """One taken name, and nothing is stored."""
        await vault.put(secret("n500"), CREATE)
        items = [secret(f"n{n}") for n in range(1000)]
        with pytest.raises(KeybatonError) as caught:
            await vault.batch_put(items, CREATE)
        assert (refusal(caught), caught.value.data["name"]) == (Reason.NAME_TAKEN, "n500")
        assert vault.count() == 1
        result = await vault.batch_put(items, CREATE, skip_existing=True)
        assert (result.created, result.replaced, [ref.name for ref in result.skipped]) == (999, 0, ["n500"])
        result = await vault.batch_put(items[:10], UPSERT)
        assert (result.created, result.replaced, result.skipped) == (0, 10, [])
        with pytest.raises(KeybatonError) as caught:
            await vault.batch_put([*items, secret("more")], UPSERT)
        assert refusal(caught) is Reason.TOO_LARGE

    async def test_batch_get_tells_what_is_missing(self, vault: VaultService) -> None:
        """Missing ones are listed, not an error."""
        await vault.put(secret("a"), CREATE)
        found, missing = vault.batch_get([secret("a").ref, secret("b").ref])
        assert [item.ref.name for item in found] == ["a"]
        assert missing == [secret("b").ref]

    async def test_apply_holds_each_change_to_its_own_mode(self, vault: VaultService) -> None:
        """Several puts in one transaction."""
        await vault.put(secret("old", "1"), CREATE)
        changes = [
            Change(secret("new"), CREATE),
            Change(secret("old", "2"), REPLACE, 1),
            Change(database("db", s3="new"), CREATE),
        ]
        assert [summary.version for summary in await vault.apply(changes)] == [1, 2, 1]


class TestList:
    async def test_pages_show_every_name_once_while_others_write(self, vault: VaultService) -> None:
        """Stable under inserts, changes and removals between pages."""
        await vault.batch_put([secret(f"n{n:03}") for n in range(50)], CREATE)
        seen, token = [], ""
        for turn in range(100):
            page, token = vault.list(ItemKind.SECRET, page_size=7, page_token=token)
            seen += [summary.ref.name for summary in page]
            if not token:
                break
            await vault.put(secret(f"n{turn:03}", "changed"), REPLACE)
            if turn < 5:
                await vault.put(secret(f"late{turn}"), CREATE)
        assert seen == [f"n{n:03}" for n in range(50)] + [f"late{n}" for n in range(5)]

    async def test_filters_choose_kind_project_environment_and_prefix(self, vault: VaultService) -> None:
        """Each alone and together."""
        await vault.apply(
            [
                Change(secret("aa"), CREATE),
                Change(secret("ab"), CREATE),
                Change(database("Ac"), CREATE),
                Change(variable("p", "default", "A"), CREATE),
                Change(variable("p", "staging", "A"), CREATE),
                Change(variable("q", "default", "B"), CREATE),
            ]
        )
        assert names(vault) == ["aa", "ab", "Ac", "A", "A", "B"]
        assert names(vault, ItemKind.SECRET) == ["aa", "ab"]
        assert names(vault, ItemKind.SECRET, prefix="ab") == ["ab"]
        assert names(vault, ItemKind.DATABASE, prefix="aC") == ["Ac"]
        assert names(vault, prefix="a") == ["aa", "ab", "Ac"]
        assert names(vault, ItemKind.ENV_VARIABLE) == ["A", "A", "B"]
        assert names(vault, ItemKind.ENV_VARIABLE, "p") == ["A", "A"]
        assert names(vault, ItemKind.ENV_VARIABLE, "p", "staging") == ["A"]
        assert names(vault, None, "q") == ["B"]
        assert names(vault, ItemKind.ENV_VARIABLE, "", "default") == ["A", "B"]

    async def test_a_page_opens_a_bounded_number_of_names(self, vault: VaultService) -> None:
        """A rare match in a large vault: short pages with a token, and every match in the end."""
        for start in range(0, 3000, 1000):
            await vault.batch_put([secret(f"n{n}") for n in range(start, start + 1000)], CREATE)
        page, token = vault.list(prefix="n2999", page_size=10)
        assert (page, bool(token)) == ([], True)
        assert names(vault, prefix="n2999") == ["n2999"]

    @pytest.mark.parametrize("token", ["x", "-1", "1.5", "٣", "9" * 30])
    async def test_a_token_from_elsewhere_is_refused(self, vault: VaultService, token: str) -> None:
        """INVALID_ARGUMENT, for lists and for versions."""
        await vault.put(secret("a"), CREATE)
        with pytest.raises(KeybatonError) as caught:
            vault.list(page_token=token)
        assert refusal(caught) is Reason.INVALID_ARGUMENT
        with pytest.raises(KeybatonError) as caught:
            vault.versions(secret("a").ref, page_token=token)
        assert refusal(caught) is Reason.INVALID_ARGUMENT


class TestHistory:
    async def test_versions_tell_every_change_and_the_removal(self, vault: VaultService, clock: FakeClock) -> None:
        """Newest first, with the name as it was; also after the removal, in pages."""
        await vault.put(secret("a", "1"), CREATE)
        clock.move_to(clock.monotonic() + 1)
        await vault.put(secret("b", "2"), REPLACE, rename_from="a")
        await vault.delete(secret("b").ref)
        versions, token = vault.versions(secret("b").ref)
        assert [(v.version, v.removed, v.current, v.name) for v in versions] == [
            (3, True, False, "b"),
            (2, False, False, "b"),
            (1, False, False, "a"),
        ]
        assert token == ""
        assert versions[1].updated_at_ms - versions[2].updated_at_ms == 1000
        first, token = vault.versions(secret("b").ref, 2)
        rest, end = vault.versions(secret("b").ref, 2, token)
        assert [v.version for v in first + rest] == [3, 2, 1]
        assert end == ""
        with pytest.raises(KeybatonError) as caught:
            vault.versions(secret("a").ref)
        assert refusal(caught) is Reason.NOT_FOUND

    async def test_undo_goes_back_and_forth(self, vault: VaultService) -> None:
        """0 is the version before; the history only grows; any older version can be chosen."""
        for value in "123":
            await vault.put(secret("a", value), UPSERT)
        assert (await vault.undo(secret("a").ref)).version == 4
        assert value_of(vault.get(secret("a").ref)) == "2"
        await vault.undo(secret("a").ref)
        assert value_of(vault.get(secret("a").ref)) == "3"
        await vault.undo(secret("a").ref, 1)
        assert value_of(vault.get(secret("a").ref)) == "1"
        for version in (6, 7, 2**63 - 1):
            with pytest.raises(KeybatonError) as caught:
                await vault.undo(secret("a").ref, version)
            assert refusal(caught) is Reason.NOT_FOUND

    async def test_undo_brings_back_what_was_removed_with_its_id(self, vault: VaultService) -> None:
        """The id is stable; creating anew under the name goes on with the history too."""
        first = await vault.put(secret("a", "1"), CREATE)
        gone, _ = await vault.delete(secret("a").ref)
        assert gone.version == 2
        with pytest.raises(KeybatonError):
            vault.get(secret("a").ref)
        back = await vault.undo(secret("a").ref)
        assert (back.id, back.version, value_of(vault.get(secret("a").ref))) == (first.id, 3, "1")
        await vault.delete(secret("a").ref)
        again = await vault.put(secret("a", "new"), CREATE)
        assert (again.id, again.version) == (first.id, 5)
        await vault.undo(secret("a").ref)
        assert value_of(vault.get(secret("a").ref)) == "1"
        with pytest.raises(KeybatonError) as caught:
            await vault.undo(secret("a").ref, 2)  # the removal
        assert refusal(caught) is Reason.NOT_FOUND

    async def test_undo_onto_a_name_that_is_taken_is_refused(self, vault: VaultService) -> None:
        """NAME_TAKEN, nothing changed."""
        await vault.put(secret("a", "1"), CREATE)
        await vault.put(secret("b", "1"), REPLACE, rename_from="a")
        await vault.put(secret("a", "other"), CREATE)
        with pytest.raises(KeybatonError) as caught:
            await vault.undo(secret("b").ref)
        assert refusal(caught) is Reason.NAME_TAKEN
        assert value_of(vault.get(secret("a").ref)) == "other"

    async def test_undo_of_what_has_no_past_is_not_found(self, vault: VaultService) -> None:
        """For a first version and for a name that never was."""
        await vault.put(secret("a"), CREATE)
        for name in ("a", "b"):
            with pytest.raises(KeybatonError) as caught:
                await vault.undo(secret(name).ref)
            assert refusal(caught) is Reason.NOT_FOUND


class TestLinks:
    async def test_links_follow_a_renamed_secret_and_its_undo(self, vault: VaultService) -> None:
        """In the same transaction, as a new version of each database; other links stay."""
        await vault.put(secret("key"), CREATE)
        await vault.put(database("one", s3="key", geocodingKey="other"), CREATE)
        await vault.put(database("two", encryptionKey="key", s3="key"), CREATE)
        await vault.put(database("three", s3="other"), CREATE)
        await vault.put(secret("new"), REPLACE, rename_from="key")
        assert self.links(vault, "one") == {"s3": "new", "geocodingKey": "other"}
        assert self.links(vault, "two") == {"s3": "new", "encryptionKey": "new"}
        assert vault.get(database("three").ref).version == 1
        await vault.undo(secret("new").ref)
        assert self.links(vault, "two") == {"s3": "key", "encryptionKey": "key"}
        assert await vault.check(lambda done, total: None) == []

    async def test_removing_a_linked_secret_names_the_databases(self, vault: VaultService) -> None:
        """They keep their link; a database that was removed or unlinked is not named."""
        await vault.put(secret("key"), CREATE)
        for name in ("b", "a", "gone", "changed"):
            await vault.put(database(name, s3="key"), CREATE)
        await vault.delete(database("gone").ref)
        await vault.put(database("changed", s3="else"), REPLACE)
        _, unlinked = await vault.delete(secret("key").ref)
        assert unlinked == ["a", "b"]
        assert self.links(vault, "a") == {"s3": "key"}

    async def test_renaming_onto_a_taken_name_changes_nothing(self, vault: VaultService) -> None:
        """NAME_TAKEN; a rename needs REPLACE; the old name must be there."""
        await vault.put(secret("a"), CREATE)
        await vault.put(secret("b"), CREATE)
        for item, mode, old, reason in (
            (secret("b"), REPLACE, "a", Reason.NAME_TAKEN),
            (secret("c"), UPSERT, "a", Reason.INVALID_ARGUMENT),
            (secret("c"), REPLACE, "x", Reason.NOT_FOUND),
        ):
            with pytest.raises(KeybatonError) as caught:
                await vault.put(item, mode, rename_from=old)
            assert refusal(caught) is reason
        assert names(vault) == ["a", "b"]

    @staticmethod
    def links(vault: VaultService, name: str) -> dict[str, str]:
        body = vault.get(database(name).ref).body
        assert isinstance(body, DatabaseBody)
        return dict(body.links)


class TestLock:
    async def test_a_locked_vault_tells_so_and_opens_again(self, vault: VaultService, path: Path) -> None:
        """VAULT_LOCKED for every call; another process finds everything."""
        await vault.put(secret("a", "1"), CREATE)
        vault.close()
        assert not vault.is_open
        for call in (lambda: vault.get(secret("a").ref), vault.list, vault.count, vault.reads):
            with pytest.raises(KeybatonError) as caught:
                call()
            assert refusal(caught) is Reason.VAULT_LOCKED
        with pytest.raises(KeybatonError) as caught:
            await vault.put(secret("b"), CREATE)
        assert refusal(caught) is Reason.VAULT_LOCKED
        with pytest.raises(KeybatonError) as caught:
            await vault.open(key(OTHER_KEY))
        assert refusal(caught) is Reason.WRONG_KEY
        await vault.open(key())
        assert value_of(vault.get(secret("a").ref)) == "1"
        await vault.shutdown()
        again = await opened_vault(path)
        assert value_of(again.get(secret("a").ref)) == "1"
        await again.shutdown()

    async def test_writes_on_their_way_are_finished_by_a_lock(self, vault: VaultService) -> None:
        """What was accepted before the lock is stored and answered; the keys are overwritten after it."""
        writes = [asyncio.create_task(vault.put(secret(f"n{n}"), CREATE)) for n in range(20)]
        await asyncio.sleep(0)
        assert vault._open is not None
        keys = vault._open.sealer.keys
        vault.close()
        assert all(summary.version == 1 for summary in await asyncio.gather(*writes))
        await vault._store.barrier()
        assert keys.wiped
        await vault.open(key())
        assert vault.count() == 20

    async def test_without_a_vault_every_call_says_absent(self, path: Path) -> None:
        """And nothing is made by asking."""
        vault = vault_at(path)
        assert vault.header() is None
        with pytest.raises(KeybatonError) as caught:
            await vault.open(key())
        assert refusal(caught) is Reason.VAULT_ABSENT
        with pytest.raises(KeybatonError) as caught:
            vault.list()
        assert refusal(caught) is Reason.VAULT_ABSENT
        await vault.shutdown()
        assert not path.parent.exists()

    async def test_subscribers_hear_of_changes_and_not_of_refusals(self, vault: VaultService) -> None:
        """Until they end it."""
        heard: list[int] = []
        end = vault.subscribe(lambda: heard.append(vault.count()))
        await vault.put(secret("a"), CREATE)
        with pytest.raises(KeybatonError):
            await vault.put(secret("a"), CREATE)
        end()
        await vault.put(secret("b"), CREATE)
        assert heard == [1]


class TestReads:
    async def test_reads_are_noted_written_later_and_survive(
        self, vault: VaultService, path: Path, clock: FakeClock
    ) -> None:
        """With kind of client and time; internal reads are not noted."""
        await vault.put(secret("a"), CREATE)
        vault.get(secret("a").ref, client="command line")
        vault.get(secret("a").ref)
        clock.move_to(clock.monotonic() + 1)
        vault.get(secret("a").ref, client="git\x1b[0m")
        await clock.advance(FLUSH_SECONDS)
        await vault._store.barrier()
        vault.get(secret("a").ref, client="last")
        assert [read.client for read in vault.reads()] == ["last", "git[0m", "command line"]
        await vault.shutdown()
        again = await opened_vault(path)
        reads = again.reads()
        assert [(read.client, read.ref.name, read.version) for read in reads] == [
            ("last", "a", 1),
            ("git[0m", "a", 1),
            ("command line", "a", 1),
        ]
        assert reads[1].at_ms - reads[2].at_ms == 1000
        assert [read.client for read in again.reads(2)] == ["last", "git[0m"]
        assert await again.check(lambda done, total: None) == []
        await again.shutdown()

    async def test_the_log_is_bounded(self, vault: VaultService, path: Path) -> None:
        """The oldest batches go; the sum stays right."""
        await vault.put(secret("a"), CREATE)
        for n in range(READ_BATCHES_KEPT * READS_TOGETHER + FLUSH_READS):
            vault.get(secret("a").ref, client=str(n))
        await vault._store.barrier()
        kept = vault.reads(10**6)
        assert len(kept) == READ_BATCHES_KEPT * READS_TOGETHER
        assert kept[-1].client == str(FLUSH_READS)
        assert await vault.check(lambda done, total: None) == []
