"""What shares rely on in a vault: one contract, run against the fake and the real service."""

from __future__ import annotations

import pytest

from keybaton_core.items import DatabaseBody, EnvBody, Item, ItemKind, ItemRef, SecretBody
from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.services.share_offer import ShareVault
from keybatond.services.vault_types import Change, PutMode


def plain_secret(name: str, value: str = "v") -> Item:
    """A secret of type plain."""
    return Item(ItemRef(ItemKind.SECRET, name), SecretBody("plain", {"value": SecretBytes.from_text(value)}))


def database(name: str, **links: str) -> Item:
    """A database with links by slot."""
    return Item(ItemRef(ItemKind.DATABASE, name), DatabaseBody(description="d", path="/p", links=links))


async def reason_of(vault: ShareVault, *changes: Change) -> Reason:
    """Why the vault refuses these changes."""
    with pytest.raises(KeybatonError) as refused:
        await vault.apply(list(changes))
    return refused.value.reason


class ShareVaultContract:
    """Subclasses give a fixture `vault`: open and empty."""

    async def test_what_was_stored_is_found_with_its_values(self, vault: ShareVault) -> None:
        """An item comes back as it went in, with version 1."""
        await vault.apply([Change(plain_secret("a", "one"), PutMode.CREATE)])
        found = vault.get(ItemRef(ItemKind.SECRET, "a"))
        assert found.body == plain_secret("a", "one").body
        assert found.version == 1

    async def test_it_counts_what_it_holds(self, vault: ShareVault) -> None:
        """Items of every kind."""
        assert vault.count() == 0
        await vault.apply([Change(plain_secret("a"), PutMode.CREATE), Change(database("b"), PutMode.CREATE)])
        assert vault.count() == 2

    async def test_it_lists_the_variables_of_one_environment(self, vault: ShareVault) -> None:
        """All pages together hold each of them once, and none of another environment or project."""
        one, other = "a" * 32, "b" * 32
        refs = [ItemRef(ItemKind.ENV_VARIABLE, f"V{n}", one, "staging") for n in range(5)]
        strangers = [
            ItemRef(ItemKind.ENV_VARIABLE, "X", one, "default"),
            ItemRef(ItemKind.ENV_VARIABLE, "Y", other, "staging"),
        ]
        items = [Item(ref, EnvBody(SecretBytes.from_text("v"))) for ref in (*refs, *strangers)]
        await vault.apply([Change(item, PutMode.CREATE) for item in items])
        found: list[ItemRef] = []
        token = ""
        for _ in range(100):
            page, token = vault.list(ItemKind.ENV_VARIABLE, one, "staging", page_size=2, page_token=token)
            found += [summary.ref for summary in page]
            if not token:
                break
        assert sorted(ref.name for ref in found) == [ref.name for ref in refs]
        assert vault.get(refs[0]).ref == refs[0]

    def test_what_is_not_there_is_not_found(self, vault: ShareVault) -> None:
        """NOT_FOUND, and no other reason."""
        with pytest.raises(KeybatonError) as refused:
            vault.get(ItemRef(ItemKind.SECRET, "a"))
        assert refused.value.reason is Reason.NOT_FOUND

    async def test_create_never_replaces(self, vault: ShareVault) -> None:
        """NAME_TAKEN, and the first value stays."""
        await vault.apply([Change(plain_secret("a", "one"), PutMode.CREATE)])
        assert await reason_of(vault, Change(plain_secret("a", "two"), PutMode.CREATE)) is Reason.NAME_TAKEN
        assert vault.get(ItemRef(ItemKind.SECRET, "a")).body == plain_secret("a", "one").body

    async def test_replace_never_creates(self, vault: ShareVault) -> None:
        """NOT_FOUND."""
        assert await reason_of(vault, Change(plain_secret("a"), PutMode.REPLACE)) is Reason.NOT_FOUND

    async def test_replace_holds_to_the_version_that_was_seen(self, vault: ShareVault) -> None:
        """Another version than that is VERSION_CONFLICT; the right one replaces."""
        await vault.apply([Change(plain_secret("a", "one"), PutMode.CREATE)])
        stale = Change(plain_secret("a", "three"), PutMode.REPLACE, 1)
        await vault.apply([Change(plain_secret("a", "two"), PutMode.REPLACE, 1)])
        assert await reason_of(vault, stale) is Reason.VERSION_CONFLICT
        assert vault.get(ItemRef(ItemKind.SECRET, "a")).version == 2

    async def test_one_refused_change_leaves_nothing_of_the_others(self, vault: ShareVault) -> None:
        """All or nothing."""
        await vault.apply([Change(plain_secret("taken"), PutMode.CREATE)])
        both = [Change(plain_secret("new"), PutMode.CREATE), Change(plain_secret("taken"), PutMode.CREATE)]
        assert await reason_of(vault, *both) is Reason.NAME_TAKEN
        with pytest.raises(KeybatonError):
            vault.get(ItemRef(ItemKind.SECRET, "new"))

    async def test_names_of_databases_compare_without_case(self, vault: ShareVault) -> None:
        """`Photos` and `photos` are one database, but two secrets."""
        await vault.apply([Change(database("Photos"), PutMode.CREATE)])
        assert vault.get(ItemRef(ItemKind.DATABASE, "photos")).ref.name == "Photos"
        assert await reason_of(vault, Change(database("PHOTOS"), PutMode.CREATE)) is Reason.NAME_TAKEN
        pair = [Change(plain_secret("Key"), PutMode.CREATE), Change(plain_secret("key"), PutMode.CREATE)]
        await vault.apply(pair)

    async def test_a_database_and_its_links_come_in_one_transaction(self, vault: ShareVault) -> None:
        """Links are kept as they were given."""
        await vault.apply(
            [
                Change(plain_secret("k"), PutMode.CREATE),
                Change(database("db", s3="bucket"), PutMode.CREATE),
            ]
        )
        body = vault.get(ItemRef(ItemKind.DATABASE, "db")).body
        assert isinstance(body, DatabaseBody)
        assert dict(body.links) == {"s3": "bucket"}
