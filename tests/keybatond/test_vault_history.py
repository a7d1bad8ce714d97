"""Past versions of items, undo, and links between databases and secrets."""

from __future__ import annotations

import pytest

from keybaton_core.items import DatabaseBody
from keybaton_testing.fake_clock import FakeClock
from keybaton_testing.vaults import (
    database,
    names,
    refusal,
    secret,
    value_of,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault import PutMode, VaultService

CREATE, REPLACE, UPSERT = PutMode.CREATE, PutMode.REPLACE, PutMode.UPSERT


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
