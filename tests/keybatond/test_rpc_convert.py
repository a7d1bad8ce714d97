"""Between the wire and the domain: what goes out comes back, and what has no meaning is refused as INVALID_ARGUMENT."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keybaton_api.agent.v1 import common_pb2, env_pb2, share_pb2
from keybaton_core.items import SECRET_TYPES, DatabaseBody, EnvBody, Item, ItemKind, ItemRef, ItemRefused, SecretBody
from keybaton_core.names import NameRefused
from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.convert import item_from, item_to, sendable
from keybatond.rpc.convert_share import review_from, session_to, start_receive_from, start_send_from
from keybatond.rpc.limits import MESSAGE_MAX_BYTES
from keybatond.services.share_session import Role, ShareProtocol, State
from keybatond.services.share_view import ConflictChoice, Session

NAMES = st.text("abcXYZ äß-_.1", min_size=1, max_size=20).filter(lambda text: text == text.strip())
VALUES = st.binary(min_size=1, max_size=50).map(lambda data: SecretBytes(data.hex().encode()))


@st.composite
def items(draw: Any) -> Item:
    kind = draw(st.sampled_from([ItemKind.SECRET, ItemKind.DATABASE, ItemKind.ENV_VARIABLE]))
    if kind is ItemKind.DATABASE:
        links = draw(st.dictionaries(st.sampled_from(["s3", "encryptionKey", "geocodingKey"]), NAMES))
        return Item(ItemRef(kind, draw(NAMES)), DatabaseBody(draw(NAMES), draw(NAMES), draw(NAMES), links))
    if kind is ItemKind.ENV_VARIABLE:
        return Item(ItemRef(kind, "NAME", draw(NAMES), "dev"), EnvBody(draw(VALUES)))
    type_name = draw(st.sampled_from(sorted(SECRET_TYPES)))
    specs = [spec for spec in SECRET_TYPES[type_name] if spec.required or draw(st.booleans())]
    return Item(ItemRef(kind, draw(NAMES)), SecretBody(type_name, {spec.name: draw(VALUES) for spec in specs}))


@given(items())
def test_an_item_comes_back_from_the_wire_as_it_went(item: Item) -> None:
    """Every kind, every type, with and without optional fields."""
    message = common_pb2.Item.FromString(item_to(item).SerializeToString())
    assert item_from(message) == item


@settings(max_examples=1000)
@given(st.binary(max_size=120))
def test_any_message_becomes_an_item_or_is_refused(data: bytes) -> None:
    """What the wire can carry and the domain cannot is refused in one of three known ways."""
    message = common_pb2.Item()
    try:
        message.ParseFromString(data)
    except Exception:  # protobuf's own decoder comes first
        return
    try:
        assert isinstance(item_from(message), Item)
    except (KeybatonError, ItemRefused, NameRefused) as refused:
        assert not isinstance(refused, KeybatonError) or refused.reason is Reason.INVALID_ARGUMENT


def test_an_empty_optional_field_is_an_absent_one() -> None:
    """A client that fills in every box means the same as one that leaves them out; a required field may be empty."""
    fields = [common_pb2.Field(key="region", value=b"eu"), common_pb2.Field(key="endpoint")]
    fields += [common_pb2.Field(key="accessKeyId", value=b"a"), common_pb2.Field(key="secretAccessKey")]
    ref = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name="x")
    item = item_from(common_pb2.Item(ref=ref, secret=common_pb2.Secret(type="s3-credentials", fields=fields)))
    assert isinstance(item.body, SecretBody)
    assert set(item.body.fields) == {"region", "accessKeyId", "secretAccessKey"}


def test_the_same_key_twice_is_refused() -> None:
    """Which of the two was meant, nobody knows."""
    ref = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name="x")
    twice = common_pb2.Secret(type="plain", fields=[common_pb2.Field(key="value")] * 2)
    with pytest.raises(KeybatonError):
        item_from(common_pb2.Item(ref=ref, secret=twice))


def test_an_edit_counts_when_it_is_set_or_not_empty() -> None:
    """An empty description may be meant; an unset one never is."""
    assert start_send_from(share_pb2.StartSendRequest()).description is None
    assert start_send_from(share_pb2.StartSendRequest(description_set=True)).description == ""
    assert start_send_from(share_pb2.StartSendRequest(path="/p")).path == "/p"
    assert review_from(share_pb2.ReviewRequest(path_set=True)).path == ""


def test_protocols_and_choices_that_are_unknown_are_refused() -> None:
    """An enum of proto3 may hold any number."""
    assert start_receive_from(share_pb2.StartReceiveRequest()).protocol is ShareProtocol.KEYBATON
    for message, convert in (
        (share_pb2.StartReceiveRequest.FromString(b"\x08\x09"), start_receive_from),
        (share_pb2.ReviewRequest.FromString(b"\x50\x09"), review_from),
    ):
        with pytest.raises(KeybatonError):
            convert(message)  # type: ignore[operator]
    assert review_from(share_pb2.ReviewRequest(default_choice=1)).default_choice is ConflictChoice.REUSE


@pytest.mark.parametrize("state", State)
def test_every_state_has_the_same_number_on_the_wire(state: State) -> None:
    """The names agree too, so that nobody reads one for the other."""
    session = session_to(Session("id", Role.SEND, ShareProtocol.KEYBATON, state))
    assert share_pb2.ShareState.Name(session.state) == f"SHARE_STATE_{state.name}"


def test_an_answer_that_no_message_holds_is_refused_with_a_reason() -> None:
    """gRPC would fail it with a status of its own, which no client could tell from other limits."""
    fits = env_pb2.GetEnvironmentResponse(variables=[env_pb2.Variable(value=bytes(MESSAGE_MAX_BYTES - 10))])
    assert fits.ByteSize() == MESSAGE_MAX_BYTES
    assert sendable(fits, "values") is fits
    fits.variables[0].value += b"1"
    with pytest.raises(KeybatonError) as refused:
        sendable(fits, "values")
    assert refused.value.reason is Reason.TOO_LARGE
    assert refused.value.data == {"limit": str(MESSAGE_MAX_BYTES), "values": "4 MiB"}
