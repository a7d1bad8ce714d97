"""Photosphere's payloads: golden forms, strictness field by field, and round trips."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_core.encoding import Malformed
from keybaton_core.items import LINK_SLOTS, DatabaseBody, SecretBody
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybaton_core.photosphere_payload import check_sendable, decode_payload, encode_payload
from keybaton_core.secret import SecretBytes

FULL: dict[str, Any] = {
    "type": "database",
    "name": "photos",
    "description": "mine",
    "path": "s3:bucket",
    "origin": "s3:old",
    "s3Credentials": {
        "name": "bucket",
        "region": "eu",
        "accessKeyId": "A",
        "secretAccessKey": "B",
        "endpoint": "https://e",
    },
    "encryptionKey": {"name": "enc", "privateKeyPem": "PRIV\n", "publicKeyPem": "PUB\n"},
    "geocodingKey": {"name": "geo", "apiKey": "K"},
}
SECRETS: dict[str, dict[str, Any]] = {
    "s3-credentials": {"value": '{"region":"eu","accessKeyId":"A","secretAccessKey":"B"}'},
    "encryption-key": {"value": "PRIV\n"},
    "api-key": {"value": "K"},
    "plain": {"value": ""},
}


def secret(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "secret", "name": "n", "secretType": kind, **SECRETS.get(kind, {"value": "v"}), **members}


def fields(kind: str, **values: str) -> SecretBody:
    return SecretBody(kind, {name: SecretBytes.from_text(value) for name, value in values.items()})


def test_a_database_with_everything_is_read_part_by_part() -> None:
    """Each linked secret under its slot and its own name."""
    s3 = fields("s3-credentials", region="eu", accessKeyId="A", secretAccessKey="B", endpoint="https://e")
    assert decode_payload(FULL) == Payload(
        DatabasePart("photos", DatabaseBody("mine", "s3:bucket", "s3:old")),
        (
            SecretPart("s3", "bucket", s3),
            SecretPart("encryptionKey", "enc", fields("encryption-key", privateKeyPem="PRIV\n", publicKeyPem="PUB\n")),
            SecretPart("geocodingKey", "geo", fields("api-key", apiKey="K")),
        ),
    )


@pytest.mark.parametrize("value", [FULL, *(secret(kind) for kind in SECRETS)])
def test_what_was_read_is_written_back_the_same(value: dict[str, Any]) -> None:
    """Members in the same order too."""
    assert json.dumps(encode_payload(decode_payload(value))) == json.dumps(value)


def test_absent_optionals_are_left_out() -> None:
    """No nulls, no empty texts; an empty public key counts as none."""
    value = copy.deepcopy(FULL)
    del value["origin"], value["s3Credentials"]["endpoint"], value["geocodingKey"]
    value["encryptionKey"]["publicKeyPem"] = ""
    written = encode_payload(decode_payload(value))
    del value["encryptionKey"]["publicKeyPem"]
    assert written == value


def paths(value: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, inner in value.items():
        found.append((*prefix, name))
        if isinstance(inner, dict):
            found += paths(inner, (*prefix, name))
    return found


OPTIONAL = {
    ("origin",),
    ("s3Credentials",),
    ("encryptionKey",),
    ("geocodingKey",),
    ("s3Credentials", "endpoint"),
    ("encryptionKey", "publicKeyPem"),
}


def changed(value: dict[str, Any], path: tuple[str, ...], *new: object) -> dict[str, Any]:
    """A copy with the member at `path` set to `new`, or removed."""
    out = copy.deepcopy(value)
    inner = out
    for name in path[:-1]:
        inner = inner[name]
    if new:
        inner[path[-1]] = new[0]
    else:
        del inner[path[-1]]
    return out


@pytest.mark.parametrize("path", paths(FULL))
def test_every_member_that_is_not_optional_is_needed(path: tuple[str, ...]) -> None:
    """The error names it."""
    value = changed(FULL, path)
    if path in OPTIONAL:
        decode_payload(value)
        return
    with pytest.raises(Malformed) as refused:
        decode_payload(value)
    assert refused.value.field == path[-1]


@pytest.mark.parametrize("wrong", [None, 1, True, [], "", {"x": "y"}], ids=repr)
@pytest.mark.parametrize("path", paths(FULL))
def test_every_member_has_its_type(path: tuple[str, ...], wrong: object) -> None:
    """null, numbers, lists and objects are refused where text is wanted, and the other way round."""
    value = changed(FULL, path, wrong)
    text = not isinstance(FULL[path[0]], dict) or len(path) == 2
    if wrong == "" and text and path[-1] not in {"type", "name"}:
        decode_payload(value)
    else:
        with pytest.raises(Malformed):
            decode_payload(value)


@pytest.mark.parametrize("where", [(), ("s3Credentials",), ("encryptionKey",), ("geocodingKey",)])
def test_unknown_members_are_refused_everywhere(where: tuple[str, ...]) -> None:
    """They could mean something to the other side."""
    with pytest.raises(Malformed):
        decode_payload(changed(FULL, (*where, "more"), "x"))


@pytest.mark.parametrize("bad", ["a\nb", "a\0", "\u202ea", "a\u2028b", "\ud800", "x" * 5000, "\u200f"])
@pytest.mark.parametrize(
    "path",
    [("name",), ("description",), ("path",), ("origin",), ("s3Credentials", "name"), ("s3Credentials", "region"),
     ("s3Credentials", "endpoint"), ("s3Credentials", "accessKeyId"), ("geocodingKey", "name")],
)  # fmt: skip
def test_what_people_see_holds_no_control_characters_and_is_bounded(path: tuple[str, ...], bad: str) -> None:
    """Names, texts and places; values themselves may hold anything."""
    with pytest.raises(Malformed):
        decode_payload(changed(FULL, path, bad))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {},
        {"type": "secret"},
        secret("login"),
        secret("S3-credentials"),
        secret("plain", more="x"),
        secret("plain", value=1),
        secret("plain", value="x" * (256 * 1024 + 1)),
        secret("s3-credentials", value="not json"),
        secret("s3-credentials", value="[]"),
        secret("s3-credentials", value='\ufeff{"region":"eu","accessKeyId":"A","secretAccessKey":"B"}'),
        secret("s3-credentials", value='{"region":"eu","accessKeyId":"A"}'),
        secret("s3-credentials", value='{"region":"eu","accessKeyId":"A","secretAccessKey":"B","more":"x"}'),
        secret("s3-credentials", value='{"region":"eu","region":"us","accessKeyId":"A","secretAccessKey":"B"}'),
        secret("s3-credentials", value='{"region":"eu","accessKeyId":"A","secretAccessKey":null}'),
        {"type": "database", **{k: v for k, v in secret("plain").items() if k != "type"}},
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_is_no_payload_is_malformed(value: object) -> None:
    """As a whole."""
    with pytest.raises(Malformed):
        decode_payload(value)


def test_the_largest_value_is_taken() -> None:
    """256 KiB."""
    decode_payload(secret("plain", value="x" * 256 * 1024))


@pytest.mark.parametrize(
    ("payload", "part"),
    [
        (Payload(None, (SecretPart("0", "n", fields("login", username="u", password="p")),)), "type"),
        (Payload(None, (SecretPart("0", "n", fields("token", value="t")),)), "type"),
        (Payload(None, tuple(SecretPart(str(i), str(i), fields("plain", value="v")) for i in range(2))), "several"),
    ],
)
def test_what_the_format_cannot_carry_says_so(payload: Payload, part: str) -> None:
    """Before anything is sent."""
    assert part in (check_sendable(payload) or "")
    with pytest.raises(Malformed):
        encode_payload(payload)


def test_a_public_key_by_itself_does_not_travel() -> None:
    """The format has no place for it; the private key does."""
    part = SecretPart("0", "n", fields("encryption-key", privateKeyPem="P", publicKeyPem="Q"))
    assert encode_payload(Payload(None, (part,))) == secret("encryption-key", value="P")


SHOWN = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
VALUE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
HIDDEN = {"secretAccessKey", "privateKeyPem", "publicKeyPem", "apiKey", "value"}
MEMBERS = {
    "s3-credentials": (("region", "accessKeyId", "secretAccessKey"), ("endpoint",)),
    "encryption-key": (("privateKeyPem",), ("publicKeyPem",)),
    "api-key": (("apiKey",), ()),
    "plain": (("value",), ()),
}


@st.composite
def bodies(draw: st.DrawFn, kind: str, *, alone: bool) -> SecretBody:
    required, optional = MEMBERS[kind]
    names = [*required, *(name for name in optional if draw(st.booleans()) and name != "publicKeyPem" * alone)]
    texts = {name: draw(VALUE if name in HIDDEN else SHOWN) for name in names}
    return fields(kind, **{name: text for name, text in texts.items() if text or name in required})


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    if draw(st.booleans()):
        kind = draw(st.sampled_from(sorted(MEMBERS)))
        return Payload(None, (SecretPart("0", draw(SHOWN), draw(bodies(kind, alone=True))),))
    slots = [slot for slot in LINK_SLOTS if draw(st.booleans())]
    parts = tuple(SecretPart(slot, draw(SHOWN), draw(bodies(LINK_SLOTS[slot], alone=False))) for slot in slots)
    body = DatabaseBody(draw(SHOWN), draw(SHOWN), draw(st.just("") | SHOWN))
    return Payload(DatabasePart(draw(SHOWN), body), parts)


@settings(max_examples=1000)
@given(payloads())
def test_every_payload_comes_back_as_it_went(payload: Payload) -> None:
    """Through JSON text."""
    assert decode_payload(json.loads(json.dumps(encode_payload(payload)))) == payload


SCRAPS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(FULL)), inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=1000)
@given(st.sampled_from(paths(FULL)), SCRAPS)
def test_a_payload_with_any_member_replaced_is_read_or_malformed(path: tuple[str, ...], scrap: object) -> None:
    """Total: one error type, and what is read is fit."""
    try:
        payload = decode_payload(changed(FULL, path, scrap))
    except Malformed as refused:
        assert refused.field
        return
    payload.checked()
