"""Decisions on a received payload: every combination of what exists, what is chosen and under which name it is to stand."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_core.items import LINK_SLOTS, DatabaseBody, Item, ItemKind, ItemRef, SecretBody
from keybaton_core.payload import DatabasePart, Payload, SecretPart
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_vault import FakeVault
from keybatond.errors import KeybatonError, Reason
from keybatond.services.share_review import Plan, plan
from keybatond.services.share_view import ConflictChoice, ReviewDecision, SecretDecision
from keybatond.services.vault_types import Change, PutMode

ASK, REUSE, REPLACE, RENAME = ConflictChoice
FIELDS = {
    "plain": ("value",),
    "api-key": ("apiKey",),
    "s3-credentials": ("region", "accessKeyId", "secretAccessKey"),
    "encryption-key": ("privateKeyPem",),
}


def body(kind: str, value: str) -> SecretBody:
    return SecretBody(kind, {name: SecretBytes.from_text(value) for name in FIELDS[kind]})


def secret(name: str, kind: str = "plain", value: str = "old") -> Item:
    return Item(ItemRef(ItemKind.SECRET, name), body(kind, value))


def database(name: str, **links: str) -> Item:
    return Item(ItemRef(ItemKind.DATABASE, name), DatabaseBody("old", "/old", links=links))


def vault_of(*items: Item) -> FakeVault:
    vault = FakeVault()
    asyncio.run(vault.apply([Change(item, PutMode.CREATE) for item in items]))
    return vault


def one_secret(name: str = "key", kind: str = "plain") -> Payload:
    return Payload(None, (SecretPart("0", name, body(kind, "new")),))


def full_database() -> Payload:
    names = {"s3": "bucket", "encryptionKey": "enc", "geocodingKey": "geo"}
    parts = tuple(SecretPart(slot, names[slot], body(kind, "new")) for slot, kind in LINK_SLOTS.items())
    return Payload(DatabasePart("photos", DatabaseBody("new", "/new", "laptop")), parts)


def decide(choice: ConflictChoice = ASK, save_as: str = "", **database: object) -> ReviewDecision:
    told = SecretDecision("0", True, choice, save_as)
    return replace(ReviewDecision("s", True, secrets=(told,)), **database)  # type: ignore[arg-type]


def outcome(wanted: Plan) -> tuple[str, str, list[tuple[str, str]]]:
    return wanted.conflict, wanted.name, [(c.mode.name, c.item.ref.name) for c in wanted.changes]


# The vault has `key` of type plain, `taken` of type plain, `other` of type api-key; `free` is free.
# (offered name, choice, save_as) -> (conflict summary, resulting name, writes) or why not.
SECRET_TABLE: dict[tuple[str, ConflictChoice, str], object] = {
    ("new", ASK, ""): ("", "new", [("CREATE", "new")]),
    ("new", REUSE, ""): ("", "new", [("CREATE", "new")]),
    ("new", REPLACE, ""): ("", "new", [("CREATE", "new")]),
    ("new", RENAME, ""): ("", "new", [("CREATE", "new")]),
    ("new", ASK, "free"): ("", "free", [("CREATE", "free")]),
    ("new", REUSE, "free"): ("", "free", [("CREATE", "free")]),
    ("new", REPLACE, "free"): ("", "free", [("CREATE", "free")]),
    ("new", RENAME, "free"): ("renamed", "free", [("CREATE", "free")]),
    ("new", ASK, "taken"): "taken",
    ("new", REUSE, "taken"): ("reused", "taken", []),
    ("new", REPLACE, "taken"): ("replaced", "taken", [("REPLACE", "taken")]),
    ("new", RENAME, "taken"): "taken",
    ("key", ASK, ""): "taken",
    ("key", REUSE, ""): ("reused", "key", []),
    ("key", REPLACE, ""): ("replaced", "key", [("REPLACE", "key")]),
    ("key", RENAME, ""): ("renamed", "key (2)", [("CREATE", "key (2)")]),
    ("key", ASK, "free"): ("", "free", [("CREATE", "free")]),
    ("key", REUSE, "free"): ("", "free", [("CREATE", "free")]),
    ("key", REPLACE, "free"): ("", "free", [("CREATE", "free")]),
    ("key", RENAME, "free"): ("renamed", "free", [("CREATE", "free")]),
    ("key", ASK, "taken"): "taken",
    ("key", REUSE, "taken"): ("reused", "taken", []),
    ("key", REPLACE, "taken"): ("replaced", "taken", [("REPLACE", "taken")]),
    ("key", RENAME, "taken"): "taken",
    ("other", ASK, ""): "taken",
    ("other", REUSE, ""): "type",
    ("other", REPLACE, ""): ("replaced", "other", [("REPLACE", "other")]),
    ("other", RENAME, ""): ("renamed", "other (2)", [("CREATE", "other (2)")]),
    ("new", ASK, "other"): "taken",
    ("new", REUSE, "other"): "type",
    ("new", REPLACE, "other"): ("replaced", "other", [("REPLACE", "other")]),
    ("new", RENAME, "other"): "taken",
}


def test_the_table_of_secrets_is_complete() -> None:
    """Each choice with each kind of name."""
    names = {(offered, save_as) for offered, _, save_as in SECRET_TABLE}
    assert {(o, c, s) for o, s in names for c in ConflictChoice} == set(SECRET_TABLE)


def check_secret(decision: ReviewDecision, offered: str, name: str, expected: object) -> None:
    vault = vault_of(secret("key"), secret("taken"), secret("other", "api-key"))
    if isinstance(expected, str):
        with pytest.raises(KeybatonError) as refused:
            plan(decision, one_secret(offered), vault)
        assert refused.value.reason is Reason.CONFLICT
        assert refused.value.data == {"name": name, "kind": "secret", "key": "0", "problem": expected}
    else:
        assert outcome(plan(decision, one_secret(offered), vault)) == expected


@pytest.mark.parametrize(("offered", "choice", "save_as"), SECRET_TABLE)
def test_a_secret_comes_to_stand_as_the_table_says(offered: str, choice: ConflictChoice, save_as: str) -> None:
    """By a decision of its own."""
    check_secret(decide(choice, save_as), offered, save_as or offered, SECRET_TABLE[offered, choice, save_as])


@pytest.mark.parametrize(("offered", "choice"), [(o, c) for o, c, save_as in SECRET_TABLE if not save_as])
def test_a_secret_that_is_not_named_follows_the_default_choice(offered: str, choice: ConflictChoice) -> None:
    """As if it had been named with that choice."""
    decision = ReviewDecision("s", True, default_choice=choice)
    check_secret(decision, offered, offered, SECRET_TABLE[offered, choice, ""])


# The vault has the database `Photos`. (offered, choice, name) -> as above. Names compare without case.
DATABASE_TABLE: dict[tuple[str, ConflictChoice, str], object] = {
    ("new", ASK, ""): ("", "new", [("CREATE", "new")]),
    ("new", REPLACE, ""): ("", "new", [("CREATE", "new")]),
    ("new", RENAME, ""): ("", "new", [("CREATE", "new")]),
    ("new", ASK, "free"): ("", "free", [("CREATE", "free")]),
    ("new", REPLACE, "free"): ("", "free", [("CREATE", "free")]),
    ("new", RENAME, "free"): ("renamed", "free", [("CREATE", "free")]),
    ("new", ASK, "PHOTOS"): "taken",
    ("new", REPLACE, "PHOTOS"): ("replaced", "Photos", [("REPLACE", "Photos")]),
    ("new", RENAME, "PHOTOS"): "taken",
    ("photos", ASK, ""): "taken",
    ("photos", REPLACE, ""): ("replaced", "Photos", [("REPLACE", "Photos")]),
    ("photos", RENAME, ""): ("renamed", "photos (2)", [("CREATE", "photos (2)")]),
    ("photos", ASK, "free"): ("", "free", [("CREATE", "free")]),
    ("photos", REPLACE, "free"): ("", "free", [("CREATE", "free")]),
    ("photos", RENAME, "free"): ("renamed", "free", [("CREATE", "free")]),
}


@pytest.mark.parametrize(("offered", "choice", "name"), DATABASE_TABLE)
def test_a_database_comes_to_stand_as_the_table_says(offered: str, choice: ConflictChoice, name: str) -> None:
    """Names compare without case; a replaced one keeps the spelling it has."""
    payload = Payload(DatabasePart(offered, DatabaseBody("new", "/new")), ())
    decision = ReviewDecision("s", True, name=name, on_conflict=choice)
    expected = DATABASE_TABLE[offered, choice, name]
    vault = vault_of(database("Photos"))
    if isinstance(expected, str):
        with pytest.raises(KeybatonError) as refused:
            plan(decision, payload, vault)
        assert refused.value.data == {"name": name or offered, "kind": "database", "key": "", "problem": expected}
    else:
        assert outcome(plan(decision, payload, vault)) == expected


@pytest.mark.parametrize("offered", ["new", "photos"])
def test_a_database_is_never_reused(offered: str) -> None:
    """Also where its name is free: the choice makes no sense."""
    payload = Payload(DatabasePart(offered, DatabaseBody()), ())
    with pytest.raises(KeybatonError) as refused:
        plan(ReviewDecision("s", True, on_conflict=REUSE), payload, vault_of(database("photos")))
    assert refused.value.data["field"] == "on_conflict"


def test_imported_secrets_are_linked_under_their_resulting_names() -> None:
    """One reused, one renamed, one left out."""
    vault = vault_of(secret("bucket", "s3-credentials"), secret("enc", "encryption-key"))
    decision = ReviewDecision(
        "s",
        True,
        description="mine",
        path="/mine",
        secrets=(
            SecretDecision("s3", True, REUSE),
            SecretDecision("encryptionKey", True, RENAME, "enc of the laptop"),
            SecretDecision("geocodingKey", False),
        ),
    )
    wanted = plan(decision, full_database(), vault)
    assert wanted.conflict == "renamed"
    assert wanted.name == "photos"
    stored = wanted.changes[-1].item.body
    links = {"s3": "bucket", "encryptionKey": "enc of the laptop"}
    assert stored == DatabaseBody("mine", "/mine", "laptop", links)
    assert [(c.mode.name, c.item.ref.name) for c in wanted.changes[:-1]] == [("CREATE", "enc of the laptop")]


def test_two_parts_cannot_stand_under_one_name() -> None:
    """A rename onto the name of another part of the payload is a conflict, in either order."""
    for told in (SecretDecision("s3", save_as="enc"), SecretDecision("encryptionKey", save_as="bucket")):
        with pytest.raises(KeybatonError) as refused:
            plan(ReviewDecision("s", True, secrets=(told,)), full_database(), FakeVault())
        assert refused.value.data["problem"] == "twice"


def test_a_part_that_is_here_already_is_not_lost_under_another_one() -> None:
    """The same secret stands here, but what was chosen for the part before would overwrite it."""
    parts = (SecretPart("0", "a", body("plain", "1")), SecretPart("1", "b", body("plain", "old")))
    told = SecretDecision("0", True, REPLACE, "b")
    with pytest.raises(KeybatonError) as refused:
        plan(ReviewDecision("s", True, secrets=(told,)), Payload(None, parts), vault_of(secret("b")))
    assert refused.value.data["problem"] == "twice"


def test_a_part_may_take_the_name_of_one_that_is_left_out() -> None:
    """What is not imported takes no name."""
    decision = ReviewDecision(
        "s", True, secrets=(SecretDecision("s3", save_as="enc"), SecretDecision("encryptionKey", False))
    )
    assert plan(decision, full_database(), FakeVault()).changes[0].item.ref.name == "enc"


def test_two_parts_may_be_renamed_by_default_without_meeting() -> None:
    """Free names are free of each other too."""
    payload = Payload(None, (SecretPart("0", "a", body("plain", "1")), SecretPart("1", "a (2)", body("plain", "2"))))
    wanted = plan(ReviewDecision("s", True, default_choice=RENAME), payload, vault_of(secret("a")))
    names = [change.item.ref.name for change in wanted.changes]
    assert len(set(names)) == 2
    assert "a" not in names


def test_a_name_too_long_for_a_number_is_cut_between_characters() -> None:
    """The result is a valid name of at most 256 bytes."""
    name = "é" * 128
    wanted = plan(decide(RENAME), one_secret(name), vault_of(secret(name)))
    assert wanted.name == "é" * 126 + " (2)"


@pytest.mark.parametrize(
    ("decision", "payload", "field"),
    [
        (decide(save_as="a\nb"), one_secret(), "save_as"),
        (decide(save_as=" "), one_secret(), "save_as"),
        (decide(name="x"), one_secret(), "name"),
        (decide(path=""), one_secret(), "name"),
        (ReviewDecision("s", True, name="a\u202eb"), full_database(), "name"),
        (ReviewDecision("s", True, path="a\0"), full_database(), "path"),
        (ReviewDecision("s", True, description="x" * 5000), full_database(), "description"),
        (ReviewDecision("s", True, secrets=(SecretDecision("s4"),)), full_database(), "secrets"),
        (ReviewDecision("s", True, secrets=(SecretDecision("s3"),) * 2), full_database(), "secrets"),
        (ReviewDecision("s", True, secrets=(SecretDecision("0", False),)), one_secret(), "secrets"),
    ],
)
def test_a_decision_that_makes_no_sense_is_an_invalid_argument(
    decision: ReviewDecision, payload: Payload, field: str
) -> None:
    """The field is named; nothing is planned."""
    with pytest.raises(KeybatonError) as refused:
        plan(decision, payload, FakeVault())
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert refused.value.data["field"] == field


NAMES = st.sampled_from(["a", "b", "A", "a (2)", "bucket", "enc", "geo", "photos"])
CHOICES = st.sampled_from(list(ConflictChoice))
KINDS = st.sampled_from(sorted(FIELDS))


@st.composite
def situations(draw: st.DrawFn) -> tuple[FakeVault, Payload, ReviewDecision]:
    """A vault, a payload and a decision, with names that often meet."""
    held = draw(st.dictionaries(NAMES, KINDS, max_size=6))
    bases = draw(st.lists(st.sampled_from(["photos", "Photos", "b"]), unique_by=str.casefold, max_size=2))
    vault = vault_of(*(secret(n, k) for n, k in held.items()), *(database(n) for n in bases))
    if draw(st.booleans()):
        slots = draw(st.lists(st.sampled_from(list(LINK_SLOTS)), unique=True))
        parts = tuple(SecretPart(slot, draw(NAMES), body(LINK_SLOTS[slot], "new")) for slot in slots)
        payload = Payload(DatabasePart(draw(NAMES), DatabaseBody("new", "/new")), parts)
    else:
        names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
        parts = tuple(SecretPart(str(i), name, body(draw(KINDS), "new")) for i, name in enumerate(names))
        payload = Payload(None, parts)
    told = tuple(
        SecretDecision(part.key, draw(st.booleans()), draw(CHOICES), draw(st.just("") | NAMES))
        for part in payload.secrets
        if draw(st.booleans())
    )
    name = draw(st.just("") | NAMES) if payload.database is not None else ""
    return vault, payload, ReviewDecision(
        "s", True, name=name, on_conflict=draw(CHOICES), secrets=told, default_choice=draw(CHOICES)
    )  # fmt: skip


@settings(max_examples=1000)
@given(situations())
def test_nothing_is_ever_overwritten_without_being_told_to(
    situation: tuple[FakeVault, Payload, ReviewDecision],
) -> None:
    """What stood before and was not to be replaced stands after; each link leads to a secret of its type."""
    vault, payload, decision = situation
    before = dict(vault.items)
    try:
        wanted = plan(decision, payload, vault)
    except KeybatonError as refused:
        assert refused.reason in {Reason.CONFLICT, Reason.INVALID_ARGUMENT}
        return
    asyncio.run(vault.apply(list(wanted.changes)))
    own = {told.key: told.on_conflict for told in decision.secrets}
    choices = {own.get(part.key, decision.default_choice) for part in payload.secrets}
    for key, item in before.items():
        told_to = REPLACE in choices if key[0] is ItemKind.SECRET else decision.on_conflict is REPLACE
        assert told_to or vault.items[key] == item
    if payload.database is not None:
        stored = vault.get(ItemRef(ItemKind.DATABASE, wanted.name)).body
        assert isinstance(stored, DatabaseBody)
        for slot, name in stored.links.items():
            linked = vault.get(ItemRef(ItemKind.SECRET, name)).body
            assert isinstance(linked, SecretBody)
            assert linked.type == LINK_SLOTS[slot]
