"""Projects and their environments over the real vault."""

from __future__ import annotations

import asyncio

import pytest

from keybaton_core.items import EnvBody, Item, ItemKind, ItemRef
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_machine import FakeEntropy
from keybatond.errors import KeybatonError, Reason
from keybatond.services.environments import CHANGES_MAX, VARIABLES_MAX, EnvironmentService, Project
from keybatond.services.vault import VaultService

MOST = 4096  # bytes of values in one answer


@pytest.fixture
def environments(vault: VaultService) -> EnvironmentService:
    """The service under test."""
    return EnvironmentService(vault, FakeEntropy(1))


@pytest.fixture
async def shop(environments: EnvironmentService) -> Project:
    """A project with nothing in it."""
    return await environments.create_project("shop")


def secrets(**values: str) -> dict[str, SecretBytes]:
    """Values as the service takes them."""
    return {name: SecretBytes.from_text(value) for name, value in values.items()}


def texts(items: list[Item]) -> dict[str, str]:
    """Names and values of variables."""
    return {item.ref.name: item.body.value.reveal_text() for item in items if isinstance(item.body, EnvBody)}


async def test_variables_of_one_environment_are_only_its_own(environments: EnvironmentService, shop: Project) -> None:
    """The same name in two environments and two projects has its own value in each."""
    other = await environments.create_project("shop")
    await environments.change(shop.id, "default", secrets(B="1", A="2"))
    await environments.change(shop.id, "staging", secrets(A="3"), create=True)
    await environments.change(other.id, "default", secrets(A="4"))
    assert list(texts(environments.variables(shop.id, "default", MOST)).items()) == [("A", "2"), ("B", "1")]
    assert texts(environments.variables(shop.id, "staging", MOST)) == {"A": "3"}
    assert texts(environments.variables(other.id, "default", MOST)) == {"A": "4"}
    found = {project.id: project for project in environments.projects()}
    assert found[shop.id].environments == {"default": 2, "staging": 1}


async def test_an_unknown_environment_is_an_error_that_names_the_nearest(
    environments: EnvironmentService, shop: Project
) -> None:
    """For reading, changing and removing alike; the values of `default` are never given out for it."""
    await environments.change(shop.id, "default", secrets(A="1"))
    await environments.change(shop.id, "production", {}, create=True)
    for call in (
        lambda: environments.change(shop.id, "prodction", secrets(A="1")),
        lambda: environments.remove_environment(shop.id, "prodction"),
    ):
        with pytest.raises(KeybatonError) as error:
            await call()
        assert error.value.reason is Reason.ENVIRONMENT_NOT_FOUND
        assert error.value.data["nearest"] == "production"
    with pytest.raises(KeybatonError) as error:
        environments.variables(shop.id, "zzz", MOST)
    assert (error.value.reason, error.value.data["nearest"]) == (Reason.ENVIRONMENT_NOT_FOUND, "")
    assert texts(environments.variables(shop.id, "production", MOST)) == {}


async def test_an_unknown_project_is_told(environments: EnvironmentService) -> None:
    """By its own reason."""
    with pytest.raises(KeybatonError) as error:
        environments.variables("0" * 32, "default", MOST)
    assert error.value.reason is Reason.PROJECT_NOT_FOUND
    with pytest.raises(KeybatonError) as error:
        await environments.change("0" * 32, "default", secrets(A="1"), create=True)
    assert error.value.reason is Reason.PROJECT_NOT_FOUND


async def test_an_environment_that_no_answer_holds_is_refused_before_all_of_it_is_read(
    environments: EnvironmentService, shop: Project, vault: VaultService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value at once may be far more than an answer holds; the error says what it is about."""
    await environments.change(shop.id, "default", secrets(**{f"V{number}": "x" * 1024 for number in range(8)}))
    opened: list[ItemRef] = []
    get = vault.get

    def noted(ref: ItemRef) -> Item:
        opened.append(ref)
        return get(ref)

    monkeypatch.setattr(vault, "get", noted)
    with pytest.raises(KeybatonError) as refused:
        environments.variables(shop.id, "default", 4 * 1024)
    assert (refused.value.reason, refused.value.data.keys()) == (Reason.TOO_LARGE, {"limit", "values"})
    assert len(opened) == 1 + 5  # the project, and values up to the first that is too much
    assert len(environments.variables(shop.id, "default", 8 * 1024)) == 8


async def test_a_refused_change_changes_nothing(environments: EnvironmentService, shop: Project) -> None:
    """A removal of what is not there, a taken name, or a bad name keeps every value as it was."""
    await environments.change(shop.id, "default", secrets(KEPT="1", PORT="2"))
    with pytest.raises(KeybatonError) as error:
        await environments.change(shop.id, "default", secrets(NEW="3", KEPT="9"), ["PORTT"])
    assert (error.value.reason, error.value.data["nearest"]) == (Reason.VARIABLE_NOT_FOUND, "PORT")
    with pytest.raises(KeybatonError) as error:
        await environments.change(shop.id, "default", secrets(NEW="3", KEPT="9"), exclusive=True)
    assert error.value.reason is Reason.NAME_TAKEN
    for bad in ({"1X": SecretBytes(b"")}, {"A": SecretBytes(b"a\0b")}, {"A": SecretBytes(b"\xff")}):
        with pytest.raises(KeybatonError) as error:
            await environments.change(shop.id, "default", {**secrets(NEW="3"), **bad})
        assert error.value.reason is Reason.INVALID_ARGUMENT
    many = {f"N{number}": SecretBytes(b"") for number in range(CHANGES_MAX + 1)}
    with pytest.raises(KeybatonError) as error:
        await environments.change(shop.id, "default", many)
    assert error.value.reason is Reason.TOO_LARGE
    assert texts(environments.variables(shop.id, "default", MOST)) == {"KEPT": "1", "PORT": "2"}


async def test_what_did_not_change_makes_no_version(
    environments: EnvironmentService, shop: Project, vault: VaultService
) -> None:
    """Setting the same value again is counted as unchanged and leaves the history alone."""
    first = await environments.change(shop.id, "default", secrets(A="1", B="1"))
    second = await environments.change(shop.id, "default", secrets(A="1", B="2"), [])
    assert (first.created, second.created, second.changed, second.unchanged) == (2, 0, 1, 1)
    versions, _ = vault.versions(ItemRef(ItemKind.ENV_VARIABLE, "A", shop.id, "default"))
    assert [version.version for version in versions] == [1]


async def test_single_variables_have_history_and_undo(
    environments: EnvironmentService, shop: Project, vault: VaultService
) -> None:
    """A removed variable comes back by undo."""
    await environments.change(shop.id, "default", secrets(A="1"))
    done = await environments.change(shop.id, "default", {}, ["A"])
    assert done.removed == 1
    await vault.undo(ItemRef(ItemKind.ENV_VARIABLE, "A", shop.id, "default"))
    assert texts(environments.variables(shop.id, "default", MOST)) == {"A": "1"}


async def test_removing_environments_and_projects_takes_their_variables(
    environments: EnvironmentService, shop: Project
) -> None:
    """The last environment stays; a project goes with all that it has."""
    await environments.change(shop.id, "staging", secrets(A="1", B="2"), create=True)
    assert await environments.remove_environment(shop.id, "staging") == 2
    with pytest.raises(KeybatonError) as error:
        await environments.remove_environment(shop.id, "default")
    assert error.value.reason is Reason.INVALID_ARGUMENT
    await environments.change(shop.id, "default", secrets(A="1"))
    assert await environments.remove_project(shop.id) == 1
    assert environments.projects() == []


async def test_a_full_environment_can_still_be_changed(environments: EnvironmentService, shop: Project) -> None:
    """What counts is how many variables there would be: a new value, and one for another, fit where one more does not."""
    for start in range(0, VARIABLES_MAX, CHANGES_MAX):
        await environments.change(shop.id, "default", secrets(**{f"V{start + n}": "" for n in range(CHANGES_MAX)}))
    await environments.change(shop.id, "default", secrets(V0="new"))
    await environments.change(shop.id, "default", secrets(ONE_MORE=""), ["V1"])
    with pytest.raises(KeybatonError) as refused:
        await environments.change(shop.id, "default", secrets(TOO_MANY=""))
    assert refused.value.reason is Reason.TOO_LARGE
    assert len(environments.variables(shop.id, "default", MOST)) == VARIABLES_MAX


async def test_a_removal_takes_what_was_written_just_before_it(
    vault: VaultService, environments: EnvironmentService, shop: Project
) -> None:
    """Nothing is left behind without its project or environment, however close a write comes before the removal."""
    await environments.change(shop.id, "staging", secrets(A="1"), create=True)
    await asyncio.gather(
        environments.change(shop.id, "staging", secrets(B="2")), environments.remove_environment(shop.id, "staging")
    )
    assert vault.list(ItemKind.ENV_VARIABLE, shop.id) == ([], "")
    await asyncio.gather(environments.change(shop.id, "default", secrets(C="3")), environments.remove_project(shop.id))
    assert vault.list(ItemKind.ENV_VARIABLE, shop.id) == ([], "")
