"""The server on its socket, as the frames that a client gets show it (RFC 9113)."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from keybaton_client.problem import ClientError
from keybaton_hot.unary import Channel
from keybaton_testing.grpc_server import short_folder
from keybatond.refusal import StartRefused
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


async def test_what_is_no_socket_is_neither_replaced_nor_followed() -> None:
    """A file of the person's, and a link to a socket, stay as they are."""
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{folder}/other")
        (Path(folder) / "link").symlink_to("other")
        (Path(folder) / "file").write_text("mine")
        for name in ("link", "file"):
            with pytest.raises(StartRefused, match="is not a socket"):
                RpcServer(Path(folder) / name)
        assert (Path(folder) / "link").is_symlink()
        assert (Path(folder) / "file").read_text() == "mine"


async def test_the_socket_is_private_whatever_the_umask() -> None:
    """0600 from the moment it is there: the mode comes with the bind, not after it."""
    before = os.umask(0)
    try:
        with short_folder() as folder:
            server = RpcServer(Path(folder) / "s")
            assert stat.S_IMODE((Path(folder) / "s").stat().st_mode) == 0o600
            await server.stop(0)
    finally:
        os.umask(before)
