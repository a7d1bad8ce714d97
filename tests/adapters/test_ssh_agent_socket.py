"""The Unix socket for SSH's programs: who may speak, in which frames, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keybaton_core.ssh_agent import FAILURE, MESSAGE_MAX, framed
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.require import require
from keybatond.adapters import ssh_agent_socket
from keybatond.adapters.ssh_agent_socket import SshAgentSocket
from keybatond.errors import KeybatonError, Reason


async def echo(message: bytes) -> bytes:
    return b"answer to " + message


@pytest.fixture
async def server() -> AsyncIterator[SshAgentSocket]:
    """A server that answers each message with itself."""
    with short_folder() as folder:
        made = SshAgentSocket(Path(folder) / "ssh.sock", echo)
        await made.start()
        yield made
        await made.close()


async def exchange(path: Path, *sent: bytes) -> bytes:
    """Everything that comes back on one connection until the other side, or ours, is done."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    for data in sent:
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(10):
        received = await reader.read()
    writer.close()
    return received


async def test_messages_are_answered_in_turn_however_they_are_cut(server: SshAgentSocket) -> None:
    """Two messages in one write, and one message byte by byte."""
    path = await server.start()
    both = framed(b"one") + framed(b"two")
    answers = framed(b"answer to one") + framed(b"answer to two")
    assert await exchange(path, both) == answers
    assert await exchange(path, *(bytes([byte]) for byte in both)) == answers


@pytest.mark.parametrize("head", [bytes(4), (MESSAGE_MAX + 1).to_bytes(4, "big"), b"\xff\xff\xff\xff"])
async def test_a_length_out_of_its_limits_ends_the_connection(server: SshAgentSocket, head: bytes) -> None:
    """FAILURE, then the end: what follows cannot be told apart."""
    assert await exchange(await server.start(), head + b"rest") == framed(FAILURE)


async def test_a_cut_message_is_let_go_of(server: SshAgentSocket) -> None:
    """No answer, no hanging; the next caller is served."""
    path = await server.start()
    assert await exchange(path, b"\0\0") == b""
    assert await exchange(path, b"\0\0\0\x09half") == b""
    assert await exchange(path, framed(b"x")) == framed(b"answer to x")


async def test_another_user_gets_no_answer(server: SshAgentSocket) -> None:
    """Not even where the modes were opened: the kernel says who speaks."""
    require("root")
    path = await server.start()
    path.parent.chmod(0o755)
    path.chmod(0o666)
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(10); "
    code += "s.sendall(bytes([0, 0, 0, 1, 11])); print(s.recv(100))"
    stranger = await asyncio.create_subprocess_exec(
        "/usr/bin/python3",
        "-c",
        code,
        str(path),
        stdout=asyncio.subprocess.PIPE,
        user=65534,
        group=65534,
        extra_groups=[],
    )
    async with asyncio.timeout(30):
        said, _ = await stranger.communicate()
    assert said in (b"b''\n", b"")  # the end, or a reset
    assert await exchange(path, framed(b"x")) == framed(b"answer to x")


async def test_a_slow_sender_is_let_go_of(server: SshAgentSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that was begun is to be ended within its deadline; a silent connection may wait."""
    monkeypatch.setattr(ssh_agent_socket, "FRAME_SECONDS", 0.05)
    path = await server.start()
    idle_reader, idle_writer = await asyncio.open_unix_connection(str(path))
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"\0\0\0\x09half")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    idle_writer.write(framed(b"x"))
    async with asyncio.timeout(10):
        assert await idle_reader.readexactly(15) == framed(b"answer to x")
    for stream in (writer, idle_writer):
        stream.close()


async def test_connections_over_the_limit_are_closed(server: SshAgentSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there are served on."""
    monkeypatch.setattr(ssh_agent_socket, "CONNECTIONS_MAX", 1)
    path = await server.start()
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(framed(b"x"))
    assert await reader.readexactly(15) == framed(b"answer to x")
    with pytest.raises((OSError, AssertionError)):
        assert await exchange(path, framed(b"y")) != b""
    writer.write(framed(b"z"))
    assert await reader.readexactly(15) == framed(b"answer to z")
    writer.close()


async def test_the_socket_is_private_and_goes_at_the_end(tmp_path: Path) -> None:
    """Mode 0600 from the first moment; a start again changes nothing; what an agent left behind is replaced."""
    with short_folder() as folder:
        path = Path(folder) / "ssh.sock"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        made = SshAgentSocket(path, echo)
        assert await made.start() == await made.start() == path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await exchange(path, framed(b"x")) == framed(b"answer to x")
        await made.close()
        assert not path.exists()


async def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A file or a link in its place is somebody's: STORAGE_FAILED."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("kept")
    link.symlink_to(file)
    for path in (file, link, tmp_path / "no folder" / "ssh.sock"):
        with pytest.raises(KeybatonError) as caught:
            await SshAgentSocket(path, echo).start()
        assert caught.value.reason is Reason.STORAGE_FAILED
    assert file.read_text() == "kept"
