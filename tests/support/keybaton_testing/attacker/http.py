"""The attacker's HTTP/1.1 over streams: whole messages, each kept in the transcript."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from keybaton_testing.attacker.position import Position, Streams

SECONDS = 5.0
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")


@dataclass
class Message:
    """A request or a response. `line` is its first line."""

    line: str
    body: bytes

    @property
    def path(self) -> str:
        """Of a request, with its query."""
        return self.line.split(" ")[1]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.line.split(" ")[1])


async def read_message(position: Position, streams: Streams, seconds: float = SECONDS) -> Message:
    """The next one. OSError, EOFError, TimeoutError."""
    async with asyncio.timeout(seconds):
        head = await streams[0].readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await streams[0].readexactly(int(length[1])) if length else b""
    position.see(head)
    position.see(body)
    return Message(head.split(b"\r\n", 1)[0].decode("latin-1"), body)


def request(method: str, path: str, body: bytes | None = None) -> bytes:
    """A whole request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + (body or b"")


def response(status: int, body: bytes) -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def ask(
    position: Position, streams: Streams, method: str, path: str, body: bytes | None = None, seconds: float = SECONDS
) -> Message:
    """One exchange. OSError, EOFError, TimeoutError."""
    streams[1].write(request(method, path, body))
    return await read_message(position, streams, seconds)
