"""`keybaton dbs add`, `list`, `view`, `edit` and `remove`."""

from __future__ import annotations

import shlex
from typing import Any

import click

from keybaton_api.agent.v1 import common_pb2
from keybaton_cli import missing, output, prompts
from keybaton_cli.commands.secrets_edit import remove_item, store_edited
from keybaton_cli.completion import complete_database, complete_secret
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.items import DATABASE, SECRET, database_ref, links_of, listed, secret_ref, summary_json
from keybaton_cli.secret_types import LINKS


def _link_options(function: Any) -> Any:
    for slot, option, secret_type, label in reversed(LINKS):
        argument = {"s3": "s3", "encryptionKey": "encryption_key", "geocodingKey": "geocoding_key"}[slot]
        text = f"Name of the secret with its {label} ({secret_type})."
        function = click.option(option, argument, metavar="SECRET", help=text, shell_complete=complete_secret)(function)
    return function


@command(
    "add",
    examples=(
        "keybaton dbs add photos --path s3:my-bucket:/photos --s3 photos-s3 --encryption-key photos-key",
        "keybaton dbs add notes --path /home/me/notes --description 'My notes'",
    ),
)
@click.argument("name")
@click.option("--path", help="Where the database lies.")
@click.option("--description", default="", help="A line about it.")
@click.option("--origin", default="", help="Where it came from.")
@_link_options
@pass_app
def add(
    app: App,
    name: str,
    path: str | None,
    description: str,
    origin: str,
    s3: str | None,
    encryption_key: str | None,
    geocoding_key: str | None,
) -> None:
    """Store a new database. What it links to must be in the vault."""
    links = {"s3": s3, "encryptionKey": encryption_key, "geocodingKey": geocoding_key}
    if path is None:
        prompts.demand(app, "The path", "`--path PATH` names it.")
        asker = prompts.Asker()
        path = asker.text("Path:", check=lambda text: "" if text else "A path is needed.")
        description = description or asker.text("Description:")
        if not any(links.values()):
            links = _ask_links(app, asker, dict.fromkeys(links, ""))
    body = common_pb2.Database(
        description=description,
        path=path,
        origin=origin,
        s3=links["s3"] or "",
        encryption_key=links["encryptionKey"] or "",
        geocoding_key=links["geocodingKey"] or "",
    )
    _check_links(app, {slot: link for slot, link in links.items() if link})
    summary = app.client().vault.put_item(common_pb2.Item(ref=database_ref(name), database=body))
    if app.json:
        output.document(summary_json(summary))
    else:
        output.say(f"Stored {output.printable(summary.ref.name)}.")


def _check_links(app: App, links: dict[str, str]) -> None:
    """Each link must name a secret of the type that its slot wants."""
    if not links:
        return
    found = app.client().vault.batch_get([secret_ref(link) for link in links.values()])
    types = {item.ref.name: item.secret.type for item in found.items}
    for slot, option, wanted, _ in LINKS:
        link = links.get(slot)
        if link is None:
            continue
        if link not in types:
            from keybaton_cli.failure import Failure

            raise Failure(
                "NOT_FOUND",
                f"{option}: there is no secret named {link}.",
                f"`keybaton secrets list` shows names; `keybaton secrets add {shlex.quote(link)} --type {wanted}` stores it.",
            )
        if types[link] != wanted:
            raise click.UsageError(f"{option}: {link} is of type {types[link]}, not {wanted}.")


def _ask_links(app: App, asker: prompts.Asker, present: dict[str, str]) -> dict[str, str | None]:
    """For each link the secrets of its type to choose from, where there are any."""
    summaries = listed(app, SECRET)
    chosen: dict[str, str | None] = {}
    for slot, _, wanted, label in LINKS:
        names = [item.ref.name for item in summaries if item.secret_type == wanted]
        if present[slot] and present[slot] not in names:
            names.insert(0, present[slot])
        if not names:
            chosen[slot] = ""
            continue
        choices = [(f"no {label}", ""), *((name, name) for name in names)]
        place = names.index(present[slot]) + 1 if present[slot] else 0
        chosen[slot] = asker.choose(f"{label[0].upper()}{label[1:]}:", choices, default=place)
    return chosen


@command("list", examples=("keybaton dbs list", "keybaton dbs list --json"))
@click.option("--prefix", default="", help="Only names that begin with this.")
@pass_app
def list_databases(app: App, prefix: str) -> None:
    """List the databases."""
    found = listed(app, DATABASE, prefix)
    if app.json:
        output.document({"databases": [summary_json(item) for item in found]})
        return
    output.table(("NAME", "CHANGED"), [(item.ref.name, output.when(item.updated_at_ms)) for item in found])
    if not found:
        output.note("No databases here yet." if not prefix else "No database matches.")


@command("view", examples=("keybaton dbs view photos",))
@click.argument("name", shell_complete=complete_database)
@pass_app
def view(app: App, name: str) -> None:
    """Show a database and the secrets that it links to."""
    item = missing.item(app, database_ref(name))
    if app.json:
        output.document(database_json(item))
        return
    rows = [("name", item.ref.name), ("description", item.database.description), ("path", item.database.path)]
    if item.database.origin:
        rows.append(("origin", item.database.origin))
    links = links_of(item.database)
    absent = _absent(app, [name for name in links.values() if name])
    rows += [
        (label, links[slot] + ("  (missing)" if links[slot] in absent else ""))
        for slot, _, _, label in LINKS
        if links[slot]
    ]
    rows.append(("changed", f"{output.when(item.updated_at_ms)} (version {item.version})"))
    output.pairs([(label, output.printable(text) or "-") for label, text in rows])


def _absent(app: App, names: list[str]) -> set[str]:
    """Which of these secrets are not in the vault any more."""
    if not names:
        return set()
    return {ref.name for ref in app.client().vault.batch_get([secret_ref(name) for name in names]).missing}


def database_json(item: common_pb2.Item) -> dict[str, Any]:
    """A database as a document; a link that is not set is null."""
    return {
        "name": item.ref.name,
        "description": item.database.description,
        "path": item.database.path,
        "origin": item.database.origin,
        "links": {slot: name or None for slot, name in links_of(item.database).items()},
        "version": item.version,
        "updatedAt": output.when_json(item.updated_at_ms),
    }


@command(
    "edit",
    examples=(
        "keybaton dbs edit photos                                    # asks, Enter keeps a part as it is",
        "keybaton dbs edit photos --path s3:other-bucket:/photos",
        "keybaton dbs edit photos --geocoding-key ''                 # no link any more",
    ),
)
@click.argument("name", shell_complete=complete_database)
@click.option("--rename", metavar="NAME", help="A new name.")
@click.option("--path", help="Where the database lies.")
@click.option("--description", help="A line about it.")
@click.option("--origin", help="Where it came from.")
@_link_options
@pass_app
def edit(
    app: App,
    name: str,
    rename: str | None,
    path: str | None,
    description: str | None,
    origin: str | None,
    s3: str | None,
    encryption_key: str | None,
    geocoding_key: str | None,
) -> None:
    """Change parts of a database; the version before stays in its history. An empty text removes a part or a link."""
    item = missing.item(app, database_ref(name))
    body = item.database
    new_name = rename or item.ref.name
    links: dict[str, str | None] = {"s3": s3, "encryptionKey": encryption_key, "geocodingKey": geocoding_key}
    if all(part is None for part in (rename, path, description, origin, *links.values())):
        prompts.demand(app, "What to change", "`--path`, `--description`, `--rename` and the link options say it.")
        asker = prompts.Asker()
        new_name = asker.text("Name:", default=new_name)
        path = asker.text("Path:", default=body.path)
        description = asker.text("Description:", default=body.description)
        links = _ask_links(app, asker, links_of(body))
    before = links_of(body)
    _check_links(app, {slot: link for slot, link in links.items() if link and link != before[slot]})
    changed = {slot: before[slot] if link is None else link for slot, link in links.items()}
    after = common_pb2.Database(
        description=body.description if description is None else description,
        path=body.path if path is None else path,
        origin=body.origin if origin is None else origin,
        s3=changed["s3"],
        encryption_key=changed["encryptionKey"],
        geocoding_key=changed["geocodingKey"],
    )
    summary = store_edited(app, item, common_pb2.Item(ref=database_ref(new_name), database=after))
    if app.json:
        output.document(summary_json(summary))
    else:
        output.say(f"Stored {output.printable(summary.ref.name)} (version {summary.version}).")


@command("remove", examples=("keybaton dbs remove photos", "keybaton dbs remove photos --yes"))
@click.argument("name", shell_complete=complete_database)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_app
def remove(app: App, name: str, yes: bool) -> None:
    """Remove a database; its secrets stay. Its history stays too: `keybaton undo --database` brings it back."""
    remove_item(app, database_ref(name), yes)
