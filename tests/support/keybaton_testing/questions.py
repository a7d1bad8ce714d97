"""Every question that the command line can ask: where it stands in the source, how to come to it, which test answers it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keybaton_cli


@dataclass(frozen=True)
class Question:
    """One question: `file: label` in the source, what the screen shows of it, and the keys that lead to the next one.

    Keys have tmux's names; `=text` types a line over what is there.
    """

    source: str
    shown: str
    keys: str = ""


@dataclass(frozen=True)
class Walk:
    """The questions of one command in their order. `before` says what has to be so, `answered` is the test that answers."""

    command: str
    before: str
    answered: str
    questions: tuple[Question, ...]


def _walk(command: str, before: str, answered: str, *questions: tuple[str, ...]) -> Walk:
    return Walk(command, before, answered, tuple(Question(*question) for question in questions))


_CODE = ("receive.py: 'Code shown on the other device:'", "Code shown on the other device:")
_SECRET_TAKEN = ("share_review.py: f'The secret {name} exists here, {state}.'", "The secret photos-maps exists here")
_DATABASE_TAKEN = (
    "share_review.py: f'The database {output.printable(database.name)} exists here.'",
    "The database photos exists here.",
)
_SAVE_EDITED = ("share_review.py: 'Save it?'", "Save it?", "Down Enter")
_NEW_NAME = "share_review.py: 'New name:'"
_SAVE_HERE = ("share_review_environment.py: f'Save in {draft.target}?'", "Save in staging?")
_SEND_IT = ("send.py: f'Send {listed}?'", "Send photos-maps?")
_FIELD = "secrets.py: label + ':'"
_UNSEEN_FIELD = "secrets.py: label + suffix"
_LINK = "dbs.py: f'{label[0].upper()}{label[1:]}:'"
_VALUE = "env_values.py: f'{output.printable(name)}:'"
_READ_AS = ("env_files.py: 'Read it as'", "Read it as")
_PASSPHRASE = "lock.py: 'Passphrase:'"
_AGAIN = ("prompts.py: 'Once more:'", "Once more:")
_CONFIRM_PEER = "send.py: f'A receiver answers at {address}. Is that the right device?'"
_WHICH_SENDER = "receive.py: 'Several devices are sending. Which one shows this code?'"
_REMOVE = "secrets_edit.py: f'Remove {output.printable(ref.name)}?'"
_REMOVE_ENVIRONMENT = "env_project.py: f'Remove {remove} with {count}?'"
_FORGET = "compact.py: f'Forget {_count(would)}? Nothing brings them back.'"
_REMOVE_PROJECT = "env_project.py: f'Remove the project {output.printable(remove)} with all its variables?'"
_CHANGED = "share_review_environment.py: f'{len(changed)} variables have other values here.'"
_ONE_CHANGED = "share_review_environment.py: f'{output.printable(name)} has another value here.'"
_SECRETS_SENT = "test_secrets_are_ticked_in_a_list_and_sent_after_a_warning"
_FIELDS_TYPED = "test_fields_are_asked_for_without_showing_what_is_secret"
_RENAMED = "test_what_arrives_is_edited_unticked_and_renamed_past_a_taken_name"
_RESTORED = "test_a_backup_is_made_and_restored_with_passphrases_of_their_own"
_REMOVED = "test_a_variable_an_environment_and_a_project_are_removed_after_a_yes"
_TWO_MEANINGS = "test_a_file_of_two_meanings_is_read_as_the_person_says"

FAKE = (
    _walk(
        "secrets send",
        "",
        _SECRETS_SENT,
        ("send.py: 'Which secrets?'", "Which secrets?", "Space Enter"),
        _SEND_IT,
    ),
    _walk(
        "secrets send --photosphere",
        "a receiver answers",
        "test_one_secret_that_photosphere_knows_is_chosen",
        ("send.py: 'Which secret?'", "Which secret?", "Enter"),
        (*_SEND_IT, "Enter"),
        (_CONFIRM_PEER, "Is that the right device?"),
    ),
    _walk(
        "dbs send",
        "",
        "test_a_database_is_edited_for_the_way_and_a_secret_unticked",
        ("send.py: 'Which database?'", "Which database?", "Down Enter"),
        ("send.py: 'Send it?'", "Send it?", "Down Enter"),
        ("send.py: 'Name:'", "Name: photos", "Enter"),
        ("send.py: 'Description:'", "Description: Mine", "Enter"),
        ("send.py: 'Path:'", "Path: s3:b", "Enter"),
        ("send.py: 'Secrets that go along:'", "Secrets that go along:"),
    ),
    _walk(
        "dbs receive",
        "a database is offered",
        _RENAMED,
        (*_CODE, "=4821"),
        _SAVE_EDITED,
        ("share_review.py: 'Name:'", "Name: pictures", "=photos"),
        ("share_review.py: 'Description:'", "Description:", "Enter"),
        ("share_review.py: 'Path:'", "Path: s3:c", "Enter"),
        ("share_review.py: 'Secrets to save:'", "Secrets to save:", "Enter"),
        (*_SECRET_TAKEN, "Down Down Enter"),
        (_NEW_NAME, "New name: photos-maps (2)", "Enter"),
        (*_DATABASE_TAKEN, "Enter"),
        (_NEW_NAME, "New name: photos (2)"),
    ),
    _walk(
        "secrets receive",
        "two devices send",
        "test_where_several_devices_send_the_person_says_which_one_shows_the_code",
        (*_CODE, "=4821"),
        (_WHICH_SENDER, "Several devices are sending."),
    ),
    _walk("dbs receive --photosphere", "", "test_a_database_is_taken_from_photosphere_by_a_person", _CODE),
    _walk(
        "secrets receive",
        "a secret is offered",
        "test_a_secret_is_saved_under_another_name_or_replaces_what_is_there",
        (*_CODE, "=4821"),
        _SAVE_EDITED,
        ("share_review.py: 'Save as:'", "Save as: photos-maps", "Enter"),
        _SECRET_TAKEN,
    ),
    _walk(
        "env receive",
        "variables are offered",
        "test_each_changed_key_is_asked_about",
        (*_CODE, "=4821"),
        (*_SAVE_HERE, "Enter"),
        (_CHANGED, "2 variables have other values here.", "Enter"),
        (_ONE_CHANGED, "A has another value here."),
    ),
    _walk(
        "env receive",
        "variables are offered",
        "test_keys_can_be_left_out_and_nothing_saved",
        (*_CODE, "=4821"),
        (*_SAVE_HERE, "Down Enter"),
        ("share_review_environment.py: 'Environment:'", "Environment: staging", "Enter"),
        ("share_review_environment.py: 'Variables to save:'", "Variables to save:"),
    ),
    _walk(
        "secrets add new",
        "",
        "test_a_type_is_chosen_from_the_list",
        ("secrets.py: 'Type:'", "Type:", "Down Down Down Down Enter"),
        (_FIELD, "username:", "=me"),
        (_UNSEEN_FIELD, "password:", "=hush"),
        (_FIELD, "url (optional):"),
    ),
    _walk(
        "secrets add new --type ssh-key",
        "",
        "test_a_key_of_several_lines_is_typed_unseen",
        (_UNSEEN_FIELD, "privateKey:"),
    ),
    _walk(
        "secrets edit token",
        "",
        "test_an_edit_keeps_what_enter_confirms",
        ("secrets_edit.py: 'Name:'", "Name: token", "=other"),
        (_UNSEEN_FIELD, "value (Enter keeps it):"),
    ),
    _walk(
        "secrets remove token",
        "",
        "test_removing_asks_first_and_does_nothing_by_default",
        (_REMOVE, "Remove token?"),
    ),
    _walk("dbs remove notes", "", "test_a_database_is_removed_after_a_yes", (_REMOVE, "Remove notes?")),
    _walk(
        "undo token",
        "token was changed",
        "test_undo_asks_first",
        ("history.py: f'Bring back {what}?'", "Bring back token as it was"),
    ),
    _walk(
        "dbs add new",
        "",
        "test_a_database_is_added_with_links_from_lists",
        ("dbs.py: 'Path:'", "Path:", "=/new"),
        ("dbs.py: 'Description:'", "Description:", "Enter"),
        (_LINK, "S3 credentials:", "Enter"),
        (_LINK, "Geocoding key:"),
    ),
    _walk(
        "dbs edit notes",
        "",
        "test_a_database_is_edited_in_place",
        ("dbs.py: 'Name:'", "Name: notes", "=other"),
        ("dbs.py: 'Path:'", "Path: /notes", "=/other"),
        ("dbs.py: 'Description:'", "Description:", "=other"),
        (_LINK, "S3 credentials:"),
    ),
    _walk("setup git", "", "test_setup_asks_first", ("setup.py: 'Do it?'", "Do it?")),
    _walk(
        "init --keystore passphrase",
        "there is no vault",
        "test_init_asks_twice_and_again_after_a_slip",
        ("init.py: 'New passphrase:'", "New passphrase:", "=long enough"),
        _AGAIN,
    ),
    _walk(
        "unlock",
        "the vault is locked",
        "test_a_wrong_passphrase_is_asked_again",
        (_PASSPHRASE, "Passphrase:", "=a wrong one"),
        (_PASSPHRASE, "2 tries left"),
    ),
    _walk(
        "vault rekey",
        "",
        "test_rekey_asks_for_the_new_passphrase_and_only_that_opens",
        ("vault.py: 'New passphrase:'", "New passphrase:", "=long enough"),
        _AGAIN,
    ),
    _walk(
        "vault compact --keep 1",
        "there are older versions",
        "test_older_versions_are_shown_and_go_after_a_yes",
        (_FORGET, "Forget 3 versions of 2 items, with 1 removed item?"),
    ),
    _walk(
        "vault backup copy",
        "",
        _RESTORED,
        ("vault.py: 'Passphrase for the backup:'", "Passphrase for the backup:", "=long enough"),
        _AGAIN,
    ),
    _walk(
        "vault restore /etc/hostname --replace",
        "",
        _RESTORED,
        ("vault.py: 'Passphrase of the backup:'", "Passphrase of the backup:", "=anything"),
        ("vault.py: label", "New passphrase of the vault:", "=long enough"),
        _AGAIN,
    ),
)
"""Against a fake agent."""

REAL = (
    _walk(
        "shares cancel",
        "two shares run",
        "test_one_of_several_shares_is_chosen",
        ("shares.py: 'Which share?'", "Which share?"),
    ),
    _walk(
        "env init",
        "",
        "test_files_are_ticked_for_import",
        ("env_project.py: 'Import which files?'", "Import which files?", "Enter"),
        _READ_AS,
    ),
    _walk("env import .env", "a project", _TWO_MEANINGS, _READ_AS),
    _walk(
        "env set TOKEN OTHER",
        "a project",
        "test_values_of_variables_are_typed_unseen",
        (_VALUE, "TOKEN:", "=x"),
        (_VALUE, "OTHER:"),
    ),
    _walk(
        "env remove DATABASE_URL --env staging",
        "a project",
        _REMOVED,
        ("env_values.py: f'Remove {shown} from {where.environment}?'", "Remove DATABASE_URL from staging?"),
    ),
    _walk(
        "env envs --remove staging",
        "a project",
        _REMOVED,
        (_REMOVE_ENVIRONMENT, "Remove staging with 1 variable?"),
    ),
    _walk(
        "env vaults --remove ID",
        "a project",
        _REMOVED,
        (_REMOVE_PROJECT, "with all its variables?"),
    ),
    _walk(
        "env send --env staging",
        "a project",
        "test_an_environment_is_sent_after_a_question",
        ("env_share.py: f'Send {what} of {where.environment}?'", "Send 1 variable of staging?"),
    ),
)
"""Against a real agent; `ID` in a command is the project's."""

_ASKING = frozenset({"text", "hidden", "lines", "confirm", "choose", "tick"})
_THIRD = frozenset({"passphrase", "agree"})  # ask too, with the question as their third argument
_NOT_ASKED = frozenset(
    {
        "follow.py: session",  # a reporter's tick
        "share_report.py: session",
        "lock.py: ''",  # from a descriptor
        "prompts.py: label",  # handed on to the library
        "prompts.py: question",
    }
)


def in_the_source() -> Iterator[str]:
    """Every question in the command line's code, as `file: label`."""
    for path in Path(keybaton_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in _ASKING | _THIRD
            ):
                given = node.args[2:3] if node.func.attr in _THIRD else node.args[:1]
                for label in given:
                    question = f"{path.name}: {ast.unparse(label)}"
                    if question not in _NOT_ASKED:
                        yield question
