"""How a person names a peer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_core.host_port import split_host_port


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("laptop", ("laptop", None)),
        ("laptop.local:4321", ("laptop.local", 4321)),
        ("10.0.0.1", ("10.0.0.1", None)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
        ("::1", ("::1", None)),
        ("fe80::1%eth0", ("fe80::1%eth0", None)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ("[::1]", ("::1", None)),
    ],
)
def test_host_and_port_are_told_apart(text: str, expected: tuple[str, int | None]) -> None:
    """IPv6 needs brackets where a port follows."""
    assert split_host_port(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":80", "a:", "a:0", "a:65536", "a:-1", "a:８", "a b", "http://a", "[::1", "[a]:1:2"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    """ValueError."""
    with pytest.raises(ValueError, match=r"is not HOST|has a port"):
        split_host_port(text)


@settings(max_examples=1000)
@given(st.text(alphabet="a1:.[]%/ -", max_size=20) | st.text(max_size=20))
def test_any_text_is_split_or_refused(text: str) -> None:
    """Total; the host is never empty and the port in range."""
    try:
        host, port = split_host_port(text)
    except ValueError:
        return
    assert host
    assert port is None or 1 <= port <= 65535
