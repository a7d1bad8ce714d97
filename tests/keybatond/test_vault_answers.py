"""Lists as they are encoded: kept while the vault is open and unchanged, and not an instant longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from keybaton_core.items import ItemKind, ItemSummary
from keybaton_testing.vaults import OTHER_KEY, OTHER_RECORD, RECORD, key, no_progress, secret
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault import PutMode, VaultService
from keybatond.services.vault_answers import ANSWERS_MAX, ANSWERS_MAX_BYTES, ListAnswers


class Encoder:
    """Writes names, and counts how often it is asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, items: list[ItemSummary], token: str) -> bytes:
        self.calls += 1
        return ",".join([*(f"{item.ref.name}={item.version}" for item in items), token]).encode()


@pytest.fixture
async def vault(vault: VaultService) -> VaultService:
    """With three secrets."""
    await vault.batch_put([secret(name) for name in "abc"], PutMode.CREATE)
    return vault


async def test_the_same_question_is_answered_once(vault: VaultService) -> None:
    """Each argument makes another question; every page of a list is kept."""
    encode = Encoder()
    for _ in range(3):
        assert vault.list_encoded(encode) == b"a=1,b=1,c=1,"
    assert encode.calls == 1
    first = vault.list_encoded(encode, ItemKind.SECRET, page_size=2)
    assert first.startswith(b"a=1,b=1,")
    token = first.rpartition(b",")[2].decode()
    assert vault.list_encoded(encode, ItemKind.SECRET, page_size=2, page_token=token) == b"c=1,"
    assert vault.list_encoded(encode, ItemKind.DATABASE) == b""
    assert encode.calls == 4


async def test_a_change_is_seen_by_the_next_list(vault: VaultService) -> None:
    """Puts, batches, removals and undoing, as soon as they have been answered."""
    encode = Encoder()
    assert vault.list_encoded(encode) == b"a=1,b=1,c=1,"
    await vault.put(secret("a", "new"), PutMode.REPLACE)
    assert vault.list_encoded(encode) == b"a=2,b=1,c=1,"
    await vault.delete(secret("b").ref)
    assert vault.list_encoded(encode) == b"a=2,c=1,"
    await vault.undo(secret("a").ref)
    assert vault.list_encoded(encode) == b"a=3,c=1,"
    await vault.batch_put([secret("d")], PutMode.CREATE)
    assert vault.list_encoded(encode) == b"a=3,c=1,d=1,"


async def test_a_change_that_is_refused_changes_no_answer(vault: VaultService) -> None:
    """The list is as it was."""
    encode = Encoder()
    before = vault.list_encoded(encode)
    with pytest.raises(KeybatonError):
        await vault.put(secret("a"), PutMode.CREATE)
    assert vault.list_encoded(encode) == before


async def test_reading_values_does_not_cost_the_answers(vault: VaultService) -> None:
    """Noting reads is no change of names."""
    encode = Encoder()
    vault.list_encoded(encode)
    for _ in range(200):
        vault.get(secret("a").ref, client="cli")
    vault.list_encoded(encode)
    assert encode.calls == 1


async def test_nothing_is_left_of_the_answers_after_a_lock(vault: VaultService) -> None:
    """They hold names: a locked vault neither gives them nor has them in memory; the next unlock begins without."""
    encode = Encoder()
    vault.list_encoded(encode)
    session = vault._opened()
    asked = (encode, None, "", "", "", 0, "")
    assert session.answers.get(asked) is not None
    vault.close()
    assert session.answers.get(asked) is None
    with pytest.raises(KeybatonError) as caught:
        vault.list_encoded(encode)
    assert caught.value.reason is Reason.VAULT_LOCKED
    await vault.open(key())
    assert vault.list_encoded(encode) == b"a=1,b=1,c=1,"
    assert encode.calls == 2


async def test_a_restored_vault_answers_with_its_own_names(vault: VaultService, tmp_path: Path) -> None:
    """Nothing of the replaced one; a rekey keeps the names."""
    encode = Encoder()
    backup = str(tmp_path / "backup")
    await vault.backup(backup, OTHER_RECORD, key(OTHER_KEY), no_progress)
    await vault.put(secret("later"), PutMode.CREATE)
    assert vault.list_encoded(encode) == b"a=1,b=1,c=1,later=1,"

    async def opener(record: object) -> object:
        return key(OTHER_KEY)

    await vault.restore(backup, opener, RECORD, key(), no_progress, replace=True)  # type: ignore[arg-type]
    assert vault.list_encoded(encode) == b"a=1,b=1,c=1,"
    await vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress)
    assert vault.list_encoded(encode) == b"a=1,b=1,c=1,"


def test_the_answers_are_few_and_small() -> None:
    """The oldest make room, by number and by size; what is asked counts too, and one that is too large is not kept."""
    answers = ListAnswers()
    for number in range(ANSWERS_MAX + 1):
        answers.keep((number,), b"x")
    assert [number for number in range(ANSWERS_MAX + 1) if answers.get((number,))] == list(range(1, ANSWERS_MAX + 1))
    half = b"x" * (ANSWERS_MAX_BYTES // 2)
    for name in ("one", "two"):
        answers.keep((name,), half)
    assert answers.get(("one",)) is None
    assert answers.get(("two",)) == half
    answers.keep(("n" * ANSWERS_MAX_BYTES,), b"x")
    assert answers.get(("n" * ANSWERS_MAX_BYTES,)) is None
    for _ in range(3):
        answers.keep(("again",), half)
        assert answers.get(("again",)) == half
        answers.drop()
        assert answers.get(("again",)) is None
