"""Kept answers to GetEnvironment: given again without a look into the file, and not an instant longer than they hold."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from keybaton_api.agent.v1 import common_pb2, env_pb2, vault_pb2
from keybaton_core.items import Item
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_machine import FakeEntropy
from keybaton_testing.leaks import found_in
from keybaton_testing.vaults import OTHER_KEY, OTHER_RECORD, RECORD, key, no_progress, secret, variable
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.env_service import EnvServicer
from keybatond.rpc.vault_service import VaultServicer
from keybatond.services.environments import EnvironmentService
from keybatond.services.vault import PutMode, VaultService
from keybatond.services.vault_answers import READ_MAX_BYTES, READS_MAX, READS_MAX_BYTES, ReadAnswers

VALUES = {"TOKEN": "hush of the token", "URL": "hush of the address"}


class FakeContext:
    """A call of a client of this kind."""

    def __init__(self, client: str) -> None:
        self._client = client

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("keybaton-client", self._client),)


class Shop:
    """A project with the environment `staging`, and who asks for it as its bytes come."""

    def __init__(self, vault: VaultService) -> None:
        self.vault = vault
        self.environments = EnvironmentService(vault, FakeEntropy(1))
        self.servicer = EnvServicer(self.environments, vault)
        self.id = ""

    async def fill(self) -> None:
        """A few variables."""
        self.id = (await self.environments.create_project("shop")).id
        values = {name: SecretBytes.from_text(value) for name, value in VALUES.items()}
        await self.environments.change(self.id, "staging", values, create=True)

    def request(self) -> bytes:
        """That asks for it."""
        return env_pb2.GetEnvironmentRequest(project_id=self.id, environment="staging").SerializeToString()

    async def ask(self, client: str = "run") -> dict[str, str]:
        """Its variables."""
        context: Any = FakeContext(client)
        answer = await self.servicer.GetEnvironment(self.request(), context)
        variables = env_pb2.GetEnvironmentResponse.FromString(answer).variables
        return {variable.name: variable.value.decode() for variable in variables}

    async def refused(self) -> Reason:
        """Why it is not answered."""
        with pytest.raises(KeybatonError) as caught:
            await self.ask()
        return caught.value.reason

    def variable(self, name: str, value: str = "") -> Item:
        """One in `staging`."""
        return variable(self.id, "staging", name, value)

    def kept(self) -> Mapping[bytes, object]:
        """What the open vault keeps."""
        return self.vault._opened().read_answers._answers._kept


@pytest.fixture
async def shop(vault: VaultService) -> Shop:
    """Of an open vault."""
    shop = Shop(vault)
    await shop.fill()
    return shop


async def test_the_second_answer_needs_no_row(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is not asked again, whoever asks the vault."""

    def unreadable() -> NoReturn:
        raise KeybatonError(Reason.STORAGE_FAILED)

    assert await shop.ask("run") == VALUES
    monkeypatch.setattr(shop.vault._store, "reader", unreadable)
    for client in ("run", "cli"):
        assert await shop.ask(client) == VALUES


async def test_each_variable_is_noted_as_read_each_time(shop: Shop) -> None:
    """By the kind of client that asked this time; a kept answer is noted as a fresh one is, the time included."""
    clock: Any = shop.vault._clock
    begun = clock.now_ms()
    for client in ("run", "cli"):
        await shop.ask(client)
        await clock.advance(1)
    reads = [(read.at_ms - begun, read.client, read.ref, read.id, read.version) for read in shop.vault.reads()]
    items = [shop.vault.get(shop.variable(name).ref) for name in ("URL", "TOKEN")]
    assert reads == [(at, client, item.ref, item.id, 1) for at, client in ((1000, "cli"), (0, "run")) for item in items]


async def put(shop: Shop) -> None:
    await shop.vault.put(shop.variable("TOKEN", "new"), PutMode.REPLACE)


async def imported(shop: Shop) -> None:
    await shop.vault.batch_put([shop.variable("TOKEN", "new"), shop.variable("MORE", "x")], PutMode.UPSERT)


async def changed(shop: Shop) -> None:
    await shop.environments.change(shop.id, "staging", {"TOKEN": SecretBytes(b"new")}, ["URL"])


async def renamed(shop: Shop) -> None:
    await shop.vault.put(shop.variable("KEY", VALUES["TOKEN"]), PutMode.REPLACE, rename_from="TOKEN")


async def deleted(shop: Shop) -> None:
    await shop.vault.delete(shop.variable("TOKEN").ref)


@pytest.mark.parametrize(
    ("change", "then"),
    [
        (put, VALUES | {"TOKEN": "new"}),
        (imported, VALUES | {"TOKEN": "new", "MORE": "x"}),
        (changed, {"TOKEN": "new"}),
        (renamed, {"KEY": VALUES["TOKEN"], "URL": VALUES["URL"]}),
        (deleted, {"URL": VALUES["URL"]}),
    ],
)
async def test_a_change_is_seen_by_the_next_answer(
    shop: Shop, change: Callable[[Shop], Awaitable[None]], then: dict[str, str]
) -> None:
    """As soon as it has been answered; so is its undoing."""
    assert await shop.ask() == VALUES
    await change(shop)
    assert await shop.ask() == then
    await shop.vault.undo(shop.variable("KEY" if change is renamed else "TOKEN").ref)
    assert (await shop.ask())["TOKEN"] == VALUES["TOKEN"]


async def test_what_was_removed_is_answered_no_more(shop: Shop) -> None:
    """An environment, one made anew under its name, and a project."""
    assert await shop.ask() == VALUES
    await shop.environments.remove_environment(shop.id, "staging")
    assert await shop.refused() is Reason.ENVIRONMENT_NOT_FOUND
    await shop.environments.change(shop.id, "staging", {}, create=True)
    assert await shop.ask() == {}
    await shop.environments.remove_project(shop.id)
    assert await shop.refused() is Reason.PROJECT_NOT_FOUND


async def test_a_locked_vault_keeps_and_answers_nothing(shop: Shop) -> None:
    """The next unlock begins without."""
    await shop.ask()
    answers = shop.vault._opened().read_answers
    shop.vault.close()
    assert answers._answers._kept == {}
    assert await shop.refused() is Reason.VAULT_LOCKED
    await shop.vault.open(key())
    assert shop.kept() == {}
    assert await shop.ask() == VALUES


async def test_new_keys_and_another_vault_begin_without(shop: Shop, tmp_path: Path) -> None:
    """After a rekey the rows are read under the new key, after a restore from the file that is there now."""
    backup = str(tmp_path / "backup")
    await shop.vault.backup(backup, OTHER_RECORD, key(OTHER_KEY), no_progress)
    await put(shop)
    await shop.ask()
    await shop.vault.rekey(OTHER_RECORD, key(OTHER_KEY), no_progress)
    assert shop.kept() == {}
    assert await shop.ask() == VALUES | {"TOKEN": "new"}

    async def opener(record: object) -> SecretBytes:
        return key(OTHER_KEY)

    await shop.vault.restore(backup, opener, RECORD, key(), no_progress, replace=True)
    assert shop.kept() == {}
    assert await shop.ask() == VALUES
    assert [read.version for read in shop.vault.reads()] == [1, 1]


async def test_no_value_lies_open_among_what_is_kept(shop: Shop) -> None:
    """Names do, and the request."""
    await shop.ask()
    open_bytes = repr(shop.kept()).encode()
    values = {name: value.encode() for name, value in VALUES.items()}
    assert shop.id.encode() in open_bytes
    assert found_in([("memory", open_bytes)], values) == []
    assert len(found_in([("the answer", repr(await shop.ask()).encode())], values)) == len(VALUES)


async def test_a_large_environment_is_read_each_time(shop: Shop) -> None:
    """It is not kept, and noted all the same."""
    await shop.vault.put(shop.variable("LARGE", "x" * READ_MAX_BYTES), PutMode.CREATE)
    for _ in range(2):
        assert len((await shop.ask())["LARGE"]) == READ_MAX_BYTES
    assert shop.kept() == {}
    assert len(shop.vault.reads()) == 2 * (len(VALUES) + 1)


def read_anew(project: int, name: int) -> Item:
    """A variable without a value as a row gives it: no text of it is another's."""
    vault, environment, item_id = f"{project:032x}", f"{project:064}", f"{name:032x}"
    return replace(variable(vault, environment, f"VARIABLE_{name}", ""), id=item_id)


def test_names_count_in_the_room_for_answers() -> None:
    """Many variables of nothing in many environments: what is kept of them never takes more memory than is said."""
    answers = ReadAnswers(key(), FakeEntropy())
    tracemalloc.start()
    try:
        for project in range(READS_MAX):
            asked = b"%d" % project
            answers.keep(asked, b"a" * 1000, [read_anew(project, name) for name in range(10 + 3 * project)])
            assert answers.get(asked) is not None
            assert tracemalloc.get_traced_memory()[0] < READS_MAX_BYTES
    finally:
        tracemalloc.stop()


async def test_the_same_octets_to_two_methods_are_two_questions(shop: Shop) -> None:
    """What one answered is not the other's answer."""
    ref = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name="a")
    await shop.vault.put(secret("a", "hush"), PutMode.CREATE)
    request = vault_pb2.GetItemRequest(ref=ref).SerializeToString()
    context: Any = FakeContext("cli")
    assert b"hush" in await VaultServicer(shop.vault).GetItem(request, context)
    with pytest.raises(KeybatonError) as caught:
        await shop.servicer.GetEnvironment(request, context)
    assert caught.value.reason is not Reason.INTERNAL
    assert len(shop.kept()) == 1


async def test_a_garbled_request_is_refused_and_leaves_nothing(shop: Shop) -> None:
    """Cut within a field, as often as it comes."""
    context: Any = FakeContext("run")
    for _ in range(2):
        with pytest.raises(KeybatonError) as caught:
            await shop.servicer.GetEnvironment(shop.request()[:-1], context)
        assert (caught.value.reason, caught.value.data["field"]) == (Reason.INVALID_ARGUMENT, "request")
    assert shop.kept() == {}
    assert shop.vault.reads() == []
