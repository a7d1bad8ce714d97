"""A vault in memory with the semantics of the real service; `vault_contract` holds both to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keybaton_core.items import Item, ItemKind, ItemRef, ItemSummary, SecretBody
from keybatond.errors import KeybatonError, Reason
from keybatond.services.vault_types import Change, PutMode

_Key = tuple[ItemKind, str, str, str]
Listed = list[ItemSummary]  # within the class, `list` is its method


class FakeVault:
    """The part of the vault service that shares use. `fail_with` makes each write fail; `before_apply` runs first."""

    def __init__(self) -> None:
        self.items: dict[_Key, Item] = {}
        self.is_open = True
        self.fail_with: Reason | None = None
        self.writes = 0
        self.reads: list[tuple[str, str]] = []  # (name, client) of those that named one
        self._ids = 0

    @staticmethod
    def _key(ref: ItemRef) -> _Key:
        return ref.kind, ref.lookup_name(), ref.vault, ref.environment

    def count(self) -> int:
        self._require_open()
        return len(self.items)

    def get(self, ref: ItemRef, *, client: str = "") -> Item:
        self._require_open()
        item = self.items.get(self._key(ref))
        if item is None:
            raise KeybatonError(Reason.NOT_FOUND, name=ref.name)
        if client:
            self.reads.append((item.ref.name, client))
        return item

    def list(
        self,
        kind: ItemKind | None = None,
        vault: str = "",
        environment: str = "",
        prefix: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> tuple[Listed, str]:
        """In pages of two, so that callers turn them."""
        self._require_open()
        wanted = {"kind": kind, "vault": vault, "environment": environment}
        found = [
            ItemSummary(item.ref, item.id, item.version, item.updated_at_ms)
            for item in self.items.values()
            if item.ref.name.startswith(prefix)
            and all(not value or getattr(item.ref, name) == value for name, value in wanted.items())
        ]
        start = int(page_token or 0)
        return found[start : start + 2], str(start + 2) if start + 2 < len(found) else ""

    async def apply(self, changes: Sequence[Change]) -> Listed:
        """All or nothing."""
        self._require_open()
        if self.fail_with is not None:
            raise KeybatonError(self.fail_with)
        after = dict(self.items)
        summaries = [self._put(after, change) for change in changes]
        self.items = after
        self.writes += 1
        return summaries

    def _put(self, items: dict[_Key, Item], change: Change) -> ItemSummary:
        item = change.item.checked()
        key = self._key(item.ref)
        there = items.get(key)
        if there is not None and change.mode is PutMode.CREATE:
            raise KeybatonError(Reason.NAME_TAKEN, name=item.ref.name)
        if there is None and change.mode is PutMode.REPLACE:
            raise KeybatonError(Reason.NOT_FOUND, name=item.ref.name)
        if there is not None and change.base_version not in (0, there.version):
            raise KeybatonError(Reason.VERSION_CONFLICT, name=item.ref.name)
        if there is None:
            self._ids += 1
        identity = f"{self._ids:032x}" if there is None else there.id
        stored = replace(item, id=identity, version=1 if there is None else there.version + 1)
        items[key] = stored
        secret_type = item.body.type if isinstance(item.body, SecretBody) else ""
        return ItemSummary(stored.ref, stored.id, stored.version, stored.updated_at_ms, secret_type)

    def _require_open(self) -> None:
        if not self.is_open:
            raise KeybatonError(Reason.VAULT_LOCKED)
