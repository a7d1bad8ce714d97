"""Photosphere's database and secret payloads as JSON values: a strict decoder, and an encoder for what that format can carry."""

from __future__ import annotations

import json
from collections.abc import Mapping

from keybaton_core.items import DatabaseBody, ItemRefused, SecretBody
from keybaton_core.names import NameRefused, check_text
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybaton_core.secret import SecretBytes

# The JSON member of a database for each link slot of ours.
_MEMBERS: Mapping[str, str] = {"s3": "s3Credentials", "encryptionKey": "encryptionKey", "geocodingKey": "geocodingKey"}
# Fields of each secret type as they stand in JSON: (name, required).
_FIELDS: Mapping[str, tuple[tuple[str, bool], ...]] = {
    "s3-credentials": (("region", True), ("accessKeyId", True), ("secretAccessKey", True), ("endpoint", False)),
    "encryption-key": (("privateKeyPem", True), ("publicKeyPem", False)),
    "api-key": (("apiKey", True),),
    "plain": (("value", True),),
}
_SLOT_TYPES: Mapping[str, str] = {"s3": "s3-credentials", "encryptionKey": "encryption-key", "geocodingKey": "api-key"}
# The one field that a secret's `value` is, for types whose value is no JSON text.
_VALUE_FIELDS: Mapping[str, str] = {"encryption-key": "privateKeyPem", "api-key": "apiKey", "plain": "value"}
# Fields that people see: they are held to the rules for texts.
_SHOWN = frozenset({"region", "accessKeyId", "endpoint"})

JsonObject = dict[str, object]


class PayloadRefused(ValueError):
    """A payload breaks the format. `field` names the part; `problem` says why and never quotes a value."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


# --- strict JSON -------------------------------------------------------------------------------------------------------


def parse_json(text: bytes) -> object:
    """JSON as RFC 8259 has it: UTF-8 without BOM, no NaN, no member twice. ValueError for all else."""
    if text.startswith(b"\xef\xbb\xbf"):
        raise ValueError("begins with a BOM")
    try:
        return json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _unique(pairs: list[tuple[str, object]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("names a member twice")
    return members


def _no_constant(name: str) -> object:
    raise ValueError("holds a number that JSON does not know")


def dump_json(value: object) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# --- decoding ----------------------------------------------------------------------------------------------------------


def decode_payload(value: object) -> Payload:
    """The payload that the JSON value `value` states, checked field by field. Raises PayloadRefused."""
    try:
        members = _object(value, "payload")
        kind = _take_text(members, "type")
        if kind == "database":
            payload = _decode_database(members)
        elif kind == "secret":
            payload = _decode_secret(members)
        else:
            raise PayloadRefused("type", "is neither database nor secret")
        return payload.checked()
    except (NameRefused, ItemRefused) as error:
        raise PayloadRefused(error.field, error.problem) from None


def _object(value: object, field: str) -> JsonObject:
    if not isinstance(value, dict):
        raise PayloadRefused(field, "is not a JSON object")
    return dict(value)


def _take_text(members: JsonObject, field: str) -> str:
    if field not in members:
        raise PayloadRefused(field, "is missing")
    value = members.pop(field)
    if not isinstance(value, str):
        raise PayloadRefused(field, "is not text")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise PayloadRefused(field, "is not Unicode text") from None
    return value


def _finish(members: JsonObject, where: str) -> None:
    if members:
        raise PayloadRefused(where, "holds a member that the format does not know")


def _decode_database(members: JsonObject) -> Payload:
    name = _take_text(members, "name")
    body = DatabaseBody(
        description=_take_text(members, "description"),
        path=_take_text(members, "path"),
        origin=_take_text(members, "origin") if "origin" in members else "",
    )
    parts = []
    for slot, member in _MEMBERS.items():
        if member in members:
            inner = _object(members.pop(member), member)
            part_name = _take_text(inner, "name")
            parts.append(SecretPart(slot, part_name, _decode_fields(inner, _SLOT_TYPES[slot], member)))
    _finish(members, "payload")
    return Payload(DatabasePart(name, body), tuple(parts))


def _decode_fields(members: JsonObject, secret_type: str, where: str) -> SecretBody:
    fields = {}
    for name, required in _FIELDS[secret_type]:
        if not required and name not in members:
            continue
        value = _take_text(members, name)
        if name in _SHOWN:
            check_text(value, name)
        if value or required:  # an empty optional is the same as none
            fields[name] = SecretBytes.from_text(value)
    _finish(members, where)
    return SecretBody(secret_type, fields)


def _decode_secret(members: JsonObject) -> Payload:
    name = _take_text(members, "name")
    secret_type = _take_text(members, "secretType")
    value = _take_text(members, "value")
    _finish(members, "payload")
    if secret_type not in _FIELDS:
        raise PayloadRefused("secretType", "is not one of " + ", ".join(_FIELDS))
    if secret_type in _VALUE_FIELDS:
        body = SecretBody(secret_type, {_VALUE_FIELDS[secret_type]: SecretBytes.from_text(value)})
    else:
        try:
            inner = parse_json(value.encode())
        except ValueError:
            raise PayloadRefused("value", "is not JSON text") from None
        body = _decode_fields(_object(inner, "value"), secret_type, "value")
    return Payload(None, (SecretPart("0", name, body),))


# --- encoding ----------------------------------------------------------------------------------------------------------


def check_sendable(payload: Payload) -> str | None:
    """Why the Photosphere format cannot carry `payload`, or None when it can."""
    if payload.database is None:
        if len(payload.secrets) != 1:
            return "are several secrets; the Photosphere protocol carries one"
        if payload.secrets[0].body.type not in _FIELDS:
            return "are of a type that the Photosphere protocol does not know; it knows " + ", ".join(_FIELDS)
    return None


def encode_payload(payload: Payload) -> JsonObject:
    """The JSON value for `payload`. Raises PayloadRefused for what the format cannot carry.

    A secret by itself of type encryption-key travels without its public key, for which the format has no place.
    """
    problem = check_sendable(payload)
    if problem is not None:
        raise PayloadRefused("payload", problem)
    if payload.database is None:
        return _encode_secret(payload.secrets[0])
    body = payload.database.body
    members: JsonObject = {
        "type": "database", "name": payload.database.name, "description": body.description, "path": body.path,
    }  # fmt: skip
    if body.origin:
        members["origin"] = body.origin
    for part in payload.secrets:
        members[_MEMBERS[part.key]] = {"name": part.name, **_texts(part.body)}
    return members


def _texts(body: SecretBody) -> dict[str, str]:
    return {name: body.fields[name].reveal_text() for name, _ in _FIELDS[body.type] if name in body.fields}


def _encode_secret(part: SecretPart) -> JsonObject:
    field = _VALUE_FIELDS.get(part.body.type)
    value = dump_json(_texts(part.body)).decode() if field is None else part.body.fields[field].reveal_text()
    return {"type": "secret", "name": part.name, "secretType": part.body.type, "value": value}
