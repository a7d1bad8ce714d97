"""Items of the vault: stored, found, listed, several at once."""

from __future__ import annotations

import asyncio

import pytest

from keybaton_core.items import Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybaton_core.vault_rows import RowSealer
from keybaton_testing.vault_contract import ShareVaultContract
from keybaton_testing.vaults import (
    database,
    names,
    refusal,
    secret,
    value_of,
    variable,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services import vault as vault_module
from keybatond.services.vault import Change, PutMode, VaultService
from keybatond.services.vault_transaction import Found, find
from keybatond.vault_ports import VaultReader

CREATE, REPLACE, UPSERT = PutMode.CREATE, PutMode.REPLACE, PutMode.UPSERT


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
        found, missing = vault.batch_get([secret("a").ref, secret("b").ref], 100, client="test")
        assert [item.ref.name for item in found] == ["a"]
        assert missing == [secret("b").ref]
        assert [read.ref.name for read in vault.reads()] == ["a"]

    async def test_a_batch_that_no_answer_holds_is_refused_before_all_of_it_is_read(
        self, vault: VaultService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thousand of the largest would be 256 MiB. What is not answered is not noted as read."""
        items = [secret(f"n{number}", "x" * 1024) for number in range(8)]
        await vault.batch_put(items, CREATE)
        opened: list[ItemRef] = []

        def noted(reader: VaultReader, sealer: RowSealer, ref: ItemRef) -> Found | None:
            opened.append(ref)
            return find(reader, sealer, ref)

        monkeypatch.setattr(vault_module, "find", noted)
        refs = [item.ref for item in items]
        with pytest.raises(KeybatonError) as caught:
            vault.batch_get(refs, 4 * 1024, client="test")
        assert (caught.value.reason, caught.value.data.keys()) == (Reason.TOO_LARGE, {"limit", "items"})
        assert opened == refs[:5]
        assert vault.reads() == []
        assert len(vault.batch_get(refs, 8 * 1024)[0]) == 8

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
