"""From domain errors to the wire: the table is complete, every sentence reads, and nothing unknown leaks."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from keybaton_cli.exits import AGENT_REASONS
from keybaton_core.items import ItemRefused
from keybaton_core.names import NameRefused
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.errors import DETAILS_KEY, wire_error
from keybatond.rpc.wordings import WORDINGS

README = Path(__file__).parents[2] / "proto" / "README.md"


def test_every_reason_has_its_words() -> None:
    """The table names each reason, and no other."""
    assert set(WORDINGS) == set(Reason)


def test_every_reason_has_an_exit_code() -> None:
    """The command line knows each reason, and no other."""
    assert set(AGENT_REASONS) == {reason.value for reason in Reason}


def test_every_reason_and_its_status_stand_in_the_readme() -> None:
    """proto/README.md is what programs are written after."""
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", README.read_text(), re.MULTILINE))
    assert rows == {reason.value: wording.status.name for reason, wording in WORDINGS.items()}


@pytest.mark.parametrize("reason", Reason)
def test_every_sentence_reads_without_data(reason: Reason) -> None:
    """A sentence with a capital, a full stop and no gap; a hint likewise."""
    found = wire_error(KeybatonError(reason))
    assert re.fullmatch(r"[A-Z`].*[.?]", found.message)
    assert "{" not in found.message
    assert "  " not in found.message
    hint = found.metadata.get("hint", "")
    assert not hint or re.fullmatch(r"[A-Z`].*[.?]", hint)
    assert found.status is not grpc.StatusCode.OK


def test_data_reaches_the_sentence_and_the_metadata() -> None:
    """Names of fields are for people and for programs."""
    found = wire_error(KeybatonError(Reason.FIELD_REQUIRED, fields="region, accessKeyId"))
    assert found.message == "It has several fields: region, accessKeyId."
    info = error_details_pb2.ErrorInfo()
    ((key, value),) = found.trailing()
    status = status_pb2.Status.FromString(value)
    assert key == DETAILS_KEY
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason, info.metadata["fields"]) == ("keybaton", "FIELD_REQUIRED", "region, accessKeyId")
    assert (status.code, status.message) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], found.message)


@pytest.mark.parametrize("error", [ItemRefused("type", "is unknown"), NameRefused("name", "is empty")])
def test_refused_items_and_names_are_invalid_arguments(error: Exception) -> None:
    """The core's own errors name the field."""
    found = wire_error(error)
    assert found.reason is Reason.INVALID_ARGUMENT
    assert set(found.metadata) == {"field", "problem"}


def test_an_unknown_exception_says_nothing_of_itself() -> None:
    """It might quote a value."""
    found = wire_error(ValueError("hunter2"))
    assert found.reason is Reason.INTERNAL
    assert "hunter2" not in found.message + repr(found.metadata) + repr(found.trailing())


def test_metadata_stays_below_the_limit_of_trailers() -> None:
    """gRPC drops trailers above 8 KiB, and with them the reason."""
    found = wire_error(KeybatonError(Reason.FIELD_UNKNOWN, fields="x" * 10000, name="ü" * 10000))
    assert len(found.trailing()[0][1]) < 4096


def test_who_is_kept_waiting_is_told_by_what() -> None:
    """BUSY has several causes; only a second receiver is told of receivers."""
    told = wire_error(KeybatonError(Reason.BUSY, busy="Another change of the vault's keys is under way"))
    assert told.message == "Another change of the vault's keys is under way."
    assert "receiver" not in told.metadata["hint"]
    assert "receiver" in wire_error(KeybatonError(Reason.BUSY)).message


def test_a_backup_that_cannot_be_made_is_not_blamed_on_the_vault() -> None:
    """Its own folder is named."""
    told = wire_error(KeybatonError(Reason.STORAGE_READ_ONLY, folder="/media/stick", problem="EROFS"))
    assert (told.reason, told.message) == (Reason.STORAGE_READ_ONLY, "No file can be made in /media/stick.")
    assert told.status is wire_error(KeybatonError(Reason.STORAGE_READ_ONLY)).status


def test_what_lies_in_the_place_of_the_vault_is_told_as_that() -> None:
    """The reason stays; nobody is sent to look for a broken disk."""
    told = wire_error(KeybatonError(Reason.STORAGE_FAILED, problem="x", obstacle="/v/vault.db is a folder"))
    assert (told.reason, told.message) == (Reason.STORAGE_FAILED, "The vault cannot be used: /v/vault.db is a folder.")
    assert "disk" in wire_error(KeybatonError(Reason.STORAGE_FAILED, problem="x")).message


def test_a_taken_name_is_said() -> None:
    """Of several that are stored at once, the person learns which one it was."""
    assert wire_error(KeybatonError(Reason.NAME_TAKEN, name="maps")).message == "There is already something named maps."
