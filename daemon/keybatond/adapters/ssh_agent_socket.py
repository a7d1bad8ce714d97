"""Serves the SSH agent protocol on a Unix socket: frames in, frames out, nothing of their meaning."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from keybaton_core.encoding import Malformed
from keybaton_core.ssh_agent import FAILURE, LENGTH_SIZE, MESSAGE_MAX, frame_size, framed
from keybatond.errors import KeybatonError, Reason
from keybatond.paths import FILE_MODE, SOCKET_UMASK

CONNECTIONS_MAX: Final = 64  # ssh keeps one open for as long as it forwards the agent
FRAME_SECONDS: Final = 10.0  # from a message's first byte to its last, and for our answer to be taken
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid

Answer = Callable[[bytes], Awaitable[bytes]]


class SshAgentSocket:
    """One socket. The caller holds the instance lock, so that nobody else's socket is replaced."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self._path = path
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()

    async def start(self) -> Path:
        """Serves from now on, if it does not yet; the socket's path. STORAGE_FAILED."""
        async with self._starting:
            if self._server is None:
                self._server = await self._bound()
        return self._path

    async def close(self) -> None:
        """Ends every connection and removes the socket."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)
        self._server = None

    async def _bound(self) -> asyncio.Server:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(SOCKET_UMASK)
        try:
            if self._path.is_symlink() or (self._path.exists() and not self._path.is_socket()):
                raise FileExistsError
            self._path.unlink(missing_ok=True)  # left by an agent that was killed
            listener.bind(str(self._path))
            self._path.chmod(FILE_MODE)
        except OSError:
            listener.close()
            raise KeybatonError(Reason.STORAGE_FAILED, path=str(self._path)) from None
        finally:
            os.umask(before)
        return await asyncio.start_unix_server(self._serve, sock=listener, limit=MESSAGE_MAX + LENGTH_SIZE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= CONNECTIONS_MAX or not _ours(writer):
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # they left, or were slow, or we end: there is nobody to tell
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while first := await reader.read(1):
            async with asyncio.timeout(FRAME_SECONDS):
                head = first + await reader.readexactly(LENGTH_SIZE - 1)
                try:
                    message = await reader.readexactly(frame_size(head))
                except Malformed:
                    writer.write(framed(FAILURE))
                    await writer.drain()
                    return
            answer = await self._answer(message)
            async with asyncio.timeout(FRAME_SECONDS):
                writer.write(framed(answer))
                await writer.drain()


def _ours(writer: asyncio.StreamWriter) -> bool:
    """Whether the caller is this user or root; the socket's mode says the same."""
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(peer)[1] in (0, os.geteuid())
