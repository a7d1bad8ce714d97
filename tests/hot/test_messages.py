"""The hand-written codec against the generated messages, and its decoder against anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_hot import answers
from keybaton_hot import unary as requests

names = st.text(max_size=300)
numbers = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
times = st.one_of(st.integers(0, 2**43), st.integers(-(2**63), 2**63 - 1))
summaries = st.builds(
    common_pb2.ItemSummary,
    ref=st.builds(common_pb2.ItemRef, kind=st.sampled_from([0, 1, 2, 3]), name=names, vault=names, environment=names),
    id=names,
    version=numbers,
    updated_at_ms=times,
    secret_type=names,
)


Shown = tuple[str, tuple[str, int, int]]


def shown(summary: common_pb2.ItemSummary) -> Shown:
    """A summary as the codec gives it."""
    return summary.ref.name, (summary.secret_type, summary.version, summary.updated_at_ms)


@settings(max_examples=1000)
@given(name=names, field=names)
def test_get_requests_are_those_of_protobuf(name: str, field: str) -> None:
    """Every name and field, parsed by the generated code."""
    expected = vault_pb2.GetItemRequest(
        ref=common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name), field=field, bare=True
    )
    assert vault_pb2.GetItemRequest.FromString(requests.get_request(name, field)) == expected


@settings(max_examples=1000)
@given(value=st.binary(max_size=5000), unknown=st.binary(max_size=20))
def test_values_come_out_as_they_went_in(value: bytes, unknown: bytes) -> None:
    """Also beside fields that this version does not know."""
    data = vault_pb2.GetItemResponse(value=value).SerializeToString()
    assert answers.get_answer(data) == value
    assert answers.get_answer(requests.bytes_field(999, unknown) + data + requests.number_field(77, 5)) == value


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 4 * 1024 * 1024 - 16])
def test_values_up_to_the_limit_come_out(size: int) -> None:
    """Lengths around the borders of the variable-length integers."""
    value = b"\xa5" * size
    assert answers.get_answer(vault_pb2.GetItemResponse(value=value).SerializeToString()) == value


@settings(max_examples=1000)
@given(name=names, kind=names, values=st.dictionaries(names, st.binary(max_size=500), max_size=4))
def test_put_requests_are_those_of_protobuf(name: str, kind: str, values: dict[str, bytes]) -> None:
    """A secret with any fields, empty ones included."""
    secret = common_pb2.Secret(type=kind, fields=[common_pb2.Field(key=k, value=v) for k, v in values.items()])
    item = common_pb2.Item(ref=common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name), secret=secret)
    expected = vault_pb2.PutItemRequest(item=item, mode=vault_pb2.PUT_MODE_CREATE)
    made = requests.put_request(name, kind, values, requests.CREATE)
    assert vault_pb2.PutItemRequest.FromString(made) == expected


@settings(max_examples=300)
@given(
    secrets=st.lists(st.tuples(names, names, st.dictionaries(names, st.binary(max_size=50), max_size=3)), max_size=5),
    created=st.integers(0, 2**32 - 1),
)
def test_batches_are_those_of_protobuf(secrets: list[tuple[str, str, Mapping[str, bytes]]], created: int) -> None:
    """Several secrets in one request, and the number that the answer holds."""
    items = [
        common_pb2.Item(
            ref=common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name),
            secret=common_pb2.Secret(type=kind, fields=[common_pb2.Field(key=k, value=v) for k, v in values.items()]),
        )
        for name, kind, values in secrets
    ]
    expected = vault_pb2.BatchPutRequest(items=items, mode=vault_pb2.PUT_MODE_CREATE)
    made = requests.batch_put_request(secrets, requests.CREATE)
    assert vault_pb2.BatchPutRequest.FromString(made) == expected
    answer = vault_pb2.BatchPutResponse(created=created, replaced=3).SerializeToString()
    assert answers.batch_put_answer(answer) == created


@settings(max_examples=1000)
@given(summary=summaries)
def test_put_answers_are_read_as_protobuf_writes_them(summary: common_pb2.ItemSummary) -> None:
    """The summary of what was stored."""
    data = vault_pb2.PutItemResponse(summary=summary).SerializeToString()
    assert answers.put_answer(data) == shown(summary)


@settings(max_examples=2000)
@given(
    data=st.binary(max_size=120),
    decode=st.sampled_from([answers.get_answer, answers.list_answer, answers.put_answer]),
)
def test_any_bytes_decode_or_raise_the_one_error(data: bytes, decode: Callable[[bytes], object]) -> None:
    """The decoders are total."""
    with contextlib.suppress(answers.WireError):
        decode(data)
