"""Says of a name that the vault does not have what kind of thing is missing, and which name comes nearest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

from keybaton_api.agent.v1 import common_pb2
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App
from keybaton_cli.items import DATABASE, NOUNS, SECRET
from keybaton_client.problem import ClientError

_LOOKED_AT = 2_000  # names, of a vault that may have a million
_COMMANDS = {SECRET: "secrets", DATABASE: "dbs"}


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence that says that `name` is not there: with the nearest of `names`, if any is near."""
    near = difflib.get_close_matches(name, islice(names, _LOOKED_AT), n=1)
    return f"; the nearest is {near[0]}" if near else ""


@contextmanager
def told(app: App, ref: common_pb2.ItemRef) -> Iterator[None]:
    """Turns the agent's NOT_FOUND for a secret or a database into one that says more."""
    try:
        yield
    except ClientError as error:
        if error.reason != "NOT_FOUND":
            raise
        names = (summary.ref.name for summary in app.client().vault.list_items(ref.kind, name_prefix=ref.name[:1]))
        noun, command = NOUNS[ref.kind], _COMMANDS[ref.kind]
        raise Failure(
            error.reason,
            f"There is no {noun} named {ref.name}{nearest(ref.name, names)}.",
            f"`keybaton {command} list` shows the names.",
            dict(error.data),
        ) from None


def item(app: App, ref: common_pb2.ItemRef) -> common_pb2.Item:
    """A secret or a database. Failure NOT_FOUND, as `told`."""
    with told(app, ref):
        return app.client().vault.get_item(ref)
