"""A shared environment beside the vault: what it would change there, and the writes that a person's decision asks for."""

from __future__ import annotations

from dataclasses import replace

from keybaton_core.items import EnvBody, Item, ItemKind, ItemRef, ItemRefused, ProjectBody
from keybaton_core.names import NameRefused, check_environment
from keybaton_core.payload import EnvironmentPart
from keybatond.errors import KeybatonError, Reason
from keybatond.services.environments import VARIABLES_MAX
from keybatond.services.share_offer import ShareVault
from keybatond.services.share_review import Plan
from keybatond.services.share_view import (
    ConflictChoice,
    Offer,
    OfferedEnvironment,
    OfferedVariable,
    ReviewDecision,
    VariableChange,
    VariableDecision,
)
from keybatond.services.vault_types import Change, PutMode, checked

_PAGE = 1000
_PAGES_MAX = 1000  # far more than an environment may hold; a page may be short, even empty, with more to come


def project_in(vault: ShareVault, project_id: str) -> tuple[str, tuple[str, ...]]:
    """Name and environments of a project. PROJECT_NOT_FOUND."""
    project = _project(vault, project_id)
    if project is None:
        raise KeybatonError(Reason.PROJECT_NOT_FOUND, name=project_id)
    return _body(project).title, _body(project).environments


def names_in(vault: ShareVault, project_id: str, environment: str) -> set[str]:
    """Names of an environment's variables."""
    names: set[str] = set()
    token = ""
    for _ in range(_PAGES_MAX):
        page, token = vault.list(ItemKind.ENV_VARIABLE, project_id, environment, page_size=_PAGE, page_token=token)
        names.update(summary.ref.name for summary in page)
        if not token:
            break
    return names


def checked_environment(name: str) -> str:
    """`name` when it can name an environment. INVALID_ARGUMENT."""
    try:
        return check_environment(name)
    except NameRefused as refused:
        raise _invalid(refused.field, refused.problem) from None


def environment_beside(part: EnvironmentPart, target: str, vault: ShareVault) -> Offer:
    """The payload beside the environment `target`, key by key."""
    project = _project(vault, part.project)
    variables = tuple(OfferedVariable(name, _compare(part, name, target, vault)[0]) for name in sorted(part.variables))
    offered = OfferedEnvironment(
        part.project,
        part.title if project is None else _body(project).title,
        part.environment,
        target,
        variables,
        project_exists=project is not None,
        target_exists=project is not None and target in _body(project).environments,
    )
    return Offer(None, (), offered)


def plan_environment(decision: ReviewDecision, part: EnvironmentPart, target: str, vault: ShareVault) -> Plan:
    """The writes that `decision` asks for; a project or environment that is not here is made.

    Raises KeybatonError: CONFLICT with `name`, `kind`, `key` and `problem` where a choice is missing; INVALID_ARGUMENT.
    """
    chosen = _by_name(decision, part)
    changes, title = _place(part, target, vault)
    writes = []
    conflict = ""
    for name in sorted(part.variables):
        told = chosen.get(name) or VariableDecision(name, on_conflict=decision.default_choice)
        if not told.wanted:
            continue
        change, there = _compare(part, name, target, vault)
        if change is VariableChange.NEW:
            writes.append(Change(part.item(name, target), PutMode.CREATE))
        elif change is VariableChange.SAME or told.on_conflict is ConflictChoice.REUSE:
            conflict = conflict or "reused"
        elif told.on_conflict is ConflictChoice.REPLACE and there is not None:
            writes.append(Change(part.item(name, target), PutMode.REPLACE, there.version))
            conflict = "replaced"
        else:
            raise KeybatonError(Reason.CONFLICT, name=name, kind="variable", key=name, problem="taken")
    fresh = sum(1 for write in writes if write.mode is PutMode.CREATE)
    if fresh + len(names_in(vault, part.project, target)) > VARIABLES_MAX:
        raise _invalid("environment", f"would hold more than {VARIABLES_MAX} variables")
    return Plan((*changes, *writes), conflict, f"{title}/{target}")


def _by_name(decision: ReviewDecision, part: EnvironmentPart) -> dict[str, VariableDecision]:
    if decision.name or decision.description is not None or decision.path is not None or decision.secrets:
        raise _invalid("name", "belongs to a database or secrets, and an environment is offered")
    chosen: dict[str, VariableDecision] = {}
    for told in decision.variables:
        if told.name not in part.variables or told.name in chosen:
            raise _invalid("variables", "name one twice or one that is not offered")
        chosen[told.name] = told
    if ConflictChoice.RENAME in {decision.default_choice, *(told.on_conflict for told in decision.variables)}:
        raise _invalid("on_conflict", "a variable cannot be renamed: keep or replace it")
    if len([told for told in chosen.values() if not told.wanted]) == len(part.variables):
        raise _invalid("variables", "none is chosen; choose one or decline")
    return chosen


def _place(part: EnvironmentPart, target: str, vault: ShareVault) -> tuple[list[Change], str]:
    """What makes the project and the environment exist, and the project's name."""
    project = _project(vault, part.project)
    if project is None:
        made = checked(Item(ItemRef(ItemKind.PROJECT, part.project), ProjectBody(part.title, (target,))))
        return [Change(made, PutMode.CREATE)], part.title
    body = _body(project)
    if target in body.environments:
        return [], body.title
    grown = checked(replace(project, body=replace(body, environments=(*body.environments, target))))
    return [Change(grown, PutMode.REPLACE, project.version)], body.title


def _compare(part: EnvironmentPart, name: str, target: str, vault: ShareVault) -> tuple[VariableChange, Item | None]:
    there = _found(vault, part.item(name, target).ref)
    if there is None:
        return VariableChange.NEW, None
    same = isinstance(there.body, EnvBody) and there.body.value == part.variables[name]
    return VariableChange.SAME if same else VariableChange.CHANGED, there


def _project(vault: ShareVault, project_id: str) -> Item | None:
    return _found(vault, ItemRef(ItemKind.PROJECT, project_id))


def _found(vault: ShareVault, ref: ItemRef) -> Item | None:
    try:
        return vault.get(ref.checked())
    except (NameRefused, ItemRefused) as refused:
        raise _invalid(refused.field, refused.problem) from None
    except KeybatonError as error:
        if error.reason is Reason.NOT_FOUND:
            return None
        raise


def _body(project: Item) -> ProjectBody:
    assert isinstance(project.body, ProjectBody)
    return project.body


def _invalid(field: str, problem: str) -> KeybatonError:
    return KeybatonError(Reason.INVALID_ARGUMENT, field=field, problem=problem)
