"""Reads one HTTP/1.1 response from a stream: strict, bounded, with one error type (RFC 9112)."""

from __future__ import annotations

import asyncio
import re

from keybatond.network_ports import Reply

HEAD_MAX = 16 * 1024  # bytes of status line and headers; our peers send a few hundred
HEADERS_MAX = 64
INTERIM_MAX = 3  # 1xx responses before the real one
CHUNKS_MAX = 4096

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_LENGTH = re.compile(rb"[0-9]{1,10}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")


class ReplyRefused(Exception):
    """The peer sent something else than one well-formed response within the limits."""


async def read_reply(stream: asyncio.StreamReader, limit: int) -> tuple[Reply, bool]:
    """The response and whether the connection can be used again.

    Raises ReplyRefused, also for a body of more than `limit` bytes and for a stream that ends too early. OSError of the
    stream passes through. The stream's own limit must be HEAD_MAX.
    """
    try:
        for _ in range(INTERIM_MAX + 1):
            version, status, headers = _parse_head(await stream.readuntil(b"\r\n\r\n"))
            if status >= 200:
                return await _read_body(stream, version, status, headers, limit)
            if status == 101:
                break
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ReplyRefused from error
    raise ReplyRefused


def _parse_head(head: bytes) -> tuple[int, int, dict[bytes, list[bytes]]]:
    first, *lines = head[:-4].split(b"\r\n")
    status = _STATUS_LINE.fullmatch(first)
    if status is None or len(lines) > HEADERS_MAX:
        raise ReplyRefused
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise ReplyRefused
        headers.setdefault(header[1].lower(), []).append(header[2].strip())
    return int(status[1]), int(status[2]), headers


async def _read_body(
    stream: asyncio.StreamReader, version: int, status: int, headers: dict[bytes, list[bytes]], limit: int
) -> tuple[Reply, bool]:
    keep = version == 1 and b"close" not in b",".join(headers.get(b"connection", [])).lower()
    coding, lengths = headers.get(b"transfer-encoding"), headers.get(b"content-length")
    if status in (204, 304):
        return Reply(status, b""), keep
    if coding is not None:
        # Both framings at once is how responses are smuggled past each other; nobody honest sends it.
        if lengths is not None or len(coding) != 1 or coding[0].lower() != b"chunked":
            raise ReplyRefused
        return Reply(status, await _read_chunks(stream, limit)), keep
    if lengths is not None:
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]) or int(lengths[0]) > limit:
            raise ReplyRefused
        return Reply(status, await stream.readexactly(int(lengths[0]))), keep
    body = bytearray()
    while piece := await stream.read(limit + 1 - len(body)):
        body += piece
        if len(body) > limit:
            raise ReplyRefused
    return Reply(status, bytes(body)), False


async def _read_chunks(stream: asyncio.StreamReader, limit: int) -> bytes:
    body = bytearray()
    for _ in range(CHUNKS_MAX):
        line = _CHUNK_SIZE.fullmatch((await stream.readuntil(b"\r\n"))[:-2])
        if line is None:
            raise ReplyRefused
        size = int(line[1], 16)
        if len(body) + size > limit:
            raise ReplyRefused
        if size == 0:
            for _ in range(HEADERS_MAX):  # trailers
                if await stream.readuntil(b"\r\n") == b"\r\n":
                    return bytes(body)
            raise ReplyRefused
        body += await stream.readexactly(size)
        if await stream.readexactly(2) != b"\r\n":
            raise ReplyRefused
    raise ReplyRefused
