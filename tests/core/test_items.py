"""What an item may hold: each rule at its border."""

from __future__ import annotations

import pytest

from keybaton_core.items import (
    ENVIRONMENTS_MAX,
    LINK_SLOTS,
    VALUE_MAX_BYTES,
    Body,
    DatabaseBody,
    EnvBody,
    Item,
    ItemKind,
    ItemRef,
    ItemRefused,
    ProjectBody,
    SecretBody,
)
from keybaton_core.secret import SecretBytes

PROJECT = "0123456789abcdef" * 2


def secret(kind: str = "plain", **fields: bytes) -> SecretBody:
    """A secret with these fields."""
    return SecretBody(kind, {name: SecretBytes(value) for name, value in fields.items()})


def project(*environments: str) -> ProjectBody:
    """A project with these environments."""
    return ProjectBody("shop", environments)


@pytest.mark.parametrize(
    "body",
    [
        secret(value=b""),
        secret(value=b"x" * VALUE_MAX_BYTES),
        secret("login", username=b"u", password=b"x" * (VALUE_MAX_BYTES - 1)),
        secret("file", name=b"n", content=b"\xff\0"),
        DatabaseBody(links=dict.fromkeys(LINK_SLOTS, "name")),
        EnvBody(SecretBytes(b"x" * VALUE_MAX_BYTES)),
        project("default"),
        project(*(f"e{number}" for number in range(ENVIRONMENTS_MAX))),
    ],
)
def test_what_just_fits_is_taken(body: Body) -> None:
    """The largest, the fewest and the most."""
    assert body.checked() is body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (secret(value=b"x" * (VALUE_MAX_BYTES + 1)), "value"),
        (secret("login", username=b"u", password=b"x" * VALUE_MAX_BYTES), "value"),
        (secret("login", username=b"u"), "password"),
        (secret(value=b"\xff"), "value"),
        (secret(other=b""), "other"),
        (secret("nonsense"), "type"),
        (DatabaseBody(links={"s4": "name"}), "s4"),
        (EnvBody(SecretBytes(b"x" * (VALUE_MAX_BYTES + 1))), "value"),
        (EnvBody(SecretBytes(b"a\0")), "value"),
        (EnvBody(SecretBytes(b"\xff")), "value"),
        (project(), "environments"),
        (project("a", "a"), "environments"),
        (project(*(f"e{number}" for number in range(ENVIRONMENTS_MAX + 1))), "environments"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_the_field(body: Body, field: str) -> None:
    """And without a value in the words."""
    with pytest.raises(ItemRefused) as caught:
        body.checked()
    assert caught.value.field == field


@pytest.mark.parametrize(
    "ref",
    [
        ItemRef(ItemKind.SECRET, "a", PROJECT),
        ItemRef(ItemKind.DATABASE, "a", "", "default"),
        ItemRef(ItemKind.PROJECT, PROJECT[:-1]),
        ItemRef(ItemKind.PROJECT, PROJECT.upper()),
        ItemRef(ItemKind.PROJECT, PROJECT, PROJECT),
        ItemRef(ItemKind.PROJECT, PROJECT, "", "default"),
    ],
)
def test_a_place_that_is_not_of_its_kind_is_refused(ref: ItemRef) -> None:
    """Only variables are in a project and an environment; a project is named by its id."""
    with pytest.raises(ItemRefused):
        ref.checked()


def test_an_item_holds_what_its_kind_says() -> None:
    """A database's body under a secret's name is none."""
    assert Item(ItemRef(ItemKind.SECRET, "a"), secret(value=b"")).checked()
    with pytest.raises(ItemRefused) as caught:
        Item(ItemRef(ItemKind.SECRET, "a"), DatabaseBody()).checked()
    assert caught.value.field == "body"
