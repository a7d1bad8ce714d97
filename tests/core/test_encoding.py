"""Length prefixes, base64url and JSON objects: one spelling for each value, and one kind of error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core.encoding import (
    Fields,
    Malformed,
    decode_object,
    encode_object,
    from_base64url,
    lv,
    to_base64url,
)
from keybaton_testing.fuzz import examples

MANY = examples(1000)


def test_a_length_is_written_as_leb128() -> None:
    """Known lengths around the borders of one, two and three bytes."""
    assert lv(b"") == b"\x00"
    assert lv(bytes(127))[:1] == b"\x7f"
    assert lv(bytes(128))[:2] == b"\x80\x01"
    assert lv(bytes(16384))[:3] == b"\x80\x80\x01"
    assert lv(b"a", b"bc") == b"\x01a\x02bc"


@MANY
@given(st.lists(st.binary(max_size=200), max_size=4), st.lists(st.binary(max_size=200), max_size=4))
def test_different_parts_never_give_the_same_bytes(one: list[bytes], other: list[bytes]) -> None:
    """lv is injective: no part can be moved over the border to the next."""
    assert (lv(*one) == lv(*other)) == (one == other)


@MANY
@given(st.binary(max_size=300))
def test_base64url_round_trips(data: bytes) -> None:
    """What is written is read back, and holds no padding."""
    text = to_base64url(data)
    assert "=" not in text
    assert from_base64url(text, "x") == data


@MANY
@given(st.text(alphabet="AQgw-_=+/ \n0é", max_size=12))
def test_base64url_has_one_spelling_for_each_value(text: str) -> None:
    """Whatever is accepted is exactly what would be written."""
    try:
        data = from_base64url(text, "x")
    except Malformed:
        return
    assert to_base64url(data) == text


@MANY
@given(st.one_of(st.binary(max_size=200), st.text(alphabet='{}[]":,\\u0d8a1e.-NI ', max_size=60).map(str.encode)))
def test_any_bytes_are_an_object_or_malformed(data: bytes) -> None:
    """The decoder never fails in another way."""
    try:
        assert isinstance(decode_object(data, 100), dict)
    except Malformed as error:
        assert error.field == "document"


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"a":1.5}',
        b'{"a":NaN}',
        b'{"a":1e3}',
        b"\xef\xbb\xbf{}",
        b"[]",
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 6000,
        b'{"a":{"b":1,"b":1}}',
        b'{"a":1} x',
        b"",
        b'{"\xff":1}',
    ],
)
def test_a_document_with_two_meanings_or_none_is_refused(data: bytes) -> None:
    """Duplicate keys at any depth, fractions, NaN, a BOM, huge numbers, nesting without end, trailing text."""
    with pytest.raises(Malformed):
        decode_object(data, 10_000)


def test_the_size_is_looked_at_before_anything_else() -> None:
    """One byte over the limit is refused, also when it is blank."""
    assert decode_object(b'{"a":1}', 7) == {"a": 1}
    with pytest.raises(Malformed):
        decode_object(b'{"a":1} ', 7)


def test_each_reader_takes_its_own_type_only() -> None:
    """A boolean is no integer, half a surrogate pair is no text, and errors name the field with its path."""
    fields = Fields(json.loads('{"n":true,"t":"\\ud800","o":{"x":1},"l":[{},3],"b":"AA="}'))
    readers = [
        lambda: fields.integer("n", 0, 9),
        lambda: fields.text("t", 9),
        lambda: fields.object("n"),
        lambda: fields.objects("o", 9),
        lambda: fields.binary("b", 0, 9),
        lambda: fields.text("none", 9),
    ]
    for read in readers:
        with pytest.raises(Malformed):
            read()
    with pytest.raises(Malformed, match="at most 1"):
        fields.objects("l", 1)
    with pytest.raises(Malformed, match=r"l\[1\]"):
        fields.objects("l", 2)
    with pytest.raises(Malformed, match=r"o\.x"):
        fields.object("o").text("x", 9)


def test_an_unknown_field_is_named_in_plain_letters() -> None:
    """A peer's field name cannot carry control characters or length into an error."""
    with pytest.raises(Malformed) as caught:
        Fields({"\x1b[31m" + "x" * 99: 1}).only("a")
    assert caught.value.field.isalnum()
    assert len(caught.value.field) <= 40


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@MANY
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), json_values, max_size=4))
def test_objects_round_trip(value: dict[str, object]) -> None:
    """What is written is read back."""
    data = encode_object(value)
    assert decode_object(data, len(data)) == value


@MANY
@given(json_values)
def test_readers_are_total(value: object) -> None:
    """Whatever stands in a field, a reader gives its type or Malformed."""
    fields = Fields({"f": value})
    for read in (
        lambda: fields.text("f", 4),
        lambda: fields.binary("f", 0, 4),
        lambda: fields.integer("f", 0, 4),
        lambda: fields.object("f"),
        lambda: fields.objects("f", 2),
        lambda: fields.texts("f", 2, 4),
    ):
        try:
            read()
        except Malformed as error:
            assert error.field.startswith("f")
