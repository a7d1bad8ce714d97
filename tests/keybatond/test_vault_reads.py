"""Bytes of the log of reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core.items import ItemKind, ItemRef
from keybaton_core.vault_parts import VaultRowInvalid
from keybaton_testing.fuzz import examples
from keybatond.services.vault_reads import READS_TOGETHER, decode_reads, encode_reads
from keybatond.services.vault_types import ReadRecord

texts = st.text(st.characters(codec="utf-8"), max_size=20)
records = st.builds(
    ReadRecord,
    st.integers(0, 2**63),
    st.builds(ItemRef, st.sampled_from(sorted(ItemKind)), texts, texts, texts),
    st.binary(min_size=16, max_size=16).map(bytes.hex),
    st.integers(1, 2**63),
    st.sampled_from(["", "command line", "helper"]),
)
batches = st.lists(records, max_size=READS_TOGETHER)


@examples(300)
@given(batches)
def test_every_batch_survives(batch: list[ReadRecord]) -> None:
    """Encoded and decoded, it is equal."""
    assert decode_reads(encode_reads(batch)) == batch


@examples(1000)
@given(st.one_of(st.binary(max_size=200), st.builds(lambda b, at: encode_reads(b)[:at], batches, st.integers(0, 400))))
def test_a_batch_decodes_or_is_invalid(data: bytes) -> None:
    """Nothing else is raised; one spelling."""
    try:
        batch = decode_reads(data)
    except VaultRowInvalid:
        return
    assert encode_reads(batch) == data


@pytest.mark.parametrize("client", [b"c\x1bi", b" cl", b"c\xe2\x80\xae"])
def test_a_kind_of_client_that_no_read_was_noted_with_is_invalid(client: bytes) -> None:
    """Control and bidirectional characters never come out of the log, whatever lies in it."""
    noted = encode_reads(
        [ReadRecord(1, ItemRef(ItemKind.SECRET, "name"), "00" * 16, 1, "cli" if len(client) == 3 else "clii")]
    )
    assert noted.count(b"cli") == 1
    with pytest.raises(VaultRowInvalid):
        decode_reads(noted[: -len(client)] + client)
