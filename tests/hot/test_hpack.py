"""Header decoding against the examples of RFC 7541 and against anything at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_hot.hpack import Decoder, HpackError, huffman_decode

# RFC 7541, appendix C.6: three responses on one connection with Huffman coding and a table of 256 octets.
C6 = [
    (
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        [
            (b":status", b"302"),
            (b"cache-control", b"private"),
            (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
            (b"location", b"https://www.example.com"),
        ],
    ),
    (
        "4883640effc1c0bf",
        [
            (b":status", b"307"),
            (b"cache-control", b"private"),
            (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
            (b"location", b"https://www.example.com"),
        ],
    ),
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672"
        "c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        [
            (b":status", b"200"),
            (b"cache-control", b"private"),
            (b"date", b"Mon, 21 Oct 2013 20:13:22 GMT"),
            (b"location", b"https://www.example.com"),
            (b"content-encoding", b"gzip"),
            (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
        ],
    ),
]


def test_the_responses_of_the_rfc_decode() -> None:
    """Appendix C.6, with the table size that it supposes announced as the first octets of the connection."""
    decoder = Decoder()
    decoder.decode(bytes.fromhex("3fe101"))  # 256
    for block, headers in C6:
        assert decoder.decode(bytes.fromhex(block)) == headers


@pytest.mark.parametrize(
    ("coded", "text"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", b"www.example.com"),
        ("a8eb10649cbf", b"no-cache"),
        ("25a849e95bb8e8b4bf", b"custom-value"),
        ("", b""),
    ],
)
def test_huffman_strings_of_the_rfc_decode(coded: str, text: bytes) -> None:
    """Appendix C.4."""
    assert huffman_decode(bytes.fromhex(coded)) == text


@pytest.mark.parametrize("coded", ["00", "ffffffff", "f1e3c2e5f23a6ba0ab90f400", "fffffffc"])
def test_bad_padding_and_eos_are_refused(coded: str) -> None:
    """Padding is a prefix of EOS shorter than an octet; EOS itself never stands in a string (section 5.2)."""
    with pytest.raises(HpackError):
        huffman_decode(bytes.fromhex(coded))


@pytest.mark.parametrize(
    "block", ["80", "ff0080", "be", "3fe21f", "8220", "ffffffffffff7f", "400a61", "40", "41", "7f"]
)
def test_what_is_not_hpack_is_refused(block: str) -> None:
    """Index 0, beyond the table, a size update too large or too late, endless integers, cut strings."""
    with pytest.raises(HpackError):
        Decoder().decode(bytes.fromhex(block))


def test_a_block_that_repeats_one_long_entry_is_cut_off() -> None:
    """A kilobyte of indexes must not become megabytes of headers."""
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x7f\x80\x10" + b"v" * 2175)
    with pytest.raises(HpackError):
        decoder.decode(b"\xbe" * 1000)


@settings(max_examples=2000)
@given(blocks=st.lists(st.binary(max_size=80), max_size=4))
def test_any_bytes_decode_or_raise_the_one_error(blocks: list[bytes]) -> None:
    """The decoder is total."""
    decoder = Decoder()
    try:
        for block in blocks:
            for name, value in decoder.decode(block):
                assert isinstance(name, bytes)
                assert isinstance(value, bytes)
    except HpackError:
        pass
