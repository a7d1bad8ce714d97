"""`keybaton secrets send` and `keybaton dbs send`, and what every sending command shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from keybaton_api.agent.v1 import common_pb2, share_pb2
from keybaton_cli import missing, output, prompts, values
from keybaton_cli.completion import complete_database, complete_secret
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.follow import Need, follow, reporter_for
from keybaton_cli.framework import DESCRIPTOR, App, command, pass_app
from keybaton_cli.items import DATABASE, SECRET, database_ref, links_of, listed, secret_ref
from keybaton_cli.prompts import Asker
from keybaton_cli.secret_types import LINKS, PHOTOSPHERE_TYPES
from keybaton_cli.share_words import PHOTOSPHERE_WARNING

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--to", default="", metavar="HOST[:PORT]", help="The receiver, where it cannot be discovered."),
    click.option("--digits", type=click.IntRange(4, 8), help="Length of the code. [default: 4]"),
    click.option("--code-fd", type=DESCRIPTOR, metavar="N", help="Read the code to use from file descriptor N."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask anything."),
)
_PHOTOSPHERE_OPTION = click.option(
    "--photosphere", is_flag=True, help="Send to the Photosphere app (less safe; it says why)."
)

SENDING_WARNING = (
    "whoever types the code on the other device gets the values themselves. "
    "Send them only to your own devices or to somebody you trust, and tell the code to nobody else."
)


def with_send_options(function: Any) -> Any:
    """Adds the options of a sending command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class SendOptions:
    """Those options, read and checked."""

    def __init__(
        self, app: App, to: str, digits: int | None, code_fd: int | None, photosphere: bool, yes: bool
    ) -> None:
        if digits and code_fd is not None:
            raise click.UsageError("--digits and --code-fd do not go together.")
        self.code = "" if code_fd is None else values.code_from(code_fd, any_text=photosphere)
        if not yes:
            prompts.demand(app, "Whether to send", "`--yes` sends without asking.")
        self.to, self.digits, self.photosphere, self.yes = to, digits or 0, photosphere, yes

    def request(self, *refs: common_pb2.ItemRef) -> share_pb2.StartSendRequest:
        """What to start for `refs`."""
        named = share_pb2.SHARE_PROTOCOL_PHOTOSPHERE if self.photosphere else share_pb2.SHARE_PROTOCOL_KEYBATON
        return share_pb2.StartSendRequest(
            items=refs,
            protocol=named,
            to=self.to,
            digits=self.digits,
            code=self.code,
            confirm_peer=self.photosphere and not self.yes,
        )


@command(
    "send",
    events=True,
    examples=(
        "keybaton secrets send                                # tick some in a list",
        "keybaton secrets send github-token npm-token         # several, under one code",
        "keybaton secrets send github-token --digits 6",
        "keybaton secrets send github-token --to 192.0.2.7:40123",
    ),
)
@click.argument("names", metavar="[NAME…]", nargs=-1, shell_complete=complete_secret)
@with_send_options
@_PHOTOSPHERE_OPTION
@pass_app
def send_secrets(
    app: App, names: Sequence[str], to: str, digits: int | None, code_fd: int | None, photosphere: bool, yes: bool
) -> None:
    """Hand secrets to another device on this network.

    Shows a code; type it on the other device, where `keybaton secrets receive` runs. Nobody else on the network can read
    what is sent. Without a name they are ticked in a list. Ends when the other device has saved or declined it.
    Photosphere's protocol carries one secret at a time.
    """
    if not names and not prompts.possible(app):
        raise UsageFailure("A name is needed: there is no terminal to choose on.")
    names = list(dict.fromkeys(names))
    if photosphere and len(names) > 1:
        raise UsageFailure("Photosphere's protocol carries one secret at a time.", "Send them one by one.")
    options = SendOptions(app, to, digits, code_fd, photosphere, yes)
    asker = Asker()
    if not names:
        names = _chosen_secrets(app, asker, photosphere)
    _check_secrets(app, names, photosphere)
    output.warn(SENDING_WARNING)
    if photosphere:
        output.warn(PHOTOSPHERE_WARNING)
    listed = ", ".join(map(output.printable, names))
    if not yes and not asker.confirm(f"Send {listed}?", default=True):
        raise Failure("INTERRUPTED", "Nothing was sent.")
    start_sending(app, options.request(*map(secret_ref, names)), "secrets")


def _check_secrets(app: App, names: Sequence[str], photosphere: bool) -> None:
    """Failure for a name that nothing has, and for a type that Photosphere does not know."""
    found = app.client().vault.batch_get([secret_ref(name) for name in names])
    if found.missing:
        name = found.missing[0].name
        raise Failure("NOT_FOUND", f"There is no secret named {name}.", "`keybaton secrets list` shows names.")
    for item in found.items:
        if photosphere and item.secret.type not in PHOTOSPHERE_TYPES:
            raise UsageFailure(
                f"Photosphere does not know secrets of type {item.secret.type}.",
                f"It knows {', '.join(PHOTOSPHERE_TYPES)}; without --photosphere every type can be sent.",
            )


@command(
    "send",
    events=True,
    examples=(
        "keybaton dbs send                                    # choose from a list",
        "keybaton dbs send photos",
        "keybaton dbs send photos --yes --json",
    ),
)
@click.argument("name", required=False, shell_complete=complete_database)
@with_send_options
@_PHOTOSPHERE_OPTION
@pass_app
def send_database(
    app: App, name: str | None, to: str, digits: int | None, code_fd: int | None, photosphere: bool, yes: bool
) -> None:
    """Hand a database and the secrets that it links to, to another device on this network.

    Shows a code; type it on the other device, where `keybaton dbs receive` runs. Name, description and path can be edited
    for the way, and linked secrets left out; this vault is not changed. Ends when it is saved or declined there.
    """
    if name is None and not prompts.possible(app):
        raise UsageFailure("A name is needed: there is no terminal to choose on.")
    options = SendOptions(app, to, digits, code_fd, photosphere, yes)
    asker = Asker()
    if name is None:
        databases = [(item.ref.name, item.ref.name) for item in listed(app, DATABASE)]
        if not databases:
            raise Failure("NOT_FOUND", "There is no database to send yet.", "`keybaton dbs add` stores one.")
        name = asker.choose("Which database?", databases)
    item = missing.item(app, database_ref(name))
    request = options.request(item.ref)
    if photosphere:
        output.warn(PHOTOSPHERE_WARNING)
    linked = _linked(app, item)
    if not yes:
        _review(asker, item, linked, request)
    start_sending(app, request, "dbs")


def _chosen_secrets(app: App, asker: Asker, photosphere: bool) -> list[str]:
    """Names from a list of all; with `photosphere` one of those that it can carry."""
    found = listed(app, SECRET)
    if photosphere:
        found = [item for item in found if item.secret_type in PHOTOSPHERE_TYPES]
    if not found:
        which = f"of the types {', '.join(PHOTOSPHERE_TYPES)} " if photosphere else ""
        raise Failure("NOT_FOUND", f"There is no secret {which}to send yet.", "`keybaton secrets add` stores one.")
    size = max(output.width(item.ref.name) for item in found)
    titles = [
        (item.ref.name + " " * (size - output.width(item.ref.name) + 2) + item.secret_type, item.ref.name)
        for item in found
    ]
    if photosphere:
        return [asker.choose("Which secret?", titles)]
    return asker.tick("Which secrets?", titles, ticked=len(titles) == 1, some=True)


def _review(
    asker: Asker, item: common_pb2.Item, linked: list[tuple[str, str]], request: share_pb2.StartSendRequest
) -> None:
    """Shows what goes along and lets the person edit it for the way."""
    rows = [("name", item.ref.name), ("description", item.database.description), ("path", item.database.path)]
    labels = {slot: label for slot, _, _, label in LINKS}
    rows += [(labels[slot], name) for slot, name in linked]
    output.pairs([("  " + label, output.printable(text) or "-") for label, text in rows])
    decision = asker.choose(
        "Send it?", [("Send", "send"), ("Edit or choose secrets first", "edit"), ("Cancel", "cancel")]
    )
    if decision == "cancel":
        raise Failure("INTERRUPTED", "Nothing was sent.")
    if decision == "send":
        return
    request.send_as = asker.text(
        "Name:", default=item.ref.name, check=lambda t: "" if t.strip() else "A name is needed."
    )
    request.description = asker.text("Description:", default=item.database.description)
    request.path = asker.text("Path:", default=item.database.path)
    request.description_set = request.path_set = True
    if linked:
        titles = [(f"{labels[slot]}: {name}", slot) for slot, name in linked]
        kept = asker.tick("Secrets that go along:", titles)
        request.omit_links.extend(slot for slot, _ in linked if slot not in kept)


def _linked(app: App, item: common_pb2.Item) -> list[tuple[str, str]]:
    """Slots and names of the linked secrets that are there; says which are not."""
    links = {slot: name for slot, name in links_of(item.database).items() if name}
    if not links:
        return []
    found = app.client().vault.batch_get([secret_ref(name) for name in links.values()])
    missing = {ref.name for ref in found.missing}
    for name in sorted(missing):
        output.warn(f"the linked secret {output.printable(name)} is missing and stays behind")
    return [(slot, name) for slot, name in links.items() if name not in missing]


def send_needs(app: App) -> list[Need]:
    """What a sending session asks its person: whether the shown address is the right one (Photosphere)."""

    def confirm(session: share_pb2.Session, asker: Asker) -> None:
        address = output.printable(session.peer_address)
        right = asker.confirm(f"A receiver answers at {address}. Is that the right device?", default=False)
        app.client().shares.confirm_peer(session.id, right)

    return [Need(lambda session: session.needs_confirmation, confirm)] if prompts.possible(app) else []


def start_sending(app: App, request: share_pb2.StartSendRequest, noun: str) -> None:
    """Starts to send and stays until the end."""
    session = app.client().shares.start_send(request)
    follow(app, session, reporter_for(app, noun), send_needs(app))
