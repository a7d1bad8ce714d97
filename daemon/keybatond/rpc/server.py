"""The gRPC server on the Unix socket: bound before the parts are wired, serving after, stopped gracefully. No TCP."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import grpc.aio

from keybaton_api.agent.v1 import agent_pb2_grpc, share_pb2_grpc, vault_pb2_grpc
from keybatond.paths import FILE_MODE, SOCKET_UMASK
from keybatond.ports import Log
from keybatond.refusal import StartRefused
from keybatond.rpc.agent_service import AgentServicer
from keybatond.rpc.guard import guarded
from keybatond.rpc.limits import CALLS_MAX, MESSAGE_MAX_BYTES
from keybatond.rpc.share_service import ShareServicer
from keybatond.rpc.standard import StandardServices
from keybatond.rpc.vault_service import VaultServicer
from keybatond.services.start_gate import StartGate

SERVICES = tuple(f"keybaton_api.agent.v1.{name}" for name in ("AgentService", "VaultService", "ShareService"))


class RpcServer:
    """One server on one socket."""

    def __init__(self, path: Path) -> None:
        """Binds the socket, mode 0600. The caller holds the instance lock. StartRefused."""
        self._path = path
        self._standard = StandardServices(SERVICES)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
                ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
            ],
            maximum_concurrent_rpcs=CALLS_MAX,
        )
        self._bind()

    def _bind(self) -> None:
        if self._path.is_symlink() or (self._path.exists() and not self._path.is_socket()):
            raise StartRefused(f"{self._path} is not a socket.", "Remove it.")
        before = os.umask(SOCKET_UMASK)
        try:
            self._server.add_insecure_port("unix:" + quote(str(self._path), safe="/"))
        except RuntimeError:
            raise StartRefused(f"The socket {self._path} cannot be bound.") from None
        finally:
            os.umask(before)
        found = self._path.lstat()
        if not stat.S_ISSOCK(found.st_mode) or stat.S_IMODE(found.st_mode) != FILE_MODE or found.st_uid != os.geteuid():
            raise StartRefused(f"The socket {self._path} could not be made private.")

    def register(
        self,
        vault: VaultServicer,
        shares: ShareServicer,
        agent: AgentServicer,
        *,
        touch: Callable[[], None],
        gate: StartGate,
        log: Log,
    ) -> None:
        """Adds the services, each method guarded; the most used first, since gRPC asks them in turn."""
        vault_pb2_grpc.add_VaultServiceServicer_to_server(guarded(vault, touch, gate, log), self._server)
        share_pb2_grpc.add_ShareServiceServicer_to_server(guarded(shares, touch, gate, log), self._server)
        agent_pb2_grpc.add_AgentServiceServicer_to_server(guarded(agent, touch, gate, log), self._server)
        self._server.add_generic_rpc_handlers((self._standard,))

    async def start(self) -> None:
        """Answers calls from now on; clients that connected since the socket was bound have waited."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Takes no new calls, gives running ones `grace` seconds, and removes the socket."""
        self._standard.stop()
        await self._server.stop(grace)
        self._path.unlink(missing_ok=True)
