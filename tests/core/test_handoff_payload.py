"""The plaintext of a handoff: round trips of everything that may be sent, and refusal as a whole of everything else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybaton_core.encoding import Malformed, encode_object
from keybaton_core.handoff_payload import PayloadTooLarge, decode_payload, encode_payload
from keybaton_core.items import LINK_SLOTS, SECRET_TYPES, VALUE_MAX_BYTES, DatabaseBody, ItemRefused, SecretBody
from keybaton_core.payload import (
    BUNDLE_MAX_SECRETS,
    ENVIRONMENT_MAX_VARIABLES,
    DatabasePart,
    EnvironmentPart,
    Payload,
    SecretPart,
)
from keybaton_core.secret import SecretBytes
from keybaton_testing.fuzz import examples

MANY = examples(1000)

letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cf"])
names = st.text(letters, min_size=1, max_size=40).map(str.strip).filter(bool)
texts = st.text(letters, max_size=80)
any_text = st.text(st.characters(codec="utf-8"), max_size=60)


@st.composite
def secret_bodies(draw: st.DrawFn, kind: str | None = None) -> SecretBody:
    kind = kind or draw(st.sampled_from(sorted(SECRET_TYPES)))
    fields: dict[str, SecretBytes] = {}
    for spec in SECRET_TYPES[kind]:
        if not spec.required and draw(st.booleans()):
            continue
        value = draw(st.binary(max_size=60)) if spec.binary else draw(any_text).encode()
        if value or spec.required:
            fields[spec.name] = SecretBytes(value)
    return SecretBody(kind, fields)


variable_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
variable_values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@st.composite
def environments(draw: st.DrawFn) -> EnvironmentPart:
    values = draw(st.dictionaries(variable_names, variable_values.map(SecretBytes.from_text), min_size=1, max_size=5))
    place = draw(st.from_regex(r"[0-9a-f]{32}", fullmatch=True)), draw(names), draw(variable_names)
    return EnvironmentPart(*place, values)


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    if draw(st.integers(0, 2)) == 0:
        return Payload(None, (), draw(environments()))
    if draw(st.booleans()):
        taken = draw(st.lists(names, unique=True, min_size=1, max_size=4))
        return Payload(None, tuple(SecretPart(str(i), name, draw(secret_bodies())) for i, name in enumerate(taken)))
    slots = draw(st.lists(st.sampled_from(sorted(LINK_SLOTS)), unique=True, max_size=3))
    parts = tuple(SecretPart(slot, draw(names), draw(secret_bodies(LINK_SLOTS[slot]))) for slot in slots)
    body = DatabaseBody(draw(texts), draw(texts), draw(texts))
    return Payload(DatabasePart(draw(names), body), parts)


@MANY
@given(payloads())
def test_a_payload_round_trips(payload: Payload) -> None:
    """Every kind, type and field arrives as it was sent, byte for byte."""
    assert decode_payload(encode_payload(payload)) == payload


@MANY
@given(payloads(), st.data())
def test_a_cut_payload_is_malformed(payload: Payload, data: st.DataObject) -> None:
    """No beginning of a payload is a payload."""
    plaintext = encode_payload(payload).reveal()
    with pytest.raises(Malformed):
        decode_payload(SecretBytes(plaintext[: data.draw(st.integers(0, len(plaintext) - 1))]))


@MANY
@given(st.one_of(st.binary(max_size=200), st.dictionaries(st.text(max_size=9), st.integers()).map(encode_object)))
def test_garbage_is_malformed(data: bytes) -> None:
    """Never another error."""
    with pytest.raises(Malformed):
        decode_payload(SecretBytes(data))


GOOD: dict[str, Any] = {
    "version": 1,
    "database": {"name": "orders", "description": "d", "path": "/srv/orders", "origin": ""},
    "secrets": [
        {
            "key": "s3",
            "name": "bucket",
            "type": "s3-credentials",
            "fields": {"region": "r", "accessKeyId": "a", "secretAccessKey": "s", "endpoint": "https://e"},
        },
        {"key": "geocodingKey", "name": "geo", "type": "api-key", "fields": {"apiKey": "k"}},
    ],
}


GOOD_ENVIRONMENT: dict[str, Any] = {
    "version": 1,
    "environment": {
        "project": "0123456789abcdef" * 2,
        "title": "shop",
        "name": "staging",
        "variables": [{"name": "A", "value": "1"}, {"name": "B", "value": "two\nlines"}],
    },
}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"project": "0123"}, "environment.project"),
        ({"project": "0123456789ABCDEF" * 2}, "environment.project"),
        ({"title": "a\u202eb"}, "environment.project name"),
        ({"name": "no spaces"}, "environment.environment"),
        ({"name": ""}, "environment.environment"),
        ({"variables": []}, "environment.variables"),
        ({"variables": [{"name": "B", "value": ""}, {"name": "A", "value": ""}]}, "environment.variables[1].name"),
        ({"variables": [{"name": "A", "value": ""}] * 2}, "environment.variables[1].name"),
        ({"variables": [{"name": "A-B", "value": ""}]}, "environment.name"),
        ({"variables": [{"name": "A", "value": "a\0b"}]}, "environment.value"),
        ({"variables": [{"name": "A", "value": 1}]}, "environment.variables[0].value"),
        ({"variables": [{"name": "A", "value": "x", "more": 1}]}, "environment.variables[0].more"),
        ({"variables": [{"name": "A", "value": "x" * (VALUE_MAX_BYTES + 1)}]}, "environment.variables[0].value"),
        (
            {"variables": [{"name": f"A{n:04}", "value": ""} for n in range(ENVIRONMENT_MAX_VARIABLES + 1)]},
            "environment.variables",
        ),
        ({"more": 1}, "environment.more"),
    ],
)
def test_an_environment_that_breaks_a_rule_is_refused_with_the_field(change: dict[str, Any], field: str) -> None:
    """As a whole; the error names the field."""
    value = copy.deepcopy(GOOD_ENVIRONMENT)
    assert decode_payload(SecretBytes(json.dumps(value).encode())).environment is not None
    value["environment"] |= change
    with pytest.raises(Malformed) as refused:
        decode_payload(SecretBytes(json.dumps(value).encode()))
    assert refused.value.field == field


def test_an_environment_comes_alone() -> None:
    """A kind that a reader does not know, beside one that it does, is refused too."""
    for more in ({"secrets": []}, {"secrets": GOOD["secrets"]}, {"database": GOOD["database"]}):
        with pytest.raises(Malformed):
            decode_payload(SecretBytes(json.dumps(GOOD_ENVIRONMENT | more).encode()))
    with pytest.raises(Malformed) as refused:
        decode_payload(SecretBytes(json.dumps({"version": 1, "a-later-kind": {}}).encode()))
    assert refused.value.field == "a-later-kind"


@MANY
@given(st.data())
def test_one_changed_value_is_refused_or_harmless(data: st.DataObject) -> None:
    """Any node of a good payload replaced by any value: a payload that keeps every rule, or Malformed."""
    value = copy.deepcopy(data.draw(st.sampled_from([GOOD, GOOD_ENVIRONMENT])))
    node: Any = value
    while True:
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        node[key] = data.draw(st.none() | st.integers() | st.text(max_size=9) | st.lists(st.none(), max_size=2))
        break
    try:
        payload = decode_payload(SecretBytes(json.dumps(value).encode()))
    except Malformed:
        return
    assert payload.checked() is payload


def refused(change: Any) -> Malformed:
    value = copy.deepcopy(GOOD)
    change(value)
    with pytest.raises(Malformed) as caught:
        decode_payload(SecretBytes(json.dumps(value).encode()))
    return caught.value


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda v: v.update(version=2), "version"),
        (lambda v: v.update(more=1), "more"),
        (lambda v: v["database"].update(name="a\u202eb"), "database.name"),
        (lambda v: v["database"].update(path="/a\nb"), "database.path"),
        (lambda v: v["database"].update(links={}), "database.links"),
        (lambda v: v["database"].pop("origin"), "database.origin"),
        (lambda v: v["secrets"][0].update(name=""), "secrets[0].name"),
        (lambda v: v["secrets"][0].update(name="n" * 257), "secrets[0].name"),
        (lambda v: v["secrets"][1].update(type="api_key"), "secrets[1].type"),
        (lambda v: v["secrets"][1]["fields"].update(extra="1"), "secrets[1].fields.extra"),
        (lambda v: v["secrets"][1]["fields"].update(apiKey=7), "secrets[1].fields.apiKey"),
        (lambda v: v["secrets"][1]["fields"].pop("apiKey"), "secrets[1].fields.apiKey"),
        (lambda v: v["secrets"][1]["fields"].update(apiKey="x" * (VALUE_MAX_BYTES + 1)), "secrets[1].fields.apiKey"),
        (lambda v: v["secrets"][0]["fields"].update(endpoint=""), "secrets[0].fields.endpoint"),
        (lambda v: v["secrets"][0].update(key="encryptionKey"), "secrets"),
        (lambda v: v["secrets"][1].update(key="s3"), "secrets"),
        (lambda v: v.pop("secrets"), "secrets"),
    ],
)
def test_what_does_not_fit_is_named(change: Any, field: str) -> None:
    """The refused field is named with its path."""
    assert refused(change).field == field


def test_a_bundle_with_a_name_twice_is_refused() -> None:
    """Two secrets under one name cannot both be saved."""
    one = {"key": "0", "name": "a", "type": "plain", "fields": {"value": "1"}}
    data = {"version": 1, "secrets": [one, {**one, "key": "1"}]}
    with pytest.raises(Malformed):
        decode_payload(SecretBytes(encode_object(data)))


def test_a_bundle_of_the_most_secrets_arrives_and_one_of_more_is_refused() -> None:
    """As many as a person can look through."""
    parts = [
        SecretPart(str(number), f"n{number}", SecretBody("plain", {"value": SecretBytes(b"v")}))
        for number in range(BUNDLE_MAX_SECRETS + 1)
    ]
    most = Payload(None, tuple(parts[:-1]))
    assert decode_payload(encode_payload(most)) == most
    with pytest.raises(ItemRefused) as caught:
        Payload(None, tuple(parts)).checked()
    assert caught.value.field == "secrets"


def test_a_value_of_no_bytes_and_one_of_the_most_bytes_arrive() -> None:
    """0 B and 256 KiB, text and binary."""
    for size in (0, VALUE_MAX_BYTES):
        parts = (
            SecretPart("0", "text", SecretBody("plain", {"value": SecretBytes(b"x" * size)})),
            SecretPart(
                "1", "file", SecretBody("file", {"name": SecretBytes(b""), "content": SecretBytes(bytes(size))})
            ),
        )
        payload = Payload(None, parts)
        assert decode_payload(encode_payload(payload)) == payload


def test_more_than_a_mebibyte_is_too_large_before_anything_is_sent() -> None:
    """The sender refuses it itself."""
    parts = tuple(
        SecretPart(str(i), f"s{i}", SecretBody("plain", {"value": SecretBytes(b"x" * VALUE_MAX_BYTES)}))
        for i in range(5)
    )
    with pytest.raises(PayloadTooLarge):
        encode_payload(Payload(None, parts))


def test_an_error_never_quotes_a_value() -> None:
    """A refused payload is logged and shown: what it held is not."""
    error = refused(lambda v: v["secrets"][1]["fields"].update(apiKey="hunter2\ud800"))
    assert "hunter2" not in str(error) + repr(error)
