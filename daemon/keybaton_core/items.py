"""What a vault holds: secrets of known types, databases with links, projects and their environment variables."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from keybaton_core.names import check_environment, check_name, check_text, check_variable
from keybaton_core.secret import SecretBytes

VALUE_MAX_BYTES = 256 * 1024  # handoff protocol: "value 256 KiB"; a secret's fields together


_PROJECT_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
ENVIRONMENTS_MAX = 64  # of one project


class ItemKind(enum.IntEnum):
    """The numbers are stored and hashed into index tags: they never change meaning. Equal to the API's ItemKind."""

    SECRET = 1
    DATABASE = 2
    ENV_VARIABLE = 3
    PROJECT = 4


@dataclass(frozen=True)
class FieldSpec:
    """One field of a secret type."""

    name: str
    required: bool = True
    binary: bool = False
    hidden: bool = True  # shown only on request


SECRET_TYPES: Mapping[str, tuple[FieldSpec, ...]] = {
    "s3-credentials": (
        FieldSpec("region", hidden=False),
        FieldSpec("accessKeyId", hidden=False),
        FieldSpec("secretAccessKey"),
        FieldSpec("endpoint", required=False, hidden=False),
    ),
    "encryption-key": (FieldSpec("privateKeyPem"), FieldSpec("publicKeyPem", required=False, hidden=False)),
    "api-key": (FieldSpec("apiKey"),),
    "plain": (FieldSpec("value"),),
    "login": (
        FieldSpec("username", hidden=False),
        FieldSpec("password"),
        FieldSpec("url", required=False, hidden=False),
        FieldSpec("totp", required=False),
    ),
    "token": (FieldSpec("value"),),
    "ssh-key": (FieldSpec("privateKey"), FieldSpec("publicKey", required=False, hidden=False)),
    "note": (FieldSpec("value"),),
    "file": (FieldSpec("name", hidden=False), FieldSpec("content", binary=True)),
}

# Which type a database's link wants, by slot.
LINK_SLOTS: Mapping[str, str] = {"s3": "s3-credentials", "encryptionKey": "encryption-key", "geocodingKey": "api-key"}


class ItemRefused(ValueError):
    """An item breaks a rule. `field` names the part; `problem` says why and never quotes a value."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True)
class ItemRef:
    """Identifies an item for a person. Vault (a project's id) and environment are empty but for variables."""

    kind: ItemKind
    name: str
    vault: str = ""
    environment: str = ""

    def checked(self) -> ItemRef:
        """Itself when its parts are fit. Raises NameRefused or ItemRefused."""
        if self.kind is ItemKind.ENV_VARIABLE:
            check_variable(self.name)
            check_name(self.vault, "vault")
            check_environment(self.environment)
        elif self.kind is ItemKind.PROJECT:
            if not _PROJECT_ID.fullmatch(self.name) or self.vault or self.environment:
                raise ItemRefused("project", "is not an id of 32 hexadecimal digits")
        else:
            check_name(self.name)
            if self.vault or self.environment:
                raise ItemRefused("vault", "only environment variables have a vault and an environment")
        return self

    def lookup_name(self) -> str:
        """The name as it is compared: databases without case, all others exactly."""
        return self.name.casefold() if self.kind is ItemKind.DATABASE else self.name


@dataclass(frozen=True)
class SecretBody:
    """A typed secret. `fields` holds each present field, never an empty optional one."""

    type: str
    fields: Mapping[str, SecretBytes]

    def checked(self) -> SecretBody:
        """Itself when the type is known, its required fields are there and no other. Raises ItemRefused."""
        specs = SECRET_TYPES.get(self.type)
        if specs is None:
            raise ItemRefused("type", "is not one of " + ", ".join(SECRET_TYPES))
        known = {spec.name: spec for spec in specs}
        for name, value in self.fields.items():
            if name not in known:
                raise ItemRefused(plain_field(name), f"is unknown: {self.type} has " + ", ".join(known))
            if not known[name].binary:
                _check_utf8(name, value)
        for spec in specs:
            if spec.required and spec.name not in self.fields:
                raise ItemRefused(spec.name, f"is missing; {self.type} needs it")
        if sum(len(value) for value in self.fields.values()) > VALUE_MAX_BYTES:
            raise ItemRefused("value", f"is longer than {VALUE_MAX_BYTES} bytes")
        return self


def plain_field(name: str) -> str:
    """A field name from outside, shortened and made printable for an error."""
    return "".join(c for c in name[:40] if c.isprintable()) or "field"


def _check_utf8(name: str, value: SecretBytes) -> None:
    try:
        value.reveal_text()
    except UnicodeDecodeError:
        raise ItemRefused(name, "is not UTF-8 text") from None


@dataclass(frozen=True)
class DatabaseBody:
    """A database configuration. `links` maps a slot of LINK_SLOTS to the name of a secret."""

    description: str = ""
    path: str = ""
    origin: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    def checked(self) -> DatabaseBody:
        """Itself when its texts and links are fit. Raises NameRefused or ItemRefused."""
        check_text(self.description, "description")
        check_text(self.path, "path")
        check_text(self.origin, "origin")
        for slot, name in self.links.items():
            if slot not in LINK_SLOTS:
                raise ItemRefused(plain_field(slot), "is not a link of a database")
            check_name(name, slot)
        return self


@dataclass(frozen=True)
class EnvBody:
    """The value of one environment variable, UTF-8 without NUL (no process could receive it)."""

    value: SecretBytes

    def checked(self) -> EnvBody:
        """Itself when the value is fit. Raises ItemRefused."""
        _check_utf8("value", self.value)
        if b"\0" in self.value.reveal():
            raise ItemRefused("value", "contains a NUL byte")
        if len(self.value) > VALUE_MAX_BYTES:
            raise ItemRefused("value", f"is longer than {VALUE_MAX_BYTES} bytes")
        return self


@dataclass(frozen=True)
class ProjectBody:
    """A project vault: its name for people and its environments, in the order of their making. Its item's name is its id."""

    title: str
    environments: tuple[str, ...]

    def checked(self) -> ProjectBody:
        """Itself when its name and environments are fit. Raises NameRefused or ItemRefused."""
        check_name(self.title, "project name")
        for environment in self.environments:
            check_environment(environment)
        if not self.environments or len(set(self.environments)) != len(self.environments):
            raise ItemRefused("environments", "are missing or named twice")
        if len(self.environments) > ENVIRONMENTS_MAX:
            raise ItemRefused("environments", f"are more than {ENVIRONMENTS_MAX}")
        return self


Body = SecretBody | DatabaseBody | EnvBody | ProjectBody

BODY_TYPES: Mapping[ItemKind, type[Body]] = {
    ItemKind.SECRET: SecretBody,
    ItemKind.DATABASE: DatabaseBody,
    ItemKind.ENV_VARIABLE: EnvBody,
    ItemKind.PROJECT: ProjectBody,
}


@dataclass(frozen=True)
class Item:
    """One item as stored. `id` is 32 hexadecimal digits; a new item has version 0 until the vault gives it one."""

    ref: ItemRef
    body: Body
    id: str = ""
    version: int = 0
    updated_at_ms: int = 0

    def checked(self) -> Item:
        """Itself when reference and body fit each other and their rules. Raises NameRefused or ItemRefused."""
        self.ref.checked()
        if not isinstance(self.body, BODY_TYPES[self.ref.kind]):
            raise ItemRefused("body", "does not belong to this kind of item")
        self.body.checked()
        return self

    def renamed(self, name: str) -> Item:
        """The same item under another name."""
        return replace(self, ref=replace(self.ref, name=name))


class ItemSummary(NamedTuple):
    """An item without its values."""

    ref: ItemRef
    id: str
    version: int
    updated_at_ms: int
    secret_type: str = ""
