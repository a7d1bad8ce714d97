"""The types of secrets and their fields, as the agent defines them (tests compare the lists)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class FieldSpec(NamedTuple):
    """One field. `hidden` ones are masked until `--reveal`; `lines` ones hold text of several lines."""

    name: str
    required: bool = True
    hidden: bool = True
    lines: bool = False
    binary: bool = False


SECRET_TYPES: dict[str, tuple[FieldSpec, ...]] = {
    "s3-credentials": (
        FieldSpec("region", hidden=False),
        FieldSpec("accessKeyId", hidden=False),
        FieldSpec("secretAccessKey"),
        FieldSpec("endpoint", required=False, hidden=False),
    ),
    "encryption-key": (
        FieldSpec("privateKeyPem", lines=True),
        FieldSpec("publicKeyPem", required=False, hidden=False, lines=True),
    ),
    "api-key": (FieldSpec("apiKey"),),
    "plain": (FieldSpec("value"),),
    "login": (
        FieldSpec("username", hidden=False),
        FieldSpec("password"),
        FieldSpec("url", required=False, hidden=False),
        FieldSpec("totp", required=False),
    ),
    "token": (FieldSpec("value"),),
    "ssh-key": (
        FieldSpec("privateKey", lines=True),
        FieldSpec("publicKey", required=False, hidden=False, lines=True),
    ),
    "note": (FieldSpec("value", lines=True),),
    "file": (FieldSpec("name", hidden=False), FieldSpec("content", lines=True, binary=True)),
}

# Types that Photosphere's protocol can carry by themselves.
PHOTOSPHERE_TYPES = ("s3-credentials", "encryption-key", "api-key", "plain")

# A database's links: slot on the wire, its option, the type of secret it wants, and its name for people.
LINKS: tuple[tuple[str, str, str, str], ...] = (
    ("s3", "--s3", "s3-credentials", "S3 credentials"),
    ("encryptionKey", "--encryption-key", "encryption-key", "encryption key"),
    ("geocodingKey", "--geocoding-key", "api-key", "geocoding key"),
)


def fields_help() -> str:
    """The fields of each type, a line each; optional ones with a question mark."""
    return "\n".join(f"{name:<15} {field_names(name)}" for name in SECRET_TYPES)


def field_names(secret_type: str) -> str:
    """The fields of a type in one line; optional ones with a question mark."""
    return ", ".join(spec.name + ("" if spec.required else "?") for spec in SECRET_TYPES[secret_type])


def main_field(secret_type: str) -> FieldSpec | None:
    """The field that a value by itself goes to: a file's content, else the only one that is needed."""
    specs = SECRET_TYPES.get(secret_type, ())
    fitting = [spec for spec in specs if spec.binary] or [spec for spec in specs if spec.required]
    return fitting[0] if len(fitting) == 1 else None


def doubt(fields: Mapping[str, bytes]) -> str:
    """What is odd about a secret's values though they may be stored; empty when nothing is."""
    pem = fields.get("privateKeyPem")
    if pem is None or (b"-----BEGIN " in pem and b"-----END " in pem):
        return ""
    return "privateKeyPem is no PEM block (-----BEGIN …); it is stored as it is"


def spec_of(secret_type: str, field: str) -> FieldSpec | None:
    """The field of a type; None when either is unknown (an agent newer than this client)."""
    return next((spec for spec in SECRET_TYPES.get(secret_type, ()) if spec.name == field), None)
