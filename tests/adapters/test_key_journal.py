"""KeyJournal by contract, for the fake and the file; and a file that is not as it was written."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keybaton_testing.fake_keystore import FakeKeyJournal
from keybatond.adapters.key_journal import KeyJournalFile
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import KeyChange, KeyJournal, KeyRecord, KeystoreKind

NEW = KeyRecord(KeystoreKind.PASSPHRASE, "ab" * 16, b"")
OLD = KeyRecord(KeystoreKind.KEYCHAIN, "cd" * 16, b"keyring.backends.SecretService.Keyring")
CHANGES = [
    KeyChange(NEW, OLD, drops_old=True),
    KeyChange(NEW, OLD, drops_old=False),
    KeyChange(OLD, None, drops_old=False),
]
Make = Callable[[], KeyJournal]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault.keys"


@pytest.fixture(params=["fake", "file"])
def make(request: pytest.FixtureRequest, path: Path) -> Make:
    """Makes the journal again, as the next agent does."""
    noted: list[KeyChange] = []
    return (lambda: FakeKeyJournal(noted)) if request.param == "fake" else lambda: KeyJournalFile(path)


class TestContract:
    @pytest.mark.parametrize("change", CHANGES)
    async def test_what_was_begun_is_pending_until_it_is_ended(self, make: Make, change: KeyChange) -> None:
        """For the next agent too; the end of nothing is no error."""
        assert make().pending() is None
        await make().end()
        await make().begin(change)
        assert make().pending() == change
        await make().end()
        assert make().pending() is None

    async def test_only_the_last_one_is_pending(self, make: Make) -> None:
        """One change at a time."""
        for change in CHANGES:
            await make().begin(change)
        assert make().pending() == CHANGES[-1]


async def test_the_file_is_private_and_comes_whole(path: Path) -> None:
    """Mode 0600; what a killed process left of an earlier try is no obstacle."""
    path.with_name(".vault.keys.new").write_text("half")
    await KeyJournalFile(path).begin(CHANGES[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["vault.keys"]


async def test_a_folder_that_is_gone_is_an_error_of_storage(path: Path) -> None:
    """Nothing is stored in a keychain that could not be noted."""
    with pytest.raises(KeybatonError) as caught:
        await KeyJournalFile(path / "below").begin(CHANGES[0])
    assert caught.value.reason is Reason.STORAGE_FAILED


@example(content=b"[" * 4096)  # deeper than Python recurses
@given(content=st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["new", "old", "drops_old"]), inner),
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_bytes_are_a_note_or_none(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A garbled file never keeps a vault from being opened."""
    path = tmp_path_factory.getbasetemp() / "garbled.keys"
    path.write_bytes(content)
    found = KeyJournalFile(path).pending()
    assert found is None or isinstance(found, KeyChange)


def test_a_link_is_not_followed(path: Path) -> None:
    """Nor a folder read."""
    path.symlink_to("/etc/hostname")
    assert KeyJournalFile(path).pending() is None
    path.unlink()
    path.mkdir()
    assert KeyJournalFile(path).pending() is None
