"""The hand-written codec of lists against the generated messages, and its decoder against anything."""

from __future__ import annotations

import sys

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_hot import answers
from keybaton_hot import unary as requests

names = st.text(max_size=300)
rows = st.tuples(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=100),
    st.sampled_from(["plain", "login", "", "é", "x" * 200]),
    st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)),
    st.one_of(st.integers(0, 2**43), st.integers(-(2**63), 2**63 - 1)),
)
Row = tuple[str, str, int, int]


def columns(listed: list[Row]) -> vault_pb2.ItemColumns:
    """As the agent fills them, but for the order."""
    types = sorted({kind for _, kind, _, _ in listed})
    return vault_pb2.ItemColumns(
        names="".join(name + "\n" for name, _, _, _ in listed),
        types=types,
        type_numbers=[types.index(kind) for _, kind, _, _ in listed],
        versions=[version for _, _, version, _ in listed],
        updated_at_ms=[changed for _, _, _, changed in listed],
    )


def read(data: bytes) -> tuple[list[Row], str]:
    """The rows of a list, and its token. WireError."""
    names, *columns, token = answers.list_answer(data)
    assert names.endswith("\n") or not names
    return list(zip(names.split("\n")[:-1], *columns, strict=True)), token


@settings(max_examples=1000)
@given(token=names, prefix=names)
def test_list_requests_are_those_of_protobuf(token: str, prefix: str) -> None:
    """The largest page there is; its token and the beginning of the names."""
    expected = vault_pb2.ListItemsRequest(
        kind=common_pb2.ITEM_KIND_SECRET, page_size=1000, page_token=token, name_prefix=prefix, columns=True
    )
    assert vault_pb2.ListItemsRequest.FromString(requests.list_request(token, prefix)) == expected


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    listed=st.lists(rows, max_size=12), token=names, order=st.sampled_from(["little", "big"]), cut=st.integers(0, 12)
)
def test_lists_are_read_as_protobuf_writes_them(
    listed: list[Row], token: str, order: str, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions of 64 bits and times of either sign, on a machine of either order of octets; also as two parts of one message."""
    monkeypatch.setattr(sys, "byteorder", order)
    whole = vault_pb2.ListItemsResponse(columns=columns(listed), next_page_token=token).SerializeToString()
    assert read(whole) == (listed, token)
    apart = columns(listed)
    later = vault_pb2.ItemColumns(updated_at_ms=apart.updated_at_ms[cut:])
    del apart.updated_at_ms[cut:]
    parts = [vault_pb2.ListItemsResponse(columns=part).SerializeToString() for part in (apart, later)]
    assert read(b"".join(parts)) == (listed, "")


ROW = ("a", "plain", 1, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"names": "a"},
        {"names": "a\n"},
        {"names": "a\nb\nc\n"},
        {"names": ""},
        {"types": []},
        {"type_numbers": [0]},
        {"type_numbers": [0, 1]},
        {"type_numbers": [0, 2**32 - 1]},
        {"versions": [1, 2, 3]},
        {"updated_at_ms": []},
    ],
)
def test_columns_that_do_not_fit_together_are_refused(wrong: dict[str, object]) -> None:
    """Never a list with a row too few, or with another's type."""
    good = columns([ROW, ("b", "plain", 1, 2)])
    for name, value in wrong.items():
        good.ClearField(name)  # type: ignore[arg-type]
        good.MergeFrom(vault_pb2.ItemColumns(**{name: value}))  # type: ignore[arg-type]
    with pytest.raises(answers.WireError):
        read(vault_pb2.ListItemsResponse(columns=good).SerializeToString())


def test_an_empty_list_is_not_a_list_without_columns() -> None:
    """What does not know them answers with items, or with nothing."""
    assert read(vault_pb2.ListItemsResponse(columns=columns([])).SerializeToString()) == ([], "")
    summary = common_pb2.ItemSummary(ref=common_pb2.ItemRef(name="a"))
    for answer in (vault_pb2.ListItemsResponse(), vault_pb2.ListItemsResponse(items=[summary])):
        with pytest.raises(answers.WireError):
            read(answer.SerializeToString())


def read_by_protobuf(data: bytes) -> tuple[list[Row], str] | None:
    """A list read by the generated code; None where its columns do not fit together. DecodeError."""
    response = vault_pb2.ListItemsResponse.FromString(data)
    found = response.columns
    try:
        kinds = [found.types[place] for place in found.type_numbers]
        listed = found.names.split("\n")
        rests = zip(kinds, found.versions, found.updated_at_ms, strict=True)
        if not response.HasField("columns") or listed.pop():
            return None
        return [(name, *rest) for name, rest in zip(listed, rests, strict=True)], response.next_page_token
    except (IndexError, ValueError):
        return None


@settings(max_examples=2000)
@given(listed=st.lists(rows, max_size=4), at=st.integers(0, 10_000), octet=st.integers(0, 255))
def test_an_altered_list_is_read_as_protobuf_reads_it_or_refused(listed: list[Row], at: int, octet: int) -> None:
    """One octet of it is another: no reading of our own, and no error but the one."""
    data = bytearray(vault_pb2.ListItemsResponse(columns=columns(listed), next_page_token="7").SerializeToString())
    data[at % len(data)] = octet
    try:
        found = read(bytes(data))
        expected = read_by_protobuf(bytes(data))
    except (answers.WireError, DecodeError):  # the latter for fields that a list of columns does not have
        return
    assert found == expected
