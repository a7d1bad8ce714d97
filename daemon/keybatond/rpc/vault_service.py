"""VaultService: translate, call, translate back."""

# Methods are named as the API names them.
# ruff: noqa: N802

from __future__ import annotations

from typing import Any, Final

import grpc.aio

from keybaton_api.agent.v1 import vault_pb2, vault_pb2_grpc
from keybaton_core.items import Item, ItemSummary
from keybatond.errors import refused
from keybatond.rpc.client_kind import client_kind
from keybatond.rpc.convert import (
    asked_ref_from,
    fill_summary,
    item_from,
    item_to,
    kind_from,
    ref_from,
    ref_to,
    sendable,
    summary_to,
)
from keybatond.rpc.encoded import decoded, take_bytes
from keybatond.rpc.limits import MESSAGE_MAX_BYTES
from keybatond.services.vault import PutMode, VaultService
from keybatond.services.vault_types import bare_value

NAME: Final = "keybaton_api.agent.v1.VaultService"
READS_USUAL = 100
READS_MAX = 1000

_ITEM: Final = b"item "  # kept answers are found by method and request
_Context = grpc.aio.ServicerContext[Any, Any]


def _mode_from(number: int) -> PutMode:
    try:
        return PutMode(number or PutMode.CREATE)
    except ValueError:
        raise refused("mode", "is unknown") from None


def _list_encoded(items: list[ItemSummary], token: str) -> bytes:
    response = vault_pb2.ListItemsResponse(next_page_token=token)
    for item in items:
        fill_summary(response.items.add(), item)
    return response.SerializeToString()


def _columns_encoded(items: list[ItemSummary], token: str) -> bytes:
    items = sorted(items, key=lambda item: (item.ref.name.casefold(), item.ref.name))
    types = sorted({item.secret_type for item in items})
    places = {secret_type: place for place, secret_type in enumerate(types)}
    columns = vault_pb2.ItemColumns(
        names="".join([item.ref.name + "\n" for item in items]),
        types=types,
        type_numbers=[places[item.secret_type] for item in items],
        versions=[item.version for item in items],
        updated_at_ms=[item.updated_at_ms for item in items],
    )
    return vault_pb2.ListItemsResponse(columns=columns, next_page_token=token).SerializeToString()


def add_to_server(servicer: VaultServicer, server: Any) -> None:
    """Registers the servicer; reads and lists take bytes."""
    take_bytes(NAME, servicer, ("GetItem", "ListItems"), server)
    vault_pb2_grpc.add_VaultServiceServicer_to_server(servicer, server)


class VaultServicer(vault_pb2_grpc.VaultServiceServicer):
    """Hands vault calls to the vault."""

    def __init__(self, vault: VaultService) -> None:
        self._vault = vault

    async def GetItem(self, request: bytes, context: _Context) -> bytes:  # type: ignore[override]  # see add_to_server
        return self._vault.get_encoded(_ITEM + request, self._read, client=client_kind(context))

    def _read(self, asked: bytes) -> tuple[list[Item], bytes]:
        request = decoded(vault_pb2.GetItemRequest(), asked.removeprefix(_ITEM))
        item = self._vault.get(asked_ref_from(request.ref))
        if request.bare:
            response = vault_pb2.GetItemResponse(value=bare_value(item.body, request.field))
        else:
            response = vault_pb2.GetItemResponse(item=item_to(item))
        return [item], response.SerializeToString()

    async def PutItem(self, request: vault_pb2.PutItemRequest, context: _Context) -> vault_pb2.PutItemResponse:
        item = item_from(request.item)
        summary = await self._vault.put(item, _mode_from(request.mode), request.base_version, request.rename_from)
        return vault_pb2.PutItemResponse(summary=summary_to(summary))

    async def DeleteItem(self, request: vault_pb2.DeleteItemRequest, context: _Context) -> vault_pb2.DeleteItemResponse:
        summary, unlinked = await self._vault.delete(ref_from(request.ref))
        return vault_pb2.DeleteItemResponse(summary=summary_to(summary), unlinked_databases=unlinked)

    async def ListItems(self, request: bytes, context: _Context) -> bytes:  # type: ignore[override]  # see add_to_server
        asked = decoded(vault_pb2.ListItemsRequest(), request)
        if asked.columns and not asked.kind:
            raise refused("kind", "has to be said for columns")
        return self._vault.list_encoded(
            _columns_encoded if asked.columns else _list_encoded,
            kind_from(asked.kind) if asked.kind else None,
            asked.vault,
            asked.environment,
            asked.name_prefix,
            asked.page_size,
            asked.page_token,
        )

    async def BatchGet(self, request: vault_pb2.BatchGetRequest, context: _Context) -> vault_pb2.BatchGetResponse:
        refs = [ref_from(ref) for ref in request.refs]
        items, missing = self._vault.batch_get(refs, MESSAGE_MAX_BYTES, client=client_kind(context))
        response = vault_pb2.BatchGetResponse(missing=[ref_to(ref) for ref in missing])
        response.items.extend(item_to(item) for item in items)
        return sendable(response, "items")

    async def BatchPut(self, request: vault_pb2.BatchPutRequest, context: _Context) -> vault_pb2.BatchPutResponse:
        items = [item_from(item) for item in request.items]
        result = await self._vault.batch_put(items, _mode_from(request.mode), request.skip_existing)
        return vault_pb2.BatchPutResponse(
            created=result.created, replaced=result.replaced, skipped=[ref_to(ref) for ref in result.skipped]
        )

    async def ListVersions(
        self, request: vault_pb2.ListVersionsRequest, context: _Context
    ) -> vault_pb2.ListVersionsResponse:
        versions, token = self._vault.versions(ref_from(request.ref), request.page_size, request.page_token)
        return vault_pb2.ListVersionsResponse(
            versions=[
                vault_pb2.ItemVersion(
                    version=version.version,
                    updated_at_ms=version.updated_at_ms,
                    removed=version.removed,
                    current=version.current,
                    name=version.name,
                )
                for version in versions
            ],
            next_page_token=token,
        )

    async def Undo(self, request: vault_pb2.UndoRequest, context: _Context) -> vault_pb2.UndoResponse:
        return vault_pb2.UndoResponse(
            summary=summary_to(await self._vault.undo(ref_from(request.ref), request.version))
        )

    async def ListReads(self, request: vault_pb2.ListReadsRequest, context: _Context) -> vault_pb2.ListReadsResponse:
        reads = self._vault.reads(min(request.limit or READS_USUAL, READS_MAX))
        return vault_pb2.ListReadsResponse(
            reads=[
                vault_pb2.Read(at_ms=read.at_ms, ref=ref_to(read.ref), version=read.version, client=read.client)
                for read in reads
            ]
        )
