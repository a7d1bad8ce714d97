"""Project vaults and their environments: variables as a whole. Single variables, with their history, are the vault's items.

A project is one item that holds its name and the list of its environments, so that an empty environment exists and an unknown
one is an error. It is named by a random id, which a project's `keybaton.toml` holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keybaton_core.items import EnvBody, Item, ItemKind, ItemRef, ProjectBody
from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Entropy
from keybatond.services.vault import Change, PutMode, VaultService
from keybatond.services.vault_transaction import Changes
from keybatond.services.vault_types import checked, checked_ref, within

DEFAULT: Final = "default"
CHANGES_MAX: Final = 1000  # of one call, as of a batch
VARIABLES_MAX: Final = 2000  # of one environment: what one answer of at most 4 MiB can reasonably hold


@dataclass(frozen=True)
class Project:
    """A project vault. `environments` maps each name, in their order, to its number of variables."""

    id: str
    name: str
    environments: Mapping[str, int]


@dataclass(frozen=True)
class Changed:
    """What a change did."""

    created: int
    changed: int
    unchanged: int
    removed: int


class EnvironmentService:
    """Environments over the vault. Every method fails as the vault's do."""

    def __init__(self, vault: VaultService, entropy: Entropy) -> None:
        self._vault = vault
        self._entropy = entropy

    # --- reading ---------------------------------------------------------------------------------------------------

    def projects(self) -> list[Project]:
        """Every project, by name and id."""
        found = []
        for ref in self._refs(ItemKind.PROJECT):
            body = _project_body(self._vault.get(ref))
            counts = dict.fromkeys(body.environments, 0)
            for variable in self._refs(ItemKind.ENV_VARIABLE, ref.name):
                counts[variable.environment] = counts.get(variable.environment, 0) + 1
            found.append(Project(ref.name, body.title, counts))
        return sorted(found, key=lambda project: (project.name, project.id))

    def variables(self, project_id: str, environment: str, most: int) -> list[Item]:
        """The variables of one environment, by name. NOT_FOUND names what is missing and the nearest.

        TOO_LARGE above `most` bytes of values.
        """
        try:
            project = self._vault.get(_project_ref(project_id))
        except KeybatonError as error:
            raise _no_project(project_id) if error.reason is Reason.NOT_FOUND else error from None
        _require(_project_body(project), environment)
        names = self._vault.group(ItemKind.ENV_VARIABLE, project_id)
        wanted = (name.ref for name in names if name.ref.environment == environment)
        return sorted(within(map(self._vault.get, wanted), most, "values"), key=lambda item: item.ref.name)

    def _refs(self, kind: ItemKind, vault: str = "", environment: str = "") -> list[ItemRef]:
        refs: list[ItemRef] = []
        token = ""
        while True:
            page, token = self._vault.list(kind, vault, environment, page_size=1000, page_token=token)
            refs += [summary.ref for summary in page]
            if not token:
                return refs

    # --- changing --------------------------------------------------------------------------------------------------

    async def create_project(self, name: str) -> Project:
        """A new project with an empty environment `default`. INVALID_ARGUMENT."""
        project_id = self._entropy.token(16).hex()
        item = checked(Item(_project_ref(project_id), ProjectBody(name, (DEFAULT,))))
        await self._vault.put(item, PutMode.CREATE)
        return Project(project_id, name, {DEFAULT: 0})

    async def remove_project(self, project_id: str) -> int:
        """Removes a project and its variables; returns how many those were. NOT_FOUND."""

        def remove(tx: Changes) -> int:
            self._find(tx, project_id)
            refs = tx.listed(ItemKind.ENV_VARIABLE, project_id)
            for ref in refs:
                tx.remove(ref)
            tx.remove(_project_ref(project_id))
            return len(refs)

        return await self._vault.edit(remove)

    async def remove_environment(self, project_id: str, environment: str) -> int:
        """Removes an environment and its variables; returns how many those were. NOT_FOUND; INVALID_ARGUMENT for the last."""

        def remove(tx: Changes) -> int:
            project = self._find(tx, project_id)
            body = _project_body(project)
            _require(body, environment)
            if len(body.environments) == 1:
                raise KeybatonError(Reason.INVALID_ARGUMENT, field="environment", problem="is the only one")
            refs = _variables(tx, project_id, environment)
            for ref in refs:
                tx.remove(ref)
            left = tuple(name for name in body.environments if name != environment)
            tx.put(Change(replace(project, body=replace(body, environments=left)), PutMode.REPLACE, project.version))
            return len(refs)

        return await self._vault.edit(remove)

    async def change(
        self,
        project_id: str,
        environment: str,
        values: Mapping[str, SecretBytes],
        removals: Sequence[str] = (),
        *,
        create: bool = False,
        exclusive: bool = False,
    ) -> Changed:
        """Sets and removes variables in one transaction. NOT_FOUND, NAME_TAKEN (`exclusive`), INVALID_ARGUMENT, TOO_LARGE."""
        items = [
            checked(Item(_variable_ref(project_id, environment, name), EnvBody(value)))
            for name, value in values.items()
        ]
        gone = [checked_ref(_variable_ref(project_id, environment, name)) for name in removals]
        if len(items) + len(gone) > CHANGES_MAX:
            raise KeybatonError(Reason.TOO_LARGE, limit=str(CHANGES_MAX))

        def apply(tx: Changes) -> Changed:
            self._enter(tx, project_id, environment, create=create)
            names = {ref.name for ref in _variables(tx, project_id, environment)}
            if len((names | values.keys()).difference(removals)) > VARIABLES_MAX:
                raise KeybatonError(Reason.TOO_LARGE, limit=str(VARIABLES_MAX))
            created = changed = unchanged = 0
            for item in items:
                there = tx.get(item.ref)
                if there is not None and there.body == item.body:
                    unchanged += 1
                    continue
                tx.put(Change(item, PutMode.CREATE if exclusive else PutMode.UPSERT))
                created, changed = created + (there is None), changed + (there is not None)
            for ref in gone:
                if tx.get(ref) is None:
                    raise not_there(Reason.VARIABLE_NOT_FOUND, ref.name, names)
                tx.remove(ref)
            return Changed(created, changed, unchanged, len(gone))

        return await self._vault.edit(apply)

    def _find(self, tx: Changes, project_id: str) -> Item:
        project = tx.get(_project_ref(project_id))
        if project is None:
            raise _no_project(project_id)
        return project

    def _enter(self, tx: Changes, project_id: str, environment: str, *, create: bool) -> None:
        """Makes sure that the environment is in the project's list."""
        project = self._find(tx, project_id)
        body = _project_body(project)
        if environment in body.environments:
            return
        if not create:
            _require(body, environment)
        grown = replace(body, environments=(*body.environments, environment))
        tx.put(Change(checked(replace(project, body=grown)), PutMode.REPLACE, project.version))


def _project_ref(project_id: str) -> ItemRef:
    return checked_ref(ItemRef(ItemKind.PROJECT, project_id))


def _variable_ref(project_id: str, environment: str, name: str) -> ItemRef:
    return ItemRef(ItemKind.ENV_VARIABLE, name, project_id, environment)


def _variables(tx: Changes, project_id: str, environment: str) -> list[ItemRef]:
    """The names in one environment, as the transaction sees them."""
    return [ref for ref in tx.listed(ItemKind.ENV_VARIABLE, project_id) if ref.environment == environment]


def _project_body(item: Item) -> ProjectBody:
    assert isinstance(item.body, ProjectBody)
    return item.body


def _require(body: ProjectBody, environment: str) -> None:
    """NOT_FOUND for an environment that is not in the project, with the nearest: never a silent fall-back."""
    if environment not in body.environments:
        raise not_there(Reason.ENVIRONMENT_NOT_FOUND, environment, body.environments)


def _no_project(project_id: str) -> KeybatonError:
    return KeybatonError(Reason.PROJECT_NOT_FOUND, name=project_id)


def not_there(reason: Reason, name: str, names: Iterable[str]) -> KeybatonError:
    """`reason` for `name`, with the one of `names` that is most like it, where one is near."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    nearest = matches[0] if matches else ""
    return KeybatonError(
        reason, name=name, nearest=nearest, suggestion=f"; the nearest is {nearest}" if nearest else ""
    )
