"""An agent without keys or network, for tests of clients: the real API on a real socket, items in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from importlib.metadata import version
from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from keybaton_api.agent.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    common_pb2,
    share_pb2_grpc,
    vault_pb2,
    vault_pb2_grpc,
)
from keybaton_testing.fake_shares import FakeShares
from keybaton_testing.item_columns import item_columns

SSH_SOCKET = "/run/user/1000/keybaton/ssh.sock"
NOW_MS = 1_700_000_000_000
_Key = tuple[int, str]


def refuse(context: grpc.ServicerContext, reason: str, message: str, **data: str) -> NoReturn:
    """Ends a call as the agent does: a status with an ErrorInfo."""
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="keybaton", metadata=data))
    status = status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=message, details=[info])
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort raises")


class FakeAgent(FakeShares, agent_pb2_grpc.AgentServiceServicer, vault_pb2_grpc.VaultServiceServicer):
    """All three services. Tests set `info`, `items`, `passphrase` and `answers`, and read what was asked."""

    def __init__(self) -> None:
        super().__init__(self._open)
        self.info = agent_pb2.AgentInfo(
            version=version("keybaton"),
            pid=1,
            vault_state=agent_pb2.VAULT_STATE_UNLOCKED,
            keystore=agent_pb2.KEYSTORE_PASSPHRASE,
        )
        self.passphrase = b"open sesame"
        self.items: dict[_Key, list[common_pb2.Item | None]] = {}
        self.findings: list[agent_pb2.Finding] = []
        self.vault_findings: list[str] = []
        self.backups: dict[str, bytes] = {}
        self.compaction = agent_pb2.CompactVaultResponse(finished=True)
        self.compacted: list[agent_pb2.CompactVaultRequest] = []
        self.batches: list[vault_pb2.BatchPutRequest] = []
        self.reads: list[vault_pb2.Read] = []  # newest first
        self.on_put: Callable[[FakeAgent], None] = lambda agent: None

    # --- what tests set ---

    def put_secret(self, name: str, secret_type: str = "plain", **fields: str) -> None:
        """Stores a secret without the API."""
        listed = [common_pb2.Field(key=key, value=value.encode()) for key, value in fields.items()]
        ref = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name)
        self._store(common_pb2.Item(ref=ref, secret=common_pb2.Secret(type=secret_type, fields=listed)))

    def put_database(self, name: str, **parts: str) -> None:
        """Stores a database without the API."""
        ref = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_DATABASE, name=name)
        self._store(common_pb2.Item(ref=ref, database=common_pb2.Database(**parts)))

    def current(self, kind: int, name: str) -> common_pb2.Item | None:
        """The item as it stands."""
        versions = self.items.get((kind, name))
        return versions[-1] if versions else None

    def field(self, name: str, key: str) -> bytes:
        """One field of a secret."""
        item = self.current(common_pb2.ITEM_KIND_SECRET, name)
        assert item is not None
        return next(field.value for field in item.secret.fields if field.key == key)

    def _store(self, item: common_pb2.Item) -> common_pb2.ItemSummary:
        versions = self.items.setdefault((item.ref.kind, item.ref.name), [])
        stored = common_pb2.Item()
        stored.CopyFrom(item)
        stored.version = len(versions) + 1
        stored.updated_at_ms = NOW_MS
        versions.append(stored)
        return _summary(stored)

    def _open(self, context: grpc.ServicerContext) -> None:
        if self.info.vault_state == agent_pb2.VAULT_STATE_ABSENT:
            refuse(context, "VAULT_ABSENT", "There is no vault yet.", hint="`keybaton init` makes one.")
        if self.info.vault_state != agent_pb2.VAULT_STATE_UNLOCKED:
            refuse(context, "VAULT_LOCKED", "The vault is locked.", hint="`keybaton unlock` opens it.")

    def _item(self, ref: common_pb2.ItemRef, context: grpc.ServicerContext) -> common_pb2.Item:
        self._open(context)
        item = self.current(ref.kind, ref.name)
        if item is None:
            refuse(context, "NOT_FOUND", f"There is nothing named {ref.name}.")
        return item

    # --- AgentService ---

    def GetInfo(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        return agent_pb2.GetInfoResponse(info=self.info)

    def Init(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        if self.info.vault_state != agent_pb2.VAULT_STATE_ABSENT:
            refuse(context, "VAULT_EXISTS", "There is a vault.")
        if request.keystore == agent_pb2.KEYSTORE_KEYCHAIN:
            refuse(context, "KEYCHAIN_UNAVAILABLE", "No keychain is running.")
        self.passphrase = request.passphrase
        self.info.keystore = request.keystore
        self.info.vault_state = agent_pb2.VAULT_STATE_UNLOCKED
        return agent_pb2.InitResponse(info=self.info)

    def Unlock(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        if request.passphrase != self.passphrase:
            refuse(context, "WRONG_PASSPHRASE", "The passphrase is wrong.")
        self.info.vault_state = agent_pb2.VAULT_STATE_UNLOCKED
        return agent_pb2.UnlockResponse(info=self.info)

    def Lock(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self.info.vault_state = agent_pb2.VAULT_STATE_LOCKED
        return agent_pb2.LockResponse(info=self.info)

    def CheckVault(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        yield agent_pb2.CheckVaultResponse(progress=agent_pb2.Progress(done=1, total=2))
        yield agent_pb2.CheckVaultResponse(findings=self.vault_findings, finished=True)

    def CompactVault(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        self.compacted.append(request)
        yield agent_pb2.CompactVaultResponse(progress=agent_pb2.Progress(done=1, total=2))
        yield self.compaction

    def Watch(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        yield agent_pb2.WatchResponse(info=self.info)

    def Rekey(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        self.info.keystore = request.keystore
        self.passphrase = request.passphrase
        yield agent_pb2.RekeyResponse(info=self.info)

    def BackupVault(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        self.backups[request.path] = request.passphrase
        yield agent_pb2.BackupVaultResponse(items=len(self.items), finished=True)

    def RestoreVault(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        if self.backups.get(request.path) != request.passphrase:
            refuse(context, "WRONG_PASSPHRASE", "The passphrase of the backup is wrong.")
        self.passphrase = request.new_passphrase
        set_aside = "/data/vault.db.old" if request.replace else ""
        yield agent_pb2.RestoreVaultResponse(finished=True, items=3, set_aside=set_aside, info=self.info)

    def Doctor(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        return agent_pb2.DoctorResponse(findings=self.findings)

    def ServeSsh(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        return agent_pb2.ServeSshResponse(socket=SSH_SOCKET)

    # --- VaultService ---

    def GetItem(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        item = self._item(request.ref, context)
        client = dict(context.invocation_metadata()).get("keybaton-client", "other")
        self.reads.insert(0, vault_pb2.Read(at_ms=NOW_MS, ref=request.ref, version=item.version, client=client))
        if not request.bare:
            return vault_pb2.GetItemResponse(item=item)
        fields = {field.key: field.value for field in item.secret.fields}
        if not request.field and len(fields) > 1:
            refuse(context, "FIELD_REQUIRED", f"It has several fields: {', '.join(fields)}.", fields=",".join(fields))
        key = request.field or next(iter(fields))
        if key not in fields:
            refuse(context, "FIELD_UNKNOWN", f"There is no field {key}.")
        return vault_pb2.GetItemResponse(value=fields[key])

    def PutItem(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        self.on_put(self)
        ref = request.item.ref
        exists = self.current(ref.kind, ref.name) is not None
        before = self.current(ref.kind, request.rename_from or ref.name)
        if request.base_version and (before is None or before.version != request.base_version):
            refuse(context, "VERSION_CONFLICT", f"{ref.name} was changed meanwhile.")
        if exists and request.mode not in (vault_pb2.PUT_MODE_REPLACE, vault_pb2.PUT_MODE_UPSERT):
            refuse(context, "NAME_TAKEN", f"{ref.name} exists already.")
        if request.rename_from:
            self.items[(ref.kind, ref.name)] = self.items.pop((ref.kind, request.rename_from))
        return vault_pb2.PutItemResponse(summary=self._store(request.item))

    def DeleteItem(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        item = self._item(request.ref, context)
        self.items[(request.ref.kind, request.ref.name)].append(None)
        linked = [
            name
            for (kind, name), versions in self.items.items()
            if kind == common_pb2.ITEM_KIND_DATABASE and versions[-1] and versions[-1].database.s3 == request.ref.name
        ]
        return vault_pb2.DeleteItemResponse(summary=_summary(item), unlinked_databases=linked)

    def ListItems(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        stored = [versions[-1] for versions in self.items.values()]
        found = [
            _summary(item)
            for item in stored
            if item
            and request.kind in (common_pb2.ITEM_KIND_UNSPECIFIED, item.ref.kind)
            and item.ref.name.startswith(request.name_prefix)
        ]
        if request.columns:
            return vault_pb2.ListItemsResponse(columns=item_columns(found))
        return vault_pb2.ListItemsResponse(items=found)  # in the order of storing, as the agent's

    def BatchGet(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        pairs = [(ref, self.current(ref.kind, ref.name)) for ref in request.refs]
        return vault_pb2.BatchGetResponse(
            items=[item for _, item in pairs if item], missing=[ref for ref, item in pairs if not item]
        )

    def BatchPut(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        self.batches.append(request)
        taken = [item.ref for item in request.items if self.current(item.ref.kind, item.ref.name)]
        if taken and request.mode != vault_pb2.PUT_MODE_UPSERT and not request.skip_existing:
            refuse(context, "NAME_TAKEN", f"{taken[0].name} exists already.", name=taken[0].name)
        names = {ref.name for ref in taken}
        stored = [item for item in request.items if not (request.skip_existing and item.ref.name in names)]
        for item in stored:
            self._store(item)
        replaced = 0 if request.skip_existing else len(taken)
        skipped = taken if request.skip_existing else []
        return vault_pb2.BatchPutResponse(created=len(stored) - replaced, replaced=replaced, skipped=skipped)

    def ListVersions(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        versions = self.items.get((request.ref.kind, request.ref.name))
        if not versions:
            refuse(context, "NOT_FOUND", f"There is nothing named {request.ref.name}.")
        listed = [
            vault_pb2.ItemVersion(
                version=number,
                updated_at_ms=NOW_MS,
                removed=item is None,
                current=number == len(versions),
                name=request.ref.name,
            )
            for number, item in enumerate(versions, 1)
        ]
        return vault_pb2.ListVersionsResponse(versions=reversed(listed))

    def Undo(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        versions = self.items[(request.ref.kind, request.ref.name)]
        old = versions[request.version - 1 if request.version else -2]
        if old is None:
            refuse(context, "NOT_FOUND", "There is no such version.")
        return vault_pb2.UndoResponse(summary=self._store(old))

    def ListReads(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self._open(context)
        return vault_pb2.ListReadsResponse(reads=self.reads[: request.limit or 100])


def _summary(item: common_pb2.Item) -> common_pb2.ItemSummary:
    return common_pb2.ItemSummary(
        ref=item.ref, version=item.version, updated_at_ms=item.updated_at_ms, secret_type=item.secret.type
    )


@contextmanager
def fake_agent(path: str) -> Iterator[FakeAgent]:
    """A FakeAgent that listens on the socket at `path`."""
    agent = FakeAgent()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    agent_pb2_grpc.add_AgentServiceServicer_to_server(agent, server)
    vault_pb2_grpc.add_VaultServiceServicer_to_server(agent, server)
    share_pb2_grpc.add_ShareServiceServicer_to_server(agent, server)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield agent
    finally:
        server.stop(0).wait(5)
