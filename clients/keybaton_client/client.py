"""The agent's API for Python programs: one method per call, blocking, with deadlines and ClientError.

with Client.connect() as client:
    for item in client.vault.list_items(kind=ITEM_KIND_SECRET):
        print(item.ref.name)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

from keybaton_api.agent.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    common_pb2,
    share_pb2,
    share_pb2_grpc,
    vault_pb2,
    vault_pb2_grpc,
)
from keybaton_client.channel import CALL_SECONDS, HUMAN_SECONDS, LONG_SECONDS, AgentChannel, call, stream
from keybaton_client.env import EnvApi
from keybaton_client.start import ensure_agent


class Client:
    """A connection to one agent; `agent`, `vault`, `environments` and `shares` are its services."""

    def __init__(self, path: str, *, client: str = "library") -> None:
        self._channel = AgentChannel(path, client)
        self.path = path
        self.agent = AgentApi(self._channel)
        self.vault = VaultApi(self._channel)
        self.environments = EnvApi(self._channel)
        self.shares = ShareApi(self._channel)

    @classmethod
    def connect(
        cls, socket: str = "", *, start: bool = True, env: Mapping[str, str] | None = None, client: str = "library"
    ) -> Client:
        """A client of the agent at `socket` (else KEYBATON_SOCKET, else its own place), started when none listens.

        `client`: what kind of client the log of reads shows. ClientError NO_AGENT or USAGE.
        """
        return cls(ensure_agent(os.environ if env is None else env, socket, start=start), client=client)

    def close(self) -> None:
        """Ends every call and closes the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AgentApi:
    """State, keys and the vault file as a whole."""

    def __init__(self, channel: AgentChannel) -> None:
        self._stub = agent_pb2_grpc.AgentServiceStub(channel.raw)

    def info(self, timeout: float = CALL_SECONDS) -> agent_pb2.AgentInfo:
        """The agent's state."""
        return call(self._stub.GetInfo, agent_pb2.GetInfoRequest(), timeout).info

    def watch(self) -> Iterator[agent_pb2.WatchResponse]:
        """The whole state at once and after each change, without an end."""
        return stream(self._stub.Watch, agent_pb2.WatchRequest(), None)

    def init(self, keystore: agent_pb2.Keystore.ValueType, passphrase: bytes = b"") -> agent_pb2.AgentInfo:
        """Makes the vault and leaves it unlocked."""
        request = agent_pb2.InitRequest(keystore=keystore, passphrase=passphrase)
        return call(self._stub.Init, request, HUMAN_SECONDS).info

    def unlock(self, passphrase: bytes = b"") -> agent_pb2.AgentInfo:
        """Opens the vault."""
        return call(self._stub.Unlock, agent_pb2.UnlockRequest(passphrase=passphrase), HUMAN_SECONDS).info

    def lock(self) -> agent_pb2.AgentInfo:
        """Drops every key."""
        return call(self._stub.Lock, agent_pb2.LockRequest()).info

    def rekey(
        self, keystore: agent_pb2.Keystore.ValueType = agent_pb2.KEYSTORE_UNSPECIFIED, passphrase: bytes = b""
    ) -> Iterator[agent_pb2.RekeyResponse]:
        """Progress, then the state as the last message."""
        request = agent_pb2.RekeyRequest(keystore=keystore, passphrase=passphrase)
        return stream(self._stub.Rekey, request, LONG_SECONDS)

    def check_vault(self) -> Iterator[agent_pb2.CheckVaultResponse]:
        """Progress, then the findings as the last message."""
        return stream(self._stub.CheckVault, agent_pb2.CheckVaultRequest(), LONG_SECONDS)

    def compact_vault(
        self, keep: int | None, older_than_days: int | None, *, dry_run: bool = False
    ) -> Iterator[agent_pb2.CompactVaultResponse]:
        """Progress, then which versions went, or with `dry_run` would go, as the last message."""
        request = agent_pb2.CompactVaultRequest(keep=keep, older_than_days=older_than_days, dry_run=dry_run)
        return stream(self._stub.CompactVault, request, LONG_SECONDS)

    def backup_vault(self, path: str, passphrase: bytes) -> Iterator[agent_pb2.BackupVaultResponse]:
        """Progress, then the count; `path` is absolute."""
        request = agent_pb2.BackupVaultRequest(path=path, passphrase=passphrase)
        return stream(self._stub.BackupVault, request, LONG_SECONDS)

    def restore_vault(self, request: agent_pb2.RestoreVaultRequest) -> Iterator[agent_pb2.RestoreVaultResponse]:
        """Progress, then what was restored."""
        return stream(self._stub.RestoreVault, request, LONG_SECONDS)

    def serve_ssh(self) -> str:
        """Makes the agent serve its ssh-keys; the socket's path."""
        return call(self._stub.ServeSsh, agent_pb2.ServeSshRequest()).socket

    def doctor(self) -> list[agent_pb2.Finding]:
        """The agent's findings about itself."""
        return list(call(self._stub.Doctor, agent_pb2.DoctorRequest(), CALL_SECONDS).findings)


class VaultApi:
    """What is in the vault."""

    def __init__(self, channel: AgentChannel) -> None:
        self._stub = vault_pb2_grpc.VaultServiceStub(channel.raw)

    def get_item(self, ref: common_pb2.ItemRef) -> common_pb2.Item:
        """One item with its values."""
        return call(self._stub.GetItem, vault_pb2.GetItemRequest(ref=ref)).item

    def get_value(self, ref: common_pb2.ItemRef, field: str = "") -> bytes:
        """The bare value of one field, or of the only one."""
        return call(self._stub.GetItem, vault_pb2.GetItemRequest(ref=ref, field=field, bare=True)).value

    def put_item(
        self,
        item: common_pb2.Item,
        mode: vault_pb2.PutMode.ValueType = vault_pb2.PUT_MODE_CREATE,
        *,
        base_version: int = 0,
        rename_from: str = "",
    ) -> common_pb2.ItemSummary:
        """Stores one item; durable when it returns."""
        request = vault_pb2.PutItemRequest(item=item, mode=mode, base_version=base_version, rename_from=rename_from)
        return call(self._stub.PutItem, request).summary

    def delete_item(self, ref: common_pb2.ItemRef) -> vault_pb2.DeleteItemResponse:
        """Removes one item; says which databases still name it."""
        return call(self._stub.DeleteItem, vault_pb2.DeleteItemRequest(ref=ref))

    def list_items(
        self,
        kind: common_pb2.ItemKind.ValueType = common_pb2.ITEM_KIND_UNSPECIFIED,
        *,
        vault: str = "",
        environment: str = "",
        name_prefix: str = "",
    ) -> Iterator[common_pb2.ItemSummary]:
        """Every summary that matches, fetched page by page."""
        request = vault_pb2.ListItemsRequest(
            kind=kind, vault=vault, environment=environment, name_prefix=name_prefix, page_size=1000
        )
        while True:
            page = call(self._stub.ListItems, request)
            yield from page.items
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def batch_get(self, refs: Iterable[common_pb2.ItemRef]) -> vault_pb2.BatchGetResponse:
        """Several items; the missing ones are listed."""
        return call(self._stub.BatchGet, vault_pb2.BatchGetRequest(refs=refs))

    def batch_put(
        self,
        items: Iterable[common_pb2.Item],
        mode: vault_pb2.PutMode.ValueType = vault_pb2.PUT_MODE_CREATE,
        *,
        skip_existing: bool = False,
    ) -> vault_pb2.BatchPutResponse:
        """All or none, at most 1,000."""
        request = vault_pb2.BatchPutRequest(items=items, mode=mode, skip_existing=skip_existing)
        return call(self._stub.BatchPut, request)

    def list_versions(self, ref: common_pb2.ItemRef) -> Iterator[vault_pb2.ItemVersion]:
        """Past versions, newest first, fetched page by page."""
        request = vault_pb2.ListVersionsRequest(ref=ref)
        while True:
            page = call(self._stub.ListVersions, request)
            yield from page.versions
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def undo(self, ref: common_pb2.ItemRef, version: int = 0) -> common_pb2.ItemSummary:
        """Makes an older version the newest; 0 is the one before the current."""
        return call(self._stub.Undo, vault_pb2.UndoRequest(ref=ref, version=version)).summary

    def list_reads(self, limit: int = 0) -> list[vault_pb2.Read]:
        """Which values were read, when and by which kind of client, newest first."""
        return list(call(self._stub.ListReads, vault_pb2.ListReadsRequest(limit=limit)).reads)


class ShareApi:
    """Sessions that send and receive."""

    def __init__(self, channel: AgentChannel) -> None:
        self._stub = share_pb2_grpc.ShareServiceStub(channel.raw)

    def start_send(self, request: share_pb2.StartSendRequest) -> share_pb2.Session:
        """Starts to send."""
        return call(self._stub.StartSend, request).session

    def start_receive(self, request: share_pb2.StartReceiveRequest) -> share_pb2.Session:
        """Starts to receive."""
        return call(self._stub.StartReceive, request).session

    def provide_code(self, session_id: str, code: str, sender: str | None = None) -> share_pb2.Session:
        """Types the code, and says which device it is of (empty: any; None: as before)."""
        request = share_pb2.ProvideCodeRequest(session_id=session_id, code=code, sender=sender)
        return call(self._stub.ProvideCode, request).session

    def confirm_peer(self, session_id: str, accept: bool) -> share_pb2.Session:
        """Says whether the shown address is the right peer."""
        request = share_pb2.ConfirmPeerRequest(session_id=session_id, accept=accept)
        return call(self._stub.ConfirmPeer, request).session

    def review(self, request: share_pb2.ReviewRequest) -> share_pb2.Session:
        """Decides on the payload that waits."""
        return call(self._stub.Review, request).session

    def cancel(self, session_id: str) -> share_pb2.Session:
        """Ends a session at once."""
        return call(self._stub.Cancel, share_pb2.CancelRequest(session_id=session_id)).session

    def sessions(self) -> list[share_pb2.Session]:
        """Running and lately ended sessions, newest first."""
        return list(call(self._stub.ListSessions, share_pb2.ListSessionsRequest()).sessions)

    def watch(self, session_id: str) -> Iterator[share_pb2.Session]:
        """The session at once and after each change, until it has ended."""
        request = share_pb2.WatchSessionRequest(session_id=session_id)
        for response in stream(self._stub.WatchSession, request, LONG_SECONDS):
            yield response.session
