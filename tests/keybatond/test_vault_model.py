"""The vault against a model: any sequence of puts, renames, removals and undos, with locks and restarts in between."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keybaton_core.items import DatabaseBody, Item, ItemKind, ItemRef
from keybaton_testing.fuzz import examples
from keybaton_testing.vaults import (
    KEY,
    OTHER_KEY,
    OTHER_RECORD,
    RECORD,
    database,
    key,
    made_vault,
    no_progress,
    opened_vault,
    secret,
    value_of,
)
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault import PutMode, VaultService
from keybatond.services.vault_compact import Rule

T = TypeVar("T")

names = st.sampled_from(["a", "A", "b"])
values = st.sampled_from(["1", "2", "3"])
modes = st.sampled_from(list(PutMode))


class ModelItem:
    """What a person knows of an item: its versions. A version is (name, content), content None for a removal."""

    def __init__(self) -> None:
        self.versions: list[tuple[str, str | None]] = []
        self.forgotten = 0  # of the oldest

    @property
    def name(self) -> str:
        return self.versions[-1][0]

    @property
    def live(self) -> bool:
        return self.versions[-1][1] is not None


class Model:
    """Items of one kind. The order of `removed` tells which of several removals under one name was the last."""

    def __init__(self, kind: ItemKind) -> None:
        self.kind = kind
        self.items: list[ModelItem] = []
        self.removed: list[ModelItem] = []

    def same(self, one: str, other: str) -> bool:
        return ItemRef(self.kind, one).lookup_name() == ItemRef(self.kind, other).lookup_name()

    def find(self, name: str) -> ModelItem | None:
        return next((item for item in self.items if item.live and self.same(item.name, name)), None)

    def find_removed(self, name: str) -> ModelItem | None:
        return next((item for item in reversed(self.removed) if self.same(item.name, name)), None)

    def put(self, name: str, content: str, mode: PutMode, rename_from: str) -> Reason | None:
        if rename_from and mode is not PutMode.REPLACE:
            return Reason.INVALID_ARGUMENT
        found = self.find(rename_from or name)
        if found is None and mode is PutMode.REPLACE:
            return Reason.NOT_FOUND
        if found is not None and mode is PutMode.CREATE:
            return Reason.NAME_TAKEN
        if found is None:
            found = self.find_removed(name)
            if found is None:
                found = ModelItem()
                self.items.append(found)
            else:
                self.removed.remove(found)
        elif self.find(name) not in (None, found):
            return Reason.NAME_TAKEN
        found.versions.append((name, content))
        return None

    def delete(self, name: str) -> Reason | None:
        found = self.find(name)
        if found is None:
            return Reason.NOT_FOUND
        found.versions.append((found.name, None))
        self.removed.append(found)
        return None

    def undo(self, name: str, version: int) -> Reason | None:
        found = self.find(name) or self.find_removed(name)
        if found is None:
            return Reason.NOT_FOUND
        if version == 0:
            older = [number for number, (_, content) in enumerate(found.versions[:-1], 1) if content is not None]
            if not older or older[-1] <= found.forgotten:
                return Reason.NOT_FOUND
            version = older[-1]
        if not found.forgotten < version < len(found.versions) or found.versions[version - 1][1] is None:
            return Reason.NOT_FOUND
        chosen = found.versions[version - 1]
        if self.find(chosen[0]) not in (None, found):
            return Reason.NAME_TAKEN
        if not found.live:
            self.removed.remove(found)
        found.versions.append(chosen)
        return None

    def compact(self, keep: int) -> list[tuple[str, int, bool]]:
        """Name, versions that go, whether nothing is left, of each item that loses any."""
        told = []
        for item in list(self.items):
            alive = [number for number, (_, content) in enumerate(item.versions[:-1], 1) if content is not None]
            alive = [number for number in alive if number > item.forgotten]
            last = len(item.versions) - 1 if not keep else 0 if len(alive) < keep else alive[-keep] - 1
            gone = not item.live and last == len(item.versions) - 1
            if last > item.forgotten:
                told.append((item.name, last - item.forgotten, gone))
                item.forgotten = last
            if gone:
                self.items.remove(item)
                self.removed.remove(item)
        return told


class VaultAgainstModel(RuleBasedStateMachine):
    """Every call gives the model's answer; after each step the whole vault is the model's, and check finds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.secrets, self.databases = Model(ItemKind.SECRET), Model(ItemKind.DATABASE)
        self.wrapping_key = KEY

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def reason(self, work: Coroutine[Any, Any, object]) -> Reason | None:
        try:
            self.run(work)
        except KeybatonError as error:
            return error.reason
        return None

    @initialize()
    def make(self) -> None:
        self.vault: VaultService = self.run(made_vault(self.folder / "k" / "vault.db"))

    def model(self, item: Item) -> Model:
        return self.secrets if item.ref.kind is ItemKind.SECRET else self.databases

    @rule(name=names, value=values, mode=modes, rename_from=st.one_of(st.just(""), names))
    def put_secret(self, name: str, value: str, mode: PutMode, rename_from: str) -> None:
        before = self.secrets.find(rename_from or name)
        old_name = before.name if before is not None else ""
        expected = self.secrets.put(name, value, mode, rename_from)
        assert self.reason(self.vault.put(secret(name, value), mode, rename_from=rename_from)) is expected
        if expected is None and old_name and old_name != name:
            self.follow(old_name, name)

    @rule(name=names, link=names, mode=modes, rename_from=st.one_of(st.just(""), names))
    def put_database(self, name: str, link: str, mode: PutMode, rename_from: str) -> None:
        expected = self.databases.put(name, link, mode, rename_from)
        assert self.reason(self.vault.put(database(name, s3=link), mode, rename_from=rename_from)) is expected

    @rule(name=names)
    def delete_secret(self, name: str) -> None:
        linked = sorted(item.name for item in self.databases.items if item.live and item.versions[-1][1] == name)
        expected = self.secrets.delete(name)
        try:
            _, told = self.run(self.vault.delete(ItemRef(ItemKind.SECRET, name)))
        except KeybatonError as error:
            assert error.reason is expected
        else:
            assert expected is None
            assert told == linked

    @rule(name=names)
    def delete_database(self, name: str) -> None:
        expected = self.databases.delete(name)
        assert self.reason(self.vault.delete(ItemRef(ItemKind.DATABASE, name))) is expected

    @rule(name=names, version=st.integers(0, 5), of_database=st.booleans())
    def undo(self, name: str, version: int, of_database: bool) -> None:
        model = self.databases if of_database else self.secrets
        before = model.find(name)
        old_name = before.name if before is not None else ""
        expected = model.undo(name, version)
        assert self.reason(self.vault.undo(ItemRef(model.kind, name), version)) is expected
        if expected is None and before is not None and not of_database and before.name != old_name:
            self.follow(old_name, before.name)

    def follow(self, old: str, new: str) -> None:
        """Links to a renamed secret follow."""
        for item in self.databases.items:
            if item.live and item.versions[-1][1] == old:
                item.versions.append((item.name, new))

    @rule(keep=st.integers(0, 3))
    def compact(self, keep: int) -> None:
        expected = sorted(self.secrets.compact(keep) + self.databases.compact(keep))
        would = self.run(self.vault.compact(Rule(keep), no_progress, dry_run=True))
        assert sorted((item.ref.name, item.versions, item.gone) for item in would.shown) == expected
        assert self.run(self.vault.compact(Rule(keep), no_progress, dry_run=False)) == would
        assert (would.items, would.versions) == (len(expected), sum(versions for _, versions, _ in expected))
        assert would.gone == sum(gone for _, _, gone in expected)

    @rule()
    def lock_and_open(self) -> None:
        self.vault.close()
        self.run(self.vault.open(key(self.wrapping_key)))

    @rule()
    def restart(self) -> None:
        self.run(self.vault.shutdown())
        self.vault = self.run(opened_vault(self.folder / "k" / "vault.db", self.wrapping_key))

    @rule()
    def rekey(self) -> None:
        self.wrapping_key = OTHER_KEY if self.wrapping_key == KEY else KEY
        record = RECORD if self.wrapping_key == KEY else OTHER_RECORD
        self.run(self.vault.rekey(record, key(self.wrapping_key), no_progress))

    @invariant()
    def the_vault_is_the_models(self) -> None:
        if not hasattr(self, "vault"):
            return
        for model in (self.secrets, self.databases):
            listed, _ = self.vault.list(model.kind)
            assert sorted(summary.ref.name for summary in listed) == sorted(i.name for i in model.items if i.live)
            for item in model.items:
                if item.live:
                    found = self.vault.get(ItemRef(model.kind, item.name))
                    body = found.body
                    content = body.links["s3"] if isinstance(body, DatabaseBody) else value_of(found)
                    assert (found.ref.name, content, found.version) == (*item.versions[-1], len(item.versions))
                elif self.model_shows(model, item) is not item:
                    continue
                versions, _ = self.vault.versions(ItemRef(model.kind, item.name))
                told = [(v.version, v.name, v.removed) for v in reversed(versions)]
                whole = [(n, name, content is None) for n, (name, content) in enumerate(item.versions, 1)]
                assert told == whole[item.forgotten :]
        assert self.run(self.vault.check(no_progress)) == []

    def model_shows(self, model: Model, item: ModelItem) -> ModelItem | None:
        return model.find(item.name) or model.find_removed(item.name)

    def teardown(self) -> None:
        if hasattr(self, "vault"):
            self.run(self.vault.shutdown())
        self.runner.close()
        shutil.rmtree(self.folder)


VaultAgainstModel.TestCase.settings = settings(examples(80), stateful_step_count=40)
TestVaultAgainstModel = VaultAgainstModel.TestCase
