"""ListItems by column, as the servicer writes it: the same items as without, sorted for a reader."""

from __future__ import annotations

from typing import Any

import pytest

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_hot.answers import list_answer
from keybaton_testing.vaults import secret
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.vault_service import VaultServicer
from keybatond.services.vault import PutMode, VaultService

CONTEXT: Any = None  # a list looks at nothing of it


async def test_columns_hold_what_items_hold(vault: VaultService) -> None:
    """Names sorted without regard to case, each with its own type, version and time; page by page; and anew after a change."""
    servicer = VaultServicer(vault)
    await vault.batch_put([secret(name) for name in ("b", "ä", "C", "a", "B")], PutMode.CREATE)
    await vault.put(secret("a", "new"), PutMode.REPLACE)

    async def both(size: int, token: str) -> tuple[vault_pb2.ListItemsResponse, list[str], list[Any], str]:
        asked = vault_pb2.ListItemsRequest(kind=common_pb2.ITEM_KIND_SECRET, page_size=size, page_token=token)
        plain = vault_pb2.ListItemsResponse.FromString(await servicer.ListItems(asked.SerializeToString(), CONTEXT))
        asked.columns = True
        names, *columns, following = list_answer(await servicer.ListItems(asked.SerializeToString(), CONTEXT))
        return plain, names.split("\n")[:-1], list(zip(*columns, strict=True)), following

    for size, token, expected in ((0, "", ["a", "B", "b", "C", "ä"]), (3, "", ["b", "C", "ä"]), (3, "3", ["a", "B"])):
        plain, names, rests, following = await both(size, token)
        assert names == expected and following == plain.next_page_token
        by_name = {item.ref.name: (item.secret_type, item.version, item.updated_at_ms) for item in plain.items}
        assert dict(zip(names, rests, strict=True)) == by_name
    assert {version for _, version, _ in rests} == {1, 2}
    await vault.delete(secret("a").ref)
    _, names, _, _ = await both(0, "")
    assert names == ["B", "b", "C", "ä"]


async def test_columns_are_of_one_kind(vault: VaultService) -> None:
    """They do not say of what kind an item is."""
    with pytest.raises(KeybatonError) as caught:
        await VaultServicer(vault).ListItems(vault_pb2.ListItemsRequest(columns=True).SerializeToString(), CONTEXT)
    assert caught.value.reason is Reason.INVALID_ARGUMENT
