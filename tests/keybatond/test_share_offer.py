"""What a person sees of a payload before deciding, and what a send takes from the vault."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from keybaton_core.items import DatabaseBody, Item, ItemKind, ItemRef, SecretBody
from keybaton_core.payload import BUNDLE_MAX_SECRETS, DatabasePart, Payload, SecretPart
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_vault import FakeVault
from keybatond.errors import KeybatonError, Reason
from keybatond.services import share_outgoing
from keybatond.services.share_offer import offer_alone, offer_beside
from keybatond.services.share_outgoing import build_payload
from keybatond.services.share_view import StartSend
from keybatond.services.vault_types import Change, PutMode


def bucket(**fields: str) -> SecretBody:
    values = {"region": "eu", "accessKeyId": "AKIA", "secretAccessKey": "hush", **fields}
    return SecretBody("s3-credentials", {k: SecretBytes.from_text(v) for k, v in values.items()})


def key(value: str, kind: str = "api-key") -> SecretBody:
    return SecretBody(kind, {"apiKey" if kind == "api-key" else "value": SecretBytes.from_text(value)})


def secret_ref(name: str) -> ItemRef:
    return ItemRef(ItemKind.SECRET, name)


@pytest.fixture
def vault() -> FakeVault:
    """A database `Photos` with three links, of which `enc` is missing."""
    vault = FakeVault()
    links = {"s3": "bucket", "encryptionKey": "enc", "geocodingKey": "geo"}
    items = [
        Item(secret_ref("bucket"), bucket(endpoint="https://old.example")),
        Item(secret_ref("geo"), key("g1")),
        Item(ItemRef(ItemKind.DATABASE, "Photos"), DatabaseBody("mine", "s3:old", "pc", links)),
    ]
    asyncio.run(vault.apply([Change(item, PutMode.CREATE) for item in items]))
    return vault


def test_changed_places_are_shown_with_both_values_and_hidden_values_never(vault: FakeVault) -> None:
    """Endpoint, region and path say from what to what; the secret key and the id are only named."""
    body = bucket(endpoint="https://evil.example\u202e", secretAccessKey="other", accessKeyId="B")
    payload = Payload(
        DatabasePart("photos", DatabaseBody("mine", "s3:new", "pc")),
        (SecretPart("s3", "bucket", body), SecretPart("geocodingKey", "geo", key("g1"))),
    )
    offer = offer_beside(payload, vault)
    assert offer.database is not None
    assert offer.database.exists
    assert offer.database.changes == ("path: s3:old -> s3:new", "encryptionKey: enc -> none")
    s3, geo = offer.secrets
    assert (s3.exists, s3.same) == (True, False)
    assert s3.changes == ("accessKeyId", "secretAccessKey", "endpoint: https://old.example -> https://evil.example")
    assert (geo.exists, geo.same, geo.changes) == (True, True, ())
    assert "other" not in repr(offer)
    assert "hush" not in repr(offer)


def test_a_field_that_goes_or_comes_is_a_change(vault: FakeVault) -> None:
    """An endpoint that is dropped shows as none."""
    offer = offer_beside(Payload(None, (SecretPart("0", "bucket", bucket()),)), vault)
    assert offer.secrets[0].changes == ("endpoint: https://old.example -> none",)


def test_another_type_is_a_change(vault: FakeVault) -> None:
    """It is said first."""
    offer = offer_beside(Payload(None, (SecretPart("0", "geo", key("g1", "plain")),)), vault)
    assert offer.secrets[0].changes == ("type: api-key -> plain", "apiKey", "value")


def test_what_does_not_exist_has_no_changes(vault: FakeVault) -> None:
    """Also for a secret whose name differs by case."""
    payload = Payload(DatabasePart("other", DatabaseBody()), (SecretPart("geocodingKey", "GEO", key("x")),))
    offer = offer_beside(payload, vault)
    assert offer == offer_alone(payload)
    assert not offer.secrets[0].exists


# --- outgoing ----------------------------------------------------------------------------------------------------------


def send_database(**edits: object) -> StartSend:
    return replace(StartSend((ItemRef(ItemKind.DATABASE, "photos"),)), **edits)  # type: ignore[arg-type]


def test_a_database_takes_its_linked_secrets_along_and_leaves_out_missing_ones(vault: FakeVault) -> None:
    """`enc` is not in the vault."""
    payload = build_payload(send_database(), vault)
    assert payload.database == DatabasePart("Photos", DatabaseBody("mine", "s3:old", "pc"))
    assert [(part.key, part.name) for part in payload.secrets] == [("s3", "bucket"), ("geocodingKey", "geo")]


def test_what_is_handed_over_stands_in_the_log_of_reads(vault: FakeVault) -> None:
    """What is only compared with an offer does not."""
    payload = build_payload(send_database(), vault)
    assert vault.reads == [("Photos", "share"), ("bucket", "share"), ("geo", "share")]
    offer_beside(payload, vault)
    assert len(vault.reads) == 3


def test_a_link_to_a_secret_of_another_type_is_left_out(vault: FakeVault) -> None:
    """The receiver could not link it either."""
    asyncio.run(vault.apply([Change(Item(secret_ref("geo"), key("x", "plain")), PutMode.REPLACE)]))
    assert [part.key for part in build_payload(send_database(), vault).secrets] == ["s3"]


def test_links_can_be_omitted_and_texts_edited_for_the_way(vault: FakeVault) -> None:
    """An empty text can be meant; the vault stays as it is."""
    before = dict(vault.items)
    start = send_database(omit_links=frozenset({"s3"}), send_as="for you", description="", path="/p")
    payload = build_payload(start, vault)
    assert payload.database == DatabasePart("for you", DatabaseBody("", "/p", "pc"))
    assert [part.key for part in payload.secrets] == ["geocodingKey"]
    assert vault.items == before


def test_several_secrets_are_a_bundle(vault: FakeVault) -> None:
    """Numbered in the order asked for."""
    payload = build_payload(StartSend((secret_ref("geo"), secret_ref("bucket"))), vault)
    assert [(part.key, part.name) for part in payload.secrets] == [("0", "geo"), ("1", "bucket")]


@pytest.mark.parametrize(
    ("start", "field"),
    [
        (StartSend(()), "items"),
        (StartSend((secret_ref("geo"), ItemRef(ItemKind.DATABASE, "photos"))), "items"),
        (StartSend((ItemRef(ItemKind.DATABASE, "photos"),) * 2), "items"),
        (StartSend((ItemRef(ItemKind.ENV_VARIABLE, "A", "v", "e"),)), "items"),
        (StartSend((secret_ref("geo"),) * 2), "secrets"),
        (StartSend((secret_ref("geo"),) * 1001), "items"),
        (StartSend((secret_ref("geo"),), path="/p"), "items"),
        (StartSend((secret_ref("geo"),), omit_links=frozenset({"s3"})), "items"),
        (StartSend((secret_ref("geo"), secret_ref("bucket")), send_as="x"), "send_as"),
        (send_database(omit_links=frozenset({"S3"})), "omit_links"),
        (send_database(send_as="a\tb"), "name"),
        (send_database(path="a\0b"), "path"),
    ],
)
def test_a_send_that_makes_no_sense_is_an_invalid_argument(vault: FakeVault, start: StartSend, field: str) -> None:
    """The field is named."""
    with pytest.raises(KeybatonError) as refused:
        build_payload(start, vault)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert refused.value.data["field"] == field


def test_more_than_a_share_carries_is_too_large(vault: FakeVault) -> None:
    """Five secrets of 250 KiB each."""
    items = [Item(secret_ref(f"big{n}"), key("x" * 250 * 1024)) for n in range(5)]
    asyncio.run(vault.apply([Change(item, PutMode.CREATE) for item in items]))
    with pytest.raises(KeybatonError) as refused:
        build_payload(StartSend(tuple(item.ref for item in items)), vault)
    assert refused.value.reason is Reason.TOO_LARGE


def test_what_a_share_just_carries_is_built(vault: FakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many secrets and as many bytes as the limits say."""
    items = [Item(secret_ref(f"n{number}"), key("xy")) for number in range(BUNDLE_MAX_SECRETS)]
    asyncio.run(vault.apply([Change(item, PutMode.CREATE) for item in items]))
    start = StartSend(tuple(item.ref for item in items))
    monkeypatch.setattr(share_outgoing, "PAYLOAD_MAX_BYTES", 2 * BUNDLE_MAX_SECRETS)
    assert len(build_payload(start, vault).secrets) == BUNDLE_MAX_SECRETS
    monkeypatch.setattr(share_outgoing, "PAYLOAD_MAX_BYTES", 2 * BUNDLE_MAX_SECRETS - 1)
    with pytest.raises(KeybatonError) as refused:
        build_payload(start, vault)
    assert refused.value.reason is Reason.TOO_LARGE
