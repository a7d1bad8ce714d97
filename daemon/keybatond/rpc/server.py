"""The gRPC server on the Unix socket: bound before the parts are wired, serving after, stopped gracefully. No TCP."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import grpc.aio

from keybatond.paths import FILE_MODE, SOCKET_UMASK
from keybatond.refusal import StartRefused
from keybatond.rpc.lazy import LazyServices, Load
from keybatond.rpc.limits import CALLS_MAX, MESSAGE_MAX_BYTES


class RpcServer:
    """One server on one socket."""

    def __init__(self, path: Path) -> None:
        """Binds the socket, mode 0600. The caller holds the instance lock. StartRefused."""
        self._path = path
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
                ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
                # On a socket of this machine there is no bandwidth to find out: no PING with each answer, and at once
                # the window that the largest message needs.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", MESSAGE_MAX_BYTES),
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

    async def start(self, services: Mapping[str, Load]) -> None:
        """Answers calls from now on; clients that connected since the socket was bound have waited."""
        self._server.add_generic_rpc_handlers((LazyServices(services),))
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Takes no new calls, gives running ones `grace` seconds, and removes the socket."""
        await self._server.stop(grace)
        self._path.unlink(missing_ok=True)
