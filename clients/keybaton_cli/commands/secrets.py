"""`keybaton secrets add`, `list` and `view`."""

from __future__ import annotations

import os
import shlex
from typing import Any

import click

from keybaton_api.agent.v1 import common_pb2
from keybaton_cli import missing, output, prompts, values
from keybaton_cli.completion import complete_secret
from keybaton_cli.failure import Failure, UsageFailure
from keybaton_cli.framework import App, command, pass_app
from keybaton_cli.items import SECRET, fields_of, hidden, listed, secret_item, secret_ref, summary_json
from keybaton_cli.secret_types import SECRET_TYPES, FieldSpec, doubt, field_names, fields_help, spec_of
from keybaton_hot.listing import HEAD

FIELD_HELP = "Set a field. Visible to other programs of this user: prefer --field-fd. May be repeated."
FIELD_FD_HELP = "Read a field's value from file descriptor N. May be repeated."
FIELD_FILE_HELP = "Read a field's value from a file. May be repeated."
FILE_HELP = "Read the value from a file: that of the only needed field, or a file's content."
_ADD_HELP = f"""Store a new secret.

A type with one field takes its value from standard input when that is a pipe or a file. On a terminal, fields that
no option gave are asked for, without showing what is typed where it is a secret. With --file, the field `name` of
type `file` is the file's name unless it is given.

The types and their fields ("?" marks optional ones):

\b
{fields_help()}
"""


@command(
    "add",
    examples=(
        "keybaton secrets add github-token --type token              # asks for the value, hidden",
        "pass show github | keybaton secrets add github --type token",
        "keybaton secrets add photos-key --type encryption-key --file key.pem",
        "keybaton secrets add kubeconfig --type file --file ~/.kube/config",
    ),
    help=_ADD_HELP,
)
@click.argument("name")
@click.option("--type", "secret_type", type=click.Choice(list(SECRET_TYPES)), help="What kind of secret it is.")
@click.option("--field", "plain", multiple=True, metavar="KEY=VALUE", help=FIELD_HELP)
@click.option("--field-fd", "described", multiple=True, metavar="KEY=N", help=FIELD_FD_HELP)
@click.option("--field-file", "filed", multiple=True, metavar="KEY=PATH", help=FIELD_FILE_HELP)
@click.option("--file", metavar="PATH", type=click.Path(), help=FILE_HELP)
@pass_app
def add(
    app: App,
    name: str,
    secret_type: str | None,
    plain: tuple[str, ...],
    described: tuple[str, ...],
    filed: tuple[str, ...],
    file: str | None,
) -> None:
    asker = prompts.Asker()
    if secret_type is None:
        prompts.demand(app, "The type", f"`--type TYPE` names it: {', '.join(SECRET_TYPES)}.")
        _must_be_free(app, name)
        secret_type = asker.choose("Type:", [(_described(known), known) for known in SECRET_TYPES])
    fields = values.given_fields(secret_type, plain, described, filed, file)
    if file is not None and spec_of(secret_type, "name"):
        fields.setdefault("name", os.fsencode(os.path.basename(file)))  # noqa: PTH119 (pathlib costs more to import)
    if not fields:
        fields = values.field_from_stdin(secret_type)
    missing = [spec for spec in SECRET_TYPES[secret_type] if spec.required and spec.name not in fields]
    if missing and not fields and prompts.possible(app):
        _must_be_free(app, name)
        fields = ask_fields(asker, SECRET_TYPES[secret_type], {})
    elif missing:
        listed = ", ".join(spec.name for spec in missing)
        hint = f"`--field-fd {missing[0].name}=N` reads it from a file descriptor, `--field-file` from a file"
        hint += "; so does standard input." if len(SECRET_TYPES[secret_type]) == 1 else "."
        unknown = "".join(f"; it has no field {name}" for name in fields if spec_of(secret_type, name) is None)
        raise UsageFailure(f"{secret_type} needs: {listed}{unknown}.", hint)
    odd = doubt(fields)
    if odd:
        output.warn(odd)
    summary = app.client().vault.put_item(secret_item(name, secret_type, fields))
    if app.json:
        output.document(summary_json(summary))
    else:
        output.say(f"Stored {output.printable(summary.ref.name)}.")


def _must_be_free(app: App, name: str) -> None:
    """Before anything is typed for a name that is taken, or for a vault that is locked."""
    if any(item.ref.name == name for item in app.client().vault.list_items(SECRET, name_prefix=name)):
        raise Failure(
            "NAME_TAKEN",
            f"There is already a secret named {name}.",
            f"`keybaton secrets edit {shlex.quote(name)}` changes it.",
        )


def _described(secret_type: str) -> str:
    return f"{secret_type:<15} {field_names(secret_type)}"


def ask_fields(asker: prompts.Asker, specs: tuple[FieldSpec, ...], present: dict[str, bytes]) -> dict[str, bytes]:
    """Asks for each field; Enter keeps a `present` one and leaves out an optional one. Returns those to store."""
    fields: dict[str, bytes] = {}
    for spec in specs:
        kept = present.get(spec.name)
        label = spec.name + ("" if spec.required or kept is not None else " (optional)")
        typed = _ask_field(asker, spec, label, kept)
        if typed:
            fields[spec.name] = typed.encode()
        elif kept is not None:
            fields[spec.name] = kept
    return fields


def _ask_field(asker: prompts.Asker, spec: FieldSpec, label: str, kept: bytes | None) -> str:
    def check(text: str) -> str:
        return f"{spec.name} is needed." if spec.required and kept is None and not text else ""

    suffix = " (Enter keeps it):" if kept is not None else ":"
    if spec.lines:
        while True:
            text = asker.lines(label + suffix, hidden=spec.hidden)
            if not check(text):
                return text
            output.note(check(text))
    if spec.hidden:
        return asker.hidden(label + suffix, check)
    return asker.text(label + ":", default=(kept or b"").decode(errors="replace"), check=check)


@command(
    "list",
    examples=(
        "keybaton secrets list",
        "keybaton secrets list --type api-key",
        "keybaton secrets list --prefix photos-",
    ),
)
@click.option("--type", "secret_type", type=click.Choice(list(SECRET_TYPES)), help="Only secrets of this type.")
@click.option("--prefix", default="", help="Only names that begin with this.")
@pass_app
def list_secrets(app: App, secret_type: str | None, prefix: str) -> None:
    """List names, types and times of the last change; never values."""
    found = [item for item in listed(app, SECRET, prefix) if secret_type in {None, item.secret_type}]
    if app.json:
        output.document({"secrets": [summary_json(item) for item in found]})
        return
    rows = [(item.ref.name, item.secret_type, output.when(item.updated_at_ms)) for item in found]
    output.table(HEAD, rows)
    if not found:
        output.note("No secrets here yet." if not (prefix or secret_type) else "No secret matches.")


@command(
    "view",
    examples=(
        "keybaton secrets view photos-s3",
        "keybaton secrets view photos-s3 --reveal",
        "keybaton secrets view photos-s3 --field secretAccessKey --copy",
    ),
)
@click.argument("name", shell_complete=complete_secret)
@click.option("--reveal", is_flag=True, help="Show the values.")
@click.option("--field", metavar="KEY", help="Only this field.")
@click.option("--copy", is_flag=True, help="Put the value on the clipboard, for 45 seconds.")
@pass_app
def view(app: App, name: str, reveal: bool, field: str | None, copy: bool) -> None:
    """Show a secret; values stay masked unless --reveal asks for them."""
    if reveal and copy:
        raise click.UsageError("--reveal and --copy do not go together.")
    item = missing.item(app, secret_ref(name))
    fields = fields_of(item)
    if field is not None:
        if field not in fields:
            raise Failure("FIELD_UNKNOWN", f"{name} has no field {field}.", f"It has {', '.join(fields)}.")
        fields = {field: fields[field]}
    if copy:
        if len(fields) != 1:
            raise UsageFailure("--copy takes one value.", f"`--field KEY` names it: {', '.join(fields)}.")
        from keybaton_cli.clipboard import copy_for_a_while

        copy_for_a_while(app, next(iter(fields.values())), name)
    elif app.json:
        output.document(secret_json(item, fields, reveal))
    else:
        output.pairs(
            [
                ("name", output.printable(item.ref.name)),
                ("type", output.printable(item.secret.type)),
                ("changed", f"{output.when(item.updated_at_ms)} (version {item.version})"),
                *(
                    (output.printable(key), shown(item.secret.type, key, value, reveal))
                    for key, value in fields.items()
                ),
            ]
        )


def shown(secret_type: str, key: str, value: bytes, reveal: bool) -> str:
    """A field's value as text, masked unless it is no secret or is to be revealed."""
    if hidden(secret_type, key) and not reveal:
        return output.MASK
    try:
        lines = value.decode().rstrip("\n").split("\n")
    except UnicodeDecodeError:
        return f"({len(value):,} bytes that are not text; `keybaton get` prints them)"
    return "\n".join(output.printable(line) for line in lines)


def secret_json(item: common_pb2.Item, fields: dict[str, bytes], reveal: bool) -> dict[str, Any]:
    """A secret as a document; masked values are eight dots."""
    return {
        "name": item.ref.name,
        "type": item.secret.type,
        "fields": {
            key: output.MASK if hidden(item.secret.type, key) and not reveal else output.json_value(value)
            for key, value in fields.items()
        },
        "revealed": reveal,
        "version": item.version,
        "updatedAt": output.when_json(item.updated_at_ms),
    }
