"""Hot commands against a real grpcio server: what the vault behind it holds, and commands in processes of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_hot.unary import BATCH_PUT, GET_ITEM, LIST_ITEMS, PUT_ITEM
from keybaton_testing.grpc_server import Handler, serving, short_folder
from keybaton_testing.item_columns import item_columns
from keybaton_testing.trampoline import SECONDS, starting
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.errors import wire_error


@dataclass
class FakeVault:
    """A vault behind a real server; `failure` makes every call fail."""

    values: dict[tuple[str, str], bytes] = field(default_factory=dict)
    names: list[tuple[str, str, int]] = field(default_factory=list)
    stored: list[common_pb2.Item] = field(default_factory=list)
    failure: Reason | None = None
    page: int = 1000

    def _check(self, context: grpc.ServicerContext) -> None:
        if self.failure is not None:
            wire = wire_error(KeybatonError(self.failure))
            context.set_trailing_metadata(wire.trailing())
            context.abort(wire.status, wire.message)

    def get(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        request = vault_pb2.GetItemRequest.FromString(data)
        return vault_pb2.GetItemResponse(value=self.values[request.ref.name, request.field]).SerializeToString()

    def list(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        request = vault_pb2.ListItemsRequest.FromString(data)
        start = int(request.page_token or 0)
        chosen = self.names[start : start + self.page]
        more = str(start + self.page) if start + self.page < len(self.names) else ""
        items = [
            common_pb2.ItemSummary(
                ref=common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name),
                secret_type=kind,
                updated_at_ms=when,
                version=1,
            )
            for name, kind, when in chosen
        ]
        if request.columns:
            response = vault_pb2.ListItemsResponse(columns=item_columns(items), next_page_token=more)
        else:
            response = vault_pb2.ListItemsResponse(items=items, next_page_token=more)
        return response.SerializeToString()

    def put(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        item = vault_pb2.PutItemRequest.FromString(data).item
        self.stored.append(item)
        return vault_pb2.PutItemResponse(summary=common_pb2.ItemSummary(ref=item.ref)).SerializeToString()

    def batch(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        items = vault_pb2.BatchPutRequest.FromString(data).items
        self.stored += items
        return vault_pb2.BatchPutResponse(created=len(items)).SerializeToString()


@dataclass
class Ran:
    """What a command left."""

    code: int
    out: bytes
    err: bytes


@dataclass
class HotDevice:
    """A server, what it holds, and the environment of a command that finds it."""

    vault: FakeVault
    env: dict[str, str]

    def run(self, *arguments: str, stdin: bytes | None = None, bare: bool = True, fds: tuple[int, ...] = ()) -> Ran:
        """One command in a process of its own; `bare` as the trampoline starts it, else always through click."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(
            [*starting(bare=bare), *arguments],
            env=self.env,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            pass_fds=fds,
            **given,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def hot_device() -> Iterator[HotDevice]:
    """A server with a few secrets at the usual place below XDG_RUNTIME_DIR."""
    vault = FakeVault(values={("token", ""): b"s3cret", ("s3", "region"): b"eu-1", ("näme", ""): "wörth\n".encode()})
    vault.names = [("ö", "note", 1), ("Zoo", "token", 1_700_000_000_123), ('we"ird\\', "plain", 1_700_000_001_000)]
    vault.names += [("alpha", "token", 1_700_000_000_123), ("Alpha", "token", 5)]
    with short_folder() as folder:
        Path(folder, "keybaton").mkdir(mode=0o700)
        env = {
            "XDG_RUNTIME_DIR": folder,
            "HOME": folder,
            "PATH": os.environ["PATH"],
            "TZ": "Asia/Kolkata",
            "LC_ALL": "C.UTF-8",
        }
        handlers: dict[str, Handler] = {
            GET_ITEM: vault.get,
            LIST_ITEMS: vault.list,
            PUT_ITEM: vault.put,
            BATCH_PUT: vault.batch,
        }
        with serving(handlers, f"{folder}/keybaton/agent.sock"):
            yield HotDevice(vault, env)
