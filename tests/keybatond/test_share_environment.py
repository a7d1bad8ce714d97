"""An environment in a share: what goes along, what the receiver is shown, key by key, and what is written."""

from __future__ import annotations

import pytest

from keybaton_core.items import EnvBody, Item, ItemKind, ItemRef, ProjectBody
from keybaton_core.payload import EnvironmentPart, Payload
from keybaton_core.secret import SecretBytes
from keybaton_testing.fake_vault import FakeVault
from keybaton_testing.share_world import World, offering, refusal_of
from keybatond.errors import KeybatonError, Reason
from keybatond.services import share_environment
from keybatond.services.share_offer import offer_alone
from keybatond.services.share_outgoing import READER, build_payload
from keybatond.services.share_session import ShareProtocol, State
from keybatond.services.share_view import (
    ConflictChoice,
    EnvironmentSelection,
    ReviewDecision,
    StartReceive,
    StartSend,
    VariableChange,
    VariableDecision,
)
from keybatond.services.vault_types import Change, PutMode

PROJECT = "0123456789abcdef" * 2
VALUES = {"A": "hush-a", "B": "hush-b", "C": "hush-c"}
PAYLOAD = Payload(
    None,
    (),
    EnvironmentPart(PROJECT, "shop", "staging", {name: SecretBytes.from_text(v) for name, v in VALUES.items()}),
)
KEEP, REPLACE = ConflictChoice.REUSE, ConflictChoice.REPLACE


async def put(vault: FakeVault, environment: str, **values: str) -> None:
    """A project with one environment of these variables beside `default`."""
    project = Item(ItemRef(ItemKind.PROJECT, PROJECT), ProjectBody("mine", tuple({"default", environment})))
    items = [
        Item(ItemRef(ItemKind.ENV_VARIABLE, name, PROJECT, environment), EnvBody(SecretBytes.from_text(value)))
        for name, value in values.items()
    ]
    await vault.apply([Change(item, PutMode.CREATE) for item in (project, *items)])


def stored(vault: FakeVault, environment: str = "staging") -> dict[str, str]:
    """What an environment holds."""
    return {
        ref[1]: item.body.value.reveal_text()
        for ref, item in vault.items.items()
        if isinstance(item.body, EnvBody) and ref[3] == environment
    }


def select(*names: str, environment: str = "staging") -> StartSend:
    return StartSend((), environment=EnvironmentSelection(PROJECT, environment, names))


async def test_a_whole_environment_or_a_selection_goes_along() -> None:
    """With the project's id and name; each value that leaves is in the log of reads; values are in no offer."""
    vault = FakeVault()
    await put(vault, "staging", **VALUES)
    assert build_payload(select(), vault).environment == EnvironmentPart(
        PROJECT, "mine", "staging", {name: SecretBytes.from_text(value) for name, value in VALUES.items()}
    )
    assert vault.reads == [(name, READER) for name in VALUES]
    chosen = build_payload(select("C", "A"), vault)
    assert chosen.environment is not None
    assert set(chosen.environment.variables) == {"A", "C"}
    assert chosen.name == "mine/staging"
    assert "hush" not in repr(offer_alone(chosen))


@pytest.mark.parametrize(
    ("start", "reason", "nearest"),
    [
        (select("AA"), Reason.VARIABLE_NOT_FOUND, "A"),
        (select(environment="stagign"), Reason.ENVIRONMENT_NOT_FOUND, "staging"),
        (StartSend((), environment=EnvironmentSelection("f" * 32, "x")), Reason.PROJECT_NOT_FOUND, ""),
        (StartSend((), environment=EnvironmentSelection("no id", "x")), Reason.INVALID_ARGUMENT, ""),
        (select(environment="default"), Reason.INVALID_ARGUMENT, ""),
        (
            StartSend((), environment=EnvironmentSelection(PROJECT, "staging"), protocol=ShareProtocol.PHOTOSPHERE),
            Reason.INVALID_ARGUMENT,
            "",
        ),
        (
            StartSend((), environment=EnvironmentSelection(PROJECT, "staging"), send_as="x"),
            Reason.INVALID_ARGUMENT,
            "",
        ),
    ],
)
async def test_what_cannot_be_sent_is_refused_at_once(start: StartSend, reason: Reason, nearest: str) -> None:
    """What is missing with its nearest; nothing empty; nothing over a protocol that cannot carry it."""
    vault = FakeVault()
    await put(vault, "staging", **VALUES)
    with pytest.raises(KeybatonError) as refused:
        build_payload(start, vault)
    assert refused.value.reason is reason
    assert refused.value.data.get("nearest", "") == nearest


@pytest.fixture
def world() -> World:
    return World()


async def test_the_review_shows_key_by_key_what_would_change(world: World) -> None:
    """New, changed and same, without a value; the project under the name that it has here."""
    await put(world.vault, "staging", A="other", B="hush-b")
    session = await world.in_review(PAYLOAD)
    assert session.id
    offer = world.now(session).offer
    assert offer is not None
    assert offer.environment is not None
    shown = offer.environment
    assert {v.name: v.change for v in shown.variables} == {
        "A": VariableChange.CHANGED,
        "B": VariableChange.SAME,
        "C": VariableChange.NEW,
    }
    assert (shown.project_name, shown.project_exists, shown.target, shown.target_exists) == (
        "mine", True, "staging", True,
    )  # fmt: skip
    assert "hush" not in repr(offer)
    assert "other" not in repr(offer)


async def test_each_key_is_kept_replaced_or_left_out_in_one_transaction(world: World) -> None:
    """The choices of the person, and nothing else."""
    await put(world.vault, "staging", A="a", B="b", D="d")
    session = await world.in_review(PAYLOAD)
    writes = world.vault.writes
    chosen = (VariableDecision("A", on_conflict=REPLACE), VariableDecision("B", on_conflict=KEEP))
    after = await world.shares.review(ReviewDecision(session.id, True, variables=chosen))
    assert (after.state, after.conflict, after.name) == (State.SAVED, "replaced", "mine/staging")
    assert stored(world.vault) == {"A": "hush-a", "B": "b", "C": "hush-c", "D": "d"}
    assert world.vault.writes == writes + 1


async def test_a_changed_key_without_a_choice_is_a_conflict_and_the_review_goes_on(world: World) -> None:
    """Nothing is written; the next decision counts."""
    await put(world.vault, "staging", A="a")
    session = await world.in_review(PAYLOAD)
    assert await refusal_of(world.shares.review(ReviewDecision(session.id, True))) is Reason.CONFLICT
    assert stored(world.vault) == {"A": "a"}
    only = tuple(VariableDecision(name, wanted=name == "C") for name in VALUES)
    after = await world.shares.review(ReviewDecision(session.id, True, variables=only))
    assert (after.state, after.conflict) == (State.SAVED, "")
    assert stored(world.vault) == {"A": "a", "C": "hush-c"}


async def test_a_project_that_is_not_here_is_made_with_the_same_id(world: World) -> None:
    """So that the committed keybaton.toml finds it; with the one environment, under the offered name."""
    session = await world.in_review(PAYLOAD)
    assert world.vault.items == {}
    after = await world.shares.review(ReviewDecision(session.id, True))
    assert (after.state, after.name) == (State.SAVED, "shop/staging")
    body = world.vault.get(ItemRef(ItemKind.PROJECT, PROJECT)).body
    assert body == ProjectBody("shop", ("staging",))
    assert stored(world.vault) == VALUES


async def test_variables_go_where_the_receiver_says(world: World) -> None:
    """Told at the start: the comparison is with that environment, which is made when it is not there."""
    await put(world.vault, "staging", A="a")
    world.receiving.script = offering(PAYLOAD)
    session = world.shares.start_receive(StartReceive(code="1234", environment="mine"))
    await world.settle()
    offer = world.now(session).offer
    assert offer is not None
    assert offer.environment is not None
    assert (offer.environment.target, offer.environment.target_exists) == ("mine", False)
    await world.shares.review(ReviewDecision(session.id, True))
    assert stored(world.vault, "mine") == VALUES
    assert stored(world.vault) == {"A": "a"}
    body = world.vault.get(ItemRef(ItemKind.PROJECT, PROJECT)).body
    assert isinstance(body, ProjectBody)
    assert set(body.environments) == {"default", "staging", "mine"}


async def test_another_target_in_the_decision_is_compared_before_anything_is_overwritten(world: World) -> None:
    """What the person saw was about another environment: a changed key there is a conflict, with a new comparison."""
    await put(world.vault, "staging", A="a")
    part = PAYLOAD.environment
    assert part is not None
    session = await world.in_review(Payload(None, (), EnvironmentPart(PROJECT, "shop", "other", part.variables)))
    moved = ReviewDecision(session.id, True, environment="staging")
    assert await refusal_of(world.shares.review(moved)) is Reason.CONFLICT
    offer = world.now(session).offer
    assert offer is not None
    assert offer.environment is not None
    assert offer.environment.target == "staging"
    assert offer.environment.variables[0].change is VariableChange.CHANGED
    assert stored(world.vault) == {"A": "a"}


@pytest.mark.parametrize(
    "decision",
    [
        {"variables": (VariableDecision("NOPE"),)},
        {"variables": (VariableDecision("A"), VariableDecision("A"))},
        {"variables": tuple(VariableDecision(name, wanted=False) for name in VALUES)},
        {"variables": (VariableDecision("A", on_conflict=ConflictChoice.RENAME),)},
        {"default_choice": ConflictChoice.RENAME},
        {"name": "x"},
        {"environment": "no spaces"},
    ],
)
async def test_an_impossible_decision_is_refused_and_the_review_goes_on(
    world: World, decision: dict[str, object]
) -> None:
    """INVALID_ARGUMENT, and nothing is written."""
    session = await world.in_review(PAYLOAD)
    refused = world.shares.review(ReviewDecision(session.id, True, **decision))  # type: ignore[arg-type]
    assert await refusal_of(refused) is Reason.INVALID_ARGUMENT
    assert world.vault.items == {}
    assert world.now(session).state is State.REVIEW


async def test_a_value_that_changed_meanwhile_is_looked_at_again(world: World) -> None:
    """The version that was compared is the one that is replaced."""
    await put(world.vault, "staging", A="a")
    session = await world.in_review(PAYLOAD)

    ref = ItemRef(ItemKind.ENV_VARIABLE, "A", PROJECT, "staging")
    before = world.vault.apply

    async def late(changes: list[Change]) -> object:
        world.vault.apply = before  # type: ignore[method-assign]
        newer = Change(Item(ref, EnvBody(SecretBytes.from_text("newer"))), PutMode.REPLACE)
        await before([newer])
        return await before(changes)

    world.vault.apply = late  # type: ignore[method-assign, assignment]
    decision = ReviewDecision(session.id, True, default_choice=REPLACE)
    assert await refusal_of(world.shares.review(decision)) is Reason.CONFLICT
    assert stored(world.vault) == {"A": "newer"}
    assert (await world.shares.review(decision)).state is State.SAVED


async def test_an_environment_does_not_grow_over_its_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be read in one answer any more."""
    monkeypatch.setattr(share_environment, "VARIABLES_MAX", 4)
    await put(world.vault, "staging", X="1", Y="2")
    session = await world.in_review(PAYLOAD)
    assert await refusal_of(world.shares.review(ReviewDecision(session.id, True))) is Reason.INVALID_ARGUMENT
    monkeypatch.setattr(share_environment, "VARIABLES_MAX", 5)
    await world.shares.review(ReviewDecision(session.id, True))
    assert set(stored(world.vault)) == {"A", "B", "C", "X", "Y"}
