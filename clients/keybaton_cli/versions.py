"""Brings an older version of an item back, knowing which one it is."""

from __future__ import annotations

from typing import NamedTuple

from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_cli import output
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App
from keybaton_client.problem import ClientError


class BroughtBack(NamedTuple):
    """The item as it stands now, and the version that it was made of."""

    summary: common_pb2.ItemSummary
    source: int
    words: str
    """That version for people."""


def bring_back(app: App, ref: common_pb2.ItemRef, version: int | None) -> BroughtBack:
    """Makes `version` the newest; None: the newest older one that is no removal. ClientError as the agent's Undo."""
    vault = app.client().vault
    source = _source(_versions(app, ref), version)
    if source is None:
        return BroughtBack(vault.undo(ref, version or 0), version or 0, f"version {version}" if version else "before")
    summary = vault.undo(ref, source.version)
    return BroughtBack(summary, source.version, f"version {source.version} of {output.when(source.updated_at_ms)}")


def demand(app: App, ref: common_pb2.ItemRef, version: int | None) -> None:
    """For what asks first: Failure NOT_FOUND when `bring_back` would find nothing to bring back."""
    if _source(_versions(app, ref), version) is None:
        raise nothing(ref.name, version, f"keybaton history {ref.name}")


def nothing(name: str, version: int | None, listing: str) -> Failure:
    """That there is no such version; `listing` is the command that shows those that are there."""
    lacking = f"version {version} to bring back" if version else "version before this one"
    return Failure("NOT_FOUND", f"{name} has no {lacking}.", f"`{listing}` lists its versions.")


def _versions(app: App, ref: common_pb2.ItemRef) -> list[vault_pb2.ItemVersion]:
    try:
        return list(app.client().vault.list_versions(ref))
    except ClientError as error:
        if error.reason.endswith("NOT_FOUND"):  # the agent says it in its own words when it is asked to undo
            return []
        raise


def _source(versions: list[vault_pb2.ItemVersion], wanted: int | None) -> vault_pb2.ItemVersion | None:
    """Of `versions`, newest first, the one that an undo means; None where there is none."""
    older = [entry for entry in versions[1:] if not entry.removed]
    if wanted is None:
        return older[0] if older else None
    return next((entry for entry in older if entry.version == wanted), None)
