"""A page of summaries by column, for the fakes of the agent: sorted as the agent sorts it."""

from __future__ import annotations

from collections.abc import Iterable

from keybaton_api.agent.v1 import common_pb2, vault_pb2


def item_columns(items: Iterable[common_pb2.ItemSummary]) -> vault_pb2.ItemColumns:
    """What the agent answers instead of `items` to who asks for columns."""
    chosen = sorted(items, key=lambda item: (item.ref.name.casefold(), item.ref.name))
    types = sorted({item.secret_type for item in chosen})
    return vault_pb2.ItemColumns(
        names="".join(f"{item.ref.name}\n" for item in chosen),
        types=types,
        type_numbers=[types.index(item.secret_type) for item in chosen],
        versions=[item.version for item in chosen],
        updated_at_ms=[item.updated_at_ms for item in chosen],
    )
