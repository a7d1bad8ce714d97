"""The questions about stored things in a real terminal: fields, links, removal, undo. Against a fake agent."""

from __future__ import annotations

import pytest

from keybaton_api.agent.v1 import common_pb2
from keybaton_testing.prompt_desk import Desk

pytestmark = pytest.mark.e2e


def test_fields_are_asked_for_without_showing_what_is_secret(desk: Desk) -> None:
    """A visible field is shown as typed, a secret one never; optional ones may stay empty."""
    desk.keybaton("secrets add site --type login")
    desk.answer("username:", typed="me")
    desk.answer("password:", typed="hush-hush")
    desk.answer("url (optional):", "Enter")
    desk.answer("totp (optional):", "Enter")
    assert desk.terminal.exit_code() == 0
    assert "hush-hush" not in desk.terminal.screen()
    assert desk.agent.field("site", "password") == b"hush-hush"
    item = desk.agent.current(common_pb2.ITEM_KIND_SECRET, "site")
    assert item is not None
    assert {field.key for field in item.secret.fields} == {"username", "password"}


def test_nothing_is_asked_for_a_name_that_is_taken(desk: Desk) -> None:
    """With and without a type it is refused before anything is typed in vain; a name that only begins so is free."""
    for arguments in ("", " --type token"):
        desk.keybaton(f"secrets add token{arguments}")
        assert desk.terminal.exit_code() == 6
        assert "There is already a secret named token." in desk.terminal.screen()
    desk.keybaton("secrets add tok --type token")
    desk.answer("value:", typed="v")
    assert desk.terminal.exit_code() == 0


def test_a_key_of_several_lines_is_typed_unseen(desk: Desk) -> None:
    """Enter begins a new line, Esc and Enter end the text; the private part is never on the screen."""
    desk.keybaton("secrets add pair --type ssh-key")
    desk.terminal.wait_for("privateKey:")
    desk.answer("Esc, then Enter ends", typed="hush-first")
    desk.terminal.type("hush-second")
    desk.terminal.press("Escape", "Enter")
    desk.terminal.wait_for("publicKey (optional):")
    desk.terminal.wait_for("Esc, then Enter ends", times=2)
    desk.terminal.type("ssh-ed25519 shown")
    desk.terminal.press("Escape", "Enter")
    assert desk.terminal.exit_code() == 0
    assert "hush" not in desk.terminal.screen()
    assert desk.agent.field("pair", "privateKey") == b"hush-first\nhush-second"
    assert desk.agent.field("pair", "publicKey") == b"ssh-ed25519 shown"


def test_removing_asks_first_and_does_nothing_by_default(desk: Desk) -> None:
    """Enter alone removes nothing."""
    desk.keybaton("secrets remove token")
    desk.answer("Remove token?", "Enter")
    desk.terminal.wait_for("Nothing was removed.")
    assert desk.terminal.exit_code() == 130
    assert desk.agent.field("token", "value") == b"abc"


def test_an_edit_keeps_what_enter_confirms(desk: Desk) -> None:
    """The name is there to be edited, the value stays hidden and as it was."""
    desk.keybaton("secrets edit token")
    desk.answer("Name: token", typed="token-2")
    desk.answer("value (Enter keeps it):", "Enter")
    assert desk.terminal.exit_code() == 0
    assert desk.agent.field("token-2", "value") == b"abc"


def test_older_versions_are_shown_and_go_after_a_yes(desk: Desk) -> None:
    """Which items lose how many, and which are removed for good; any other answer keeps them."""
    desk.has_older_versions()
    for answer, told, code in (("n", "Nothing was forgotten.", 130), ("y", "Forgot 3 versions of 2 items", 0)):
        desk.keybaton("vault compact --keep 1")
        screen = desk.answer("Forget 3 versions of 2 items, with 1 removed item?", typed=answer)
        assert "OLD (staging)" in screen and "removed" in screen
        desk.terminal.wait_for(told)
        assert desk.terminal.exit_code() == code
    asked = [(request.keep, request.HasField("older_than_days"), request.dry_run) for request in desk.agent.compacted]
    assert asked == [(1, False, True), (1, False, True), (1, False, False)]


def test_a_type_is_chosen_from_the_list(desk: Desk) -> None:
    """Each type stands there with its fields; what it needs cannot be left empty."""
    desk.keybaton("secrets add maps")
    screen = desk.answer("Type:", "Down", "Down", "Enter")
    assert "username, password, url?, totp?" in screen
    desk.answer("apiKey:", "Enter")
    desk.answer("apiKey is needed.", typed="hush-hush")
    desk.terminal.wait_for("Stored maps.")
    assert desk.terminal.exit_code() == 0
    assert desk.agent.field("maps", "apiKey") == b"hush-hush"


def test_a_database_is_added_with_links_from_lists(desk: Desk) -> None:
    """For each link the secrets of its type, and none; what there is none of is not asked about."""
    desk.keybaton("dbs add album")
    desk.answer("Path:", "Enter")
    desk.answer("A path is needed.", typed="s3:b:/album")
    desk.answer("Description:", typed="Ours")
    screen = desk.answer("S3 credentials:", "Down", "Enter")
    assert "no S3 credentials" in screen
    screen = desk.answer("Geocoding key:", "Enter")
    assert "Encryption key:" not in screen
    desk.terminal.wait_for("Stored album.")
    item = desk.agent.current(common_pb2.ITEM_KIND_DATABASE, "album")
    assert item is not None
    assert item.database == common_pb2.Database(path="s3:b:/album", description="Ours", s3="photos-s3")


def test_a_database_is_edited_in_place(desk: Desk) -> None:
    """What is there stands in the question; Enter keeps it, links too."""
    desk.keybaton("dbs edit photos")
    desk.answer("Name: photos", typed="pictures")
    desk.answer("Path: s3:b", "Enter")
    desk.answer("Description: Mine", typed="Ours")
    desk.answer("S3 credentials:", "Enter")
    desk.answer("Geocoding key:", "Up", "Enter")
    desk.terminal.wait_for("Stored pictures (version 2).")
    item = desk.agent.current(common_pb2.ITEM_KIND_DATABASE, "pictures")
    assert item is not None
    assert item.database == common_pb2.Database(path="s3:b", description="Ours", s3="photos-s3")


def test_a_database_is_removed_after_a_yes(desk: Desk) -> None:
    """Its secrets stay."""
    desk.keybaton("dbs remove photos")
    desk.answer("Remove photos?", "y")
    desk.terminal.wait_for("Removed photos.")
    assert desk.terminal.exit_code() == 0
    assert desk.agent.current(common_pb2.ITEM_KIND_DATABASE, "photos") is None
    assert desk.agent.field("photos-maps", "apiKey") == b"k"


def test_undo_asks_first(desk: Desk) -> None:
    """No changes nothing, Enter alone is yes; where there is nothing to bring back, nothing is asked."""
    desk.keybaton("undo token")
    desk.terminal.wait_for("token has no version before this one.")
    assert desk.terminal.exit_code() == 5
    desk.agent.put_secret("token", value="newer")
    desk.keybaton("undo token")
    desk.answer("Bring back token as it was before?", "n")
    desk.terminal.wait_for("Nothing was changed.")
    assert desk.terminal.exit_code() == 130
    assert desk.agent.field("token", "value") == b"newer"
    desk.keybaton("undo token")
    desk.answer("Bring back token as it was before?", "Enter")
    assert desk.terminal.exit_code() == 0
    assert desk.agent.field("token", "value") == b"abc"


def test_setup_asks_first(desk: Desk) -> None:
    """It shows the line before the question; No writes nothing, Enter alone does."""
    written = desk.home / ".gitconfig"
    desk.keybaton("setup git")
    screen = desk.answer("Do it?", "n")
    assert "helper = " in screen
    desk.terminal.wait_for("Nothing was changed.")
    assert desk.terminal.exit_code() == 130
    assert not written.exists()
    desk.keybaton("setup git")
    desk.answer("Do it?", "Enter")
    assert desk.terminal.exit_code() == 0
    assert "keybaton" in written.read_text()
