"""Importers: what each format becomes."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from keybaton_cli.importers import (
    ImportedItem,
    ImportProblem,
    ImportRefused,
    json_lines,
    open_source,
)
from keybaton_cli.importers.model import free_name
from keybaton_cli.secret_types import SECRET_TYPES
from keybaton_testing.importing import LINES, found, problems, secrets, source

# --- JSON lines --------------------------------------------------------------------------------------------------------


def test_json_lines_bring_secrets_files_and_databases() -> None:
    """Text fields, binary ones in base64, and a database as `dbs view --json` prints it."""
    items = found("\ufeff" + LINES)
    geo, seal, photos = items
    assert source(LINES).format == "jsonl"
    assert geo == ImportedItem("geo", "api-key", {"apiKey": "käy".encode()})
    assert isinstance(seal, ImportedItem) and seal.fields["content"] == b"\x00\xff"
    assert isinstance(photos, ImportedItem) and photos.is_database
    assert photos.links == {"s3": "bucket"} and photos.fields == {"description": b"d", "path": b"/p", "origin": b""}


def test_a_line_may_give_the_only_field_of_its_type_as_a_value(tmp_path: Path) -> None:
    """For each type of one field; a file of JSON lines by its name or by its content."""
    kinds = {kind: specs[0].name for kind, specs in SECRET_TYPES.items() if len(specs) == 1}
    lines = [json.dumps({"name": kind, "type": kind, "value": f"v of {kind}"}) for kind in kinds]
    file = tmp_path / "one.jsonl"
    for text in ("\n".join(lines), *lines):
        file.write_text(text)
        for opened in (source(text), open_source(str(file), io.BytesIO())):
            for name, (kind, fields) in secrets(list(opened.items)).items():
                assert kind == name and fields == {kinds[kind]: f"v of {kind}"}
    assert source("\n".join(lines)).format == "jsonl"
    assert set(kinds) == {"api-key", "plain", "token", "note"}


def test_a_file_called_jsonl_is_told_by_its_name_so_that_its_bad_lines_can_be_named(tmp_path: Path) -> None:
    """Else the whole of it would be of no known format."""
    file = tmp_path / "secrets.jsonl"
    file.write_text('hello\n{"name": "a", "type": "plain", "value": "v"}\n')
    items = list(open_source(str(file), io.BytesIO()).items)
    assert problems(items) == [f"line 1: is not JSON; a line looks like {json_lines.SHAPE}"]
    assert secrets(items) == {"a": ("plain", {"value": "v"})}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", f"is not JSON; a line looks like {json_lines.SHAPE}"),
        ("[1]", f"is not a JSON object; a line looks like {json_lines.SHAPE}"),
        ("[" * 100_000, f"is not JSON; a line looks like {json_lines.SHAPE}"),
        ('{"type": "plain", "fields": {}}', "has no name"),
        (
            '{"name": "a", "type": "plain"}',
            "has not exactly name, type and fields (or value, for a type of one field)",
        ),
        (
            '{"name": "a", "type": "plain", "value": "v", "fields": {"value": "v"}}',
            "has not exactly name, type and fields (or value, for a type of one field)",
        ),
        (
            '{"name": "a", "type": "login", "value": "v"}',
            "has a value, but login has several fields (username, password, url, totp): they go into fields",
        ),
        ('{"name": "a", "type": "plain", "value": 1}', "has a field that is no text"),
        ('{"name": "a", "type": "plain", "fields": {"value": 1}}', "has a field that is no text"),
        (
            '{"name": "a", "type": "file", "fields": {"name": "n", "content": {"base64": "?"}}}',
            "has a field that is not base64",
        ),
        ('{"name": "a", "type": "plain", "fields": {"value": "\\ud800"}}', "holds half a surrogate pair"),
        ('{"name": "a", "value": "v"}', 'has no "type", which all but databases need'),
        ('{"name": "a", "links": {"s3": 1}}', "has a link that is no name"),
    ],
)
def test_a_bad_line_is_a_problem_of_that_line_alone(line: str, problem: str) -> None:
    """The lines around it are taken; the problem names the line."""
    good = '{"name": "good", "type": "plain", "fields": {"value": "v"}}'
    items = found(f"{good}\n{line}\n{good}", "jsonl")
    assert problems(items) == [f"line 2: {problem}"] and len(items) == 3


def test_an_endless_line_is_cut_off_and_the_next_one_is_read() -> None:
    """A line beyond the limit costs no more memory than the limit."""
    good = '{"name": "good", "type": "plain", "fields": {"value": "v"}}'
    items = found(f"{good}\n{'x' * (3 * json_lines.LINE_MAX_BYTES)}\n{good}")
    assert problems(items) == [f"line 2: is longer than {json_lines.LINE_MAX_BYTES} bytes"] and len(items) == 3


@pytest.mark.parametrize(
    ("name", "problem"),
    [(" a", "white space"), ("", "is empty"), ("a\x1bb", "control"), ("a\u202eb", "control"), ("x" * 257, "256 bytes")],
)
def test_a_name_that_the_agent_would_refuse_is_a_problem(name: str, problem: str) -> None:
    """Otherwise one name would make the whole batch fail; the problem's text is safe to print."""
    items = found(json.dumps({"name": name, "type": "plain", "fields": {"value": "v"}}))
    assert len(items) == 1 and isinstance(items[0], ImportProblem)
    assert problem in items[0].problem and items[0].where.isprintable()


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("nothing", {}, "type is not one of"),
        ("plain", {}, "value is missing"),
        ("plain", {"value": "v", "other": "w"}, "other is not a field of plain"),
        ("plain", {"value": "x" * (256 * 1024 + 1)}, "longer than"),
        ("plain", {"value": {"base64": "/w=="}}, "is not UTF-8"),
    ],
)
def test_a_secret_that_the_agent_would_refuse_is_a_problem(kind: str, fields: dict[str, Any], problem: str) -> None:
    """Unknown types and fields, missing ones, too much, no text."""
    (text,) = problems(found(json.dumps({"name": "a", "type": kind, "fields": fields})))
    assert problem in text and "xxx" not in text


# --- .env --------------------------------------------------------------------------------------------------------------


def test_a_dotenv_file_becomes_plain_secrets() -> None:
    """Quotes, export, comments, the last of a repeated name; told by content or by name."""
    text = "# comment\nexport TOKEN='a b'\nURL=https://x # not this\nEMPTY=\nTOKEN=last\n"
    assert source(text).format == "dotenv"
    items = found(text)
    told = [(item.where, item.problem) for item in items if isinstance(item, ImportProblem)]
    assert told == [("line 2", "TOKEN comes again in line 5, which counts")]
    assert secrets(items) == {
        "TOKEN": ("plain", {"value": "last"}),
        "URL": ("plain", {"value": "https://x"}),
        "EMPTY": ("plain", {"value": ""}),
    }


def test_lines_of_a_dotenv_file_that_are_no_assignments_are_told() -> None:
    """By their numbers alone; comments, empty lines and values of several lines are none of them."""
    text = "\ufeffA=1\r\n\r\n  # comment\nexport B\nhush hush\nC='one\ntwo'\nD=\"open\nsecond\n"
    items = found(text)
    told = [item for item in items if isinstance(item, ImportProblem)]
    assert [problem.where for problem in told] == ["line 4", "line 5", "line 9"]
    assert not any("hush" in problem.problem for problem in told)
    assert set(secrets([item for item in items if item not in told])) == {"A", "C", "D"}


def test_values_that_only_another_program_understands_are_told() -> None:
    """Ciphertext of dotenvx is left out, a reference to 1Password is taken; what merely looks alike is a value."""
    items = found("A=encrypted:BLBCdx==\nB=op://a/b/c\nC='not encrypted:x'\nD=xop://\nA2=\"encrypted:BLB\"\n")
    told = {item.where: item.skipped for item in items if isinstance(item, ImportProblem)}
    assert told == {"A": True, "A2": True, "B": False}
    assert set(secrets([item for item in items if not isinstance(item, ImportProblem)])) == {"B", "C", "D"}


def test_a_dotenv_file_that_is_no_text_is_refused_as_a_whole(tmp_path: Path) -> None:
    """By its name it is .env, so the reason is told."""
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(ImportRefused, match="line 1: is not UTF-8"):
        list(open_source(str(tmp_path / ".env"), io.BytesIO()).items)


# --- Photosphere -------------------------------------------------------------------------------------------------------

PEM = "-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----\n"
S3 = {"region": "eu", "accessKeyId": "AK", "secretAccessKey": "SK", "endpoint": "https://e"}
PHOTOSPHERE = [
    {"name": "db:1:s3", "type": "s3-credentials", "value": json.dumps(S3)},
    {"name": "old/s3", "type": "s3-credentials", "value": json.dumps({"accessKeyId": "AK", "secretAccessKey": "SK"})},
    {"name": "key", "type": "encryption-key", "value": PEM},
    {"name": "pair", "type": "key-pair", "value": json.dumps({"privateKey": PEM, "publicKey": "PUB"})},
    {"name": "both", "type": "encryption-key", "value": json.dumps({"privateKeyPem": PEM, "publicKeyPem": ""})},
    {"name": "cli:geocoding", "type": "api-key", "value": "{not json"},
    {"name": "json-key", "type": "api-key", "value": json.dumps({"apiKey": "k"})},
    {"name": "word", "type": "password", "value": "p"},
    {"name": "bad", "type": "s3-credentials", "value": "[]"},
]
EXPECTED = {
    "db:1:s3": ("s3-credentials", S3),
    "old/s3": ("s3-credentials", {"region": "", "accessKeyId": "AK", "secretAccessKey": "SK"}),
    "key": ("encryption-key", {"privateKeyPem": PEM}),
    "pair": ("encryption-key", {"privateKeyPem": PEM, "publicKeyPem": "PUB"}),
    "both": ("encryption-key", {"privateKeyPem": PEM}),
    "cli:geocoding": ("api-key", {"apiKey": "{not json"}),
    "json-key": ("api-key", {"apiKey": "k"}),
    "word": ("plain", {"value": "p"}),
}


@pytest.mark.parametrize("layout", ["one file", "a file each"])
def test_both_layouts_of_a_photosphere_vault_are_read(tmp_path: Path, layout: str) -> None:
    """vault.json by name, or percent-encoded files; the same secrets come out, and the bad one is named."""
    if layout == "one file":
        (tmp_path / "vault.json").write_text(json.dumps({one["name"]: one for one in PHOTOSPHERE}, indent=2))
    else:
        for one in PHOTOSPHERE:
            (tmp_path / (one["name"].replace("/", "%2F").replace(":", "%3A") + ".json")).write_text(json.dumps(one))
        (tmp_path / "zz.json").write_text("{")
    opened = open_source(str(tmp_path), io.BytesIO())
    items = list(opened.items)
    assert opened.format == "photosphere" and secrets(items) == EXPECTED
    assert problems(items)[0] == "bad: its value is not JSON of S3 credentials"


def test_what_is_no_file_in_a_photosphere_vault_is_a_problem(tmp_path: Path) -> None:
    """A FIFO, which nobody will ever write to, and a folder, both with the right kind of name."""
    (tmp_path / "geo.json").write_text(json.dumps(PHOTOSPHERE[2]))
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "sub.json").mkdir()
    assert problems(list(open_source(str(tmp_path), io.BytesIO()).items)) == [
        "pipe.json: is not a secret",
        "sub.json: is not a secret",
    ]
    (tmp_path / "geo.json").unlink()
    with pytest.raises(ImportRefused):
        open_source(str(tmp_path), io.BytesIO())


def test_a_photosphere_file_is_told_without_its_folder(tmp_path: Path) -> None:
    """vault.json itself, one secret's file, and either from standard input."""
    whole = json.dumps({one["name"]: one for one in PHOTOSPHERE})
    assert source(whole).format == source(json.dumps(PHOTOSPHERE[2])).format == "photosphere"
    assert secrets(found(whole)) == EXPECTED
    (tmp_path / "vault.json").write_text(whole)
    assert secrets(list(open_source(str(tmp_path / "vault.json"), io.BytesIO()).items)) == EXPECTED


# --- Bitwarden ---------------------------------------------------------------------------------------------------------

BITWARDEN: dict[str, Any] = {
    "encrypted": False,
    "folders": [{"id": "f", "name": "Work"}],
    "items": [
        {"type": 1, "name": "Shop", "notes": "remember", "fields": [{"name": "pin", "value": "1234", "type": 1}],
         "login": {"username": "u", "password": "p", "totp": "otpauth://x", "uris": [{"uri": "https://a"}, {"uri": "https://b"}]}},
        {"type": 1, "name": "Shop", "login": {"username": "v", "password": None, "uris": None}},
        {"type": 2, "name": "Memo", "notes": "line\nline", "secureNote": {"type": 0}},
        {"type": 3, "name": "Visa", "card": {"brand": "Visa", "number": "4111", "code": None}, "notes": "blue"},
        {"type": 4, "name": "Me", "identity": {"firstName": "Ada"}},
        {"type": 5, "name": "box", "sshKey": {"privateKey": "PRIV", "publicKey": "PUB", "keyFingerprint": "SHA"}},
        {"type": 1, "name": "Gone", "deletedDate": "2024-01-01", "login": {}},
        {"type": 9, "name": "New"},
        {"type": 1},
    ],
}  # fmt: skip


def test_a_bitwarden_export_becomes_logins_notes_and_keys() -> None:
    """Same names get the user's name in brackets; notes, fields and further addresses become a note beside the login."""
    text = json.dumps(BITWARDEN, indent=2)
    items = found(text)
    assert source(text).format == "bitwarden"
    assert secrets(items) == {
        "Shop": ("login", {"username": "u", "password": "p", "url": "https://a", "totp": "otpauth://x"}),
        "Shop (notes)": ("note", {"value": "url: https://b\npin: 1234\nremember"}),
        "Shop (v)": ("login", {"username": "v", "password": ""}),
        "Memo": ("note", {"value": "line\nline"}),
        "Visa": ("note", {"value": "brand: Visa\nnumber: 4111\nblue"}),
        "Me": ("note", {"value": "firstName: Ada"}),
        "box": ("ssh-key", {"privateKey": "PRIV", "publicKey": "PUB"}),
    }
    assert problems(items) == ["Gone: is in the trash", "New: is of a kind that is not known", "item 9: is not an item"]


class Counted(dict[str, int]):
    """Counts how often it is asked."""

    asked = 0

    def __contains__(self, key: object) -> bool:
        self.asked += 1
        return super().__contains__(key)


def test_many_items_of_one_name_get_a_number_each_without_a_search() -> None:
    """Names that another item has of itself are passed over."""
    taken = Counted({"a (3)": 2})
    assert [free_name("a", taken) for _ in range(4)] == ["a", "a (2)", "a (4)", "a (5)"]
    assert [free_name("a", taken, "me") for _ in range(2)] == ["a (me)", "a (6)"]
    names = {free_name("b", taken) for _ in range(1000)}
    assert len(names) == 1000
    assert taken.asked < 4000


def test_an_encrypted_export_is_refused_with_what_to_do() -> None:
    """Its items cannot be read; the hint names the right export."""
    with pytest.raises(ImportRefused, match="is encrypted") as caught:
        found('{"encrypted": true, "data": "x"}')
    assert ".json" in caught.value.hint
