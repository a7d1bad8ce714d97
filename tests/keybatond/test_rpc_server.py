"""The server on its socket, as the frames that a client gets show it (RFC 9113)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from keybaton_client.problem import ClientError
from keybaton_client.unary import Channel
from keybaton_testing.grpc_server import short_folder
from keybatond.rpc.limits import MESSAGE_MAX_BYTES
from keybatond.rpc.server import RpcServer

SECONDS = 20.0
SETTINGS, PING, INITIAL_WINDOW_SIZE = 4, 6, 4


class Heard(socket.socket):
    """A connection to `path` that keeps what it receives."""

    def __init__(self, path: str) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connect(path)
        self.data = b""

    def recv(self, size: int, flags: int = 0) -> bytes:
        piece = super().recv(size, flags)
        self.data += piece
        return piece


async def frames_of_a_call() -> list[tuple[int, bytes]]:
    """Type and payload of each frame up to the answer, of a call that nothing stands behind."""
    with short_folder() as folder:
        path = f"{folder}/s"
        server = RpcServer(Path(path))
        await server.start({})
        with Heard(path) as heard, pytest.raises(ClientError, match="does not know this call"):
            await asyncio.to_thread(Channel(heard).call, "/none.Service/Call", bytes(1000), SECONDS)
        await server.stop(0)
    data, found = heard.data, []
    while data:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], data[9 : 9 + size]))
        data = data[9 + size :]
    return found


async def test_a_call_costs_a_client_no_ping_and_no_wait_for_a_window() -> None:
    """Each PING would wake both sides once more, and the window takes the largest message from the start."""
    frames = await frames_of_a_call()
    assert PING not in [kind for kind, _ in frames]
    kind, settings = frames[0]
    values = {settings[at : at + 2]: settings[at + 2 : at + 6] for at in range(0, len(settings), 6)}
    assert kind == SETTINGS
    assert int.from_bytes(values[INITIAL_WINDOW_SIZE.to_bytes(2, "big")], "big") >= MESSAGE_MAX_BYTES
