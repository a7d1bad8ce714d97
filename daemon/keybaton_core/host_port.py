"""How a person names a peer: HOST[:PORT], with brackets around an IPv6 literal that has a port."""

from __future__ import annotations

import re

_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[^\]\s]+)?)\](?::([0-9]{1,5}))?", re.ASCII)
_NAMED = re.compile(r"([^\s:/\[\]]{1,253})(?::([0-9]{1,5}))?", re.ASCII)
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[^\]\s]+)?", re.ASCII)


def split_host_port(text: str) -> tuple[str, int | None]:
    """Host name or literal, and the port when there is one. ValueError when it is neither."""
    if _BARE_IPV6.fullmatch(text):
        return text, None
    match = _BRACKETED.fullmatch(text) or _NAMED.fullmatch(text)
    if match is None:
        raise ValueError("is not HOST or HOST:PORT")
    if match[2] is None:
        return match[1], None
    port = int(match[2])
    if not 1 <= port <= 65535:
        raise ValueError("has a port outside 1 to 65535")
    return match[1], port
