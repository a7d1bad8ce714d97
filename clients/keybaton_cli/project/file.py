"""Finds, reads and writes `keybaton.toml`; every complaint names file, line and what was expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from keybaton_cli.project.schema import FORMATS, Rule, problems

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "keybaton.toml"
FILE_MAX_BYTES = 256 * 1024
# The reader of TOML walks the parts of a table's name for each of its keys: thousands of both take minutes.
HEADER_MAX_CHARACTERS = 300
KEY_MAX_DOTS = 100  # for the same reason, also of a key in an inline table
PARENTS_MAX = 64
_VAULT_ID = re.compile(r"[0-9a-f]{32}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ENVIRONMENT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_RULE_KEYS = ("required", "format", "pattern", "enum", "default", "secret", "client", "description")


class ProjectRefused(ValueError):
    """A `keybaton.toml` cannot be used. The text is "FILE:LINE: what was expected"."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


def variable_name(text: str) -> bool:
    """Whether `text` can be the name of a variable."""
    return bool(_VARIABLE.fullmatch(text))


def environment_name(text: str) -> bool:
    """Whether `text` can be the name of an environment."""
    return bool(_ENVIRONMENT.fullmatch(text))


class Project(NamedTuple):
    """A read `keybaton.toml`. `aliases` maps short names to environments; `rules` the schema by variable."""

    path: str
    vault: str
    name: str = ""
    aliases: Mapping[str, str] = MappingProxyType({})
    rules: Mapping[str, Rule] = MappingProxyType({})

    def environment(self, name: str) -> str:
        """The environment that `name` or an alias means."""
        return self.aliases.get(name, name)


def find(start: Path) -> Path | None:
    """The nearest `keybaton.toml` in `start` or a folder above it, at most 64 levels up."""
    folder = start.absolute()
    for candidate in [folder, *folder.parents][:PARENTS_MAX]:
        path = candidate / FILE_NAME
        if path.is_file():
            return path
    return None


def read(path: Path) -> Project:
    """Reads and checks a file. Raises ProjectRefused; OSError where it cannot be opened."""
    with path.open("rb") as stream:
        data = stream.read(FILE_MAX_BYTES + 1)
    return parse(str(path), data)


def parse(path: str, data: bytes) -> Project:
    """The project that `data` describes; `path` is for messages. Raises ProjectRefused."""
    if len(data) > FILE_MAX_BYTES:
        raise ProjectRefused(path, 0, f"is longer than {FILE_MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ProjectRefused(path, data.count(b"\n", 0, error.start) + 1, "expected UTF-8 text") from None
    for at, content in enumerate(text.split("\n"), 1):
        if len(content) > HEADER_MAX_CHARACTERS and content.lstrip(" \t").startswith("["):
            raise ProjectRefused(path, at, f"expected the name of a table within {HEADER_MAX_CHARACTERS} characters")
        keys = [] if content.lstrip(" \t").startswith("#") else content.split("=")[:-1]
        if any(key.count(".") > KEY_MAX_DOTS for key in keys):
            raise ProjectRefused(path, at, f"expected at most {KEY_MAX_DOTS} dots before a =")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own is a ValueError; too many digits raise a plain one
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise ProjectRefused(path, line, f"expected TOML: {str(error).split(' (at ')[0]}") from None
    return _Reader(path, text).project(document)


class _Reader:
    """Turns a parsed document into a Project and finds the line of what is wrong."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()

    def refuse(self, problem: str, *, table: str = "", key: str = "") -> ProjectRefused:
        return ProjectRefused(self.path, self.line(table, key), problem)

    def line(self, table: str, key: str) -> int:
        """Where `key` stands in `[table]`, or the table itself; 0 when neither can be found."""
        at = 0
        inside = table == ""
        for number, line in enumerate(self.lines, 1):
            header, closed, _ = line.lstrip().lstrip("[").partition("]")
            if closed and line.lstrip().startswith("["):
                inside = header.replace('"', "").replace(" ", "") == table
                at = number if inside else at
            elif inside and key and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", line):
                return number
        return at

    def project(self, document: dict[str, object]) -> Project:
        for key in document:
            if key not in {"vault", "name", "aliases", "schema"}:
                at = key if not isinstance(document[key], dict) else ""
                table = "" if at else key
                raise self.refuse(f"unknown key {key!r}; expected vault, name, aliases or schema", table=table, key=at)
        vault = document.get("vault")
        if not isinstance(vault, str) or not _VAULT_ID.fullmatch(vault):
            raise self.refuse('expected vault = "…" with the vault\'s id of 32 hexadecimal digits', key="vault")
        name = document.get("name", "")
        if not isinstance(name, str):
            raise self.refuse("expected name to be text", key="name")
        return Project(
            self.path,
            vault,
            name,
            self.aliases(document.get("aliases", {})),
            self.rules(document.get("schema", {})),
        )

    def aliases(self, table: object) -> dict[str, str]:
        if not isinstance(table, dict):
            raise self.refuse("expected [aliases] to be a table", key="aliases")
        for alias, environment in table.items():
            for text in (alias, environment):
                if not isinstance(text, str) or not _ENVIRONMENT.fullmatch(text):
                    raise self.refuse(
                        'expected alias = "environment", both 1-64 of A-Z a-z 0-9 . _ -', table="aliases", key=alias
                    )
        return table

    def rules(self, table: object) -> dict[str, Rule]:
        if not isinstance(table, dict):
            raise self.refuse("expected [schema.NAME] tables", key="schema")
        rules = {name: self.rule(name, content) for name, content in table.items()}
        self.patterns([rule for rule in rules.values() if rule.pattern is not None])
        preset = [(rule, rule.default) for rule in rules.values() if rule.default is not None]
        for (rule, _), problem in zip(preset, problems(preset), strict=True):
            if problem is not None:
                at = f"schema.{rule.name}"
                raise self.refuse(f"the default of [{at}] {problem}", table=at, key="default")
        return rules

    def patterns(self, rules: Sequence[Rule]) -> None:
        """Refuses what is no regular expression, or takes too long to read."""
        if not rules:
            return
        from keybaton_cli.project.matching import matched  # few have such a rule, and a program's start waits for it

        answers = matched([(str(rule.pattern), None) for rule in rules])
        for at, rule in enumerate(rules):
            answer = answers[at] if at < len(answers) else "it takes too long to read"
            if answer is not True:
                table = f"schema.{rule.name}"
                problem = f"expected pattern in [{table}] to be a regular expression: {answer}"
                raise self.refuse(problem, table=table, key="pattern")

    def rule(self, name: str, content: object) -> Rule:
        table = f"schema.{name}"
        if not _VARIABLE.fullmatch(name):
            raise self.refuse("expected [schema.NAME] with a variable's name", table=table)
        if not isinstance(content, dict):
            raise self.refuse(f"expected [{table}] to be a table", table="schema", key=name)
        for key in content:
            if key not in _RULE_KEYS:
                raise self.refuse(
                    f"unknown key {key!r} in [{table}]; expected one of {', '.join(_RULE_KEYS)}", table=table, key=key
                )

        def typed(key: str, kind: type, words: str) -> object:
            value = content.get(key)
            if value is not None and (not isinstance(value, kind) or (kind is not bool and isinstance(value, bool))):
                raise self.refuse(f"expected {key} in [{table}] to be {words}", table=table, key=key)
            return value

        required, secret, client = (typed(key, bool, "true or false") for key in ("required", "secret", "client"))
        format_, pattern, default, description = (
            typed(key, str, "text") for key in ("format", "pattern", "default", "description")
        )
        enum = typed("enum", list, "a list of texts") or []
        assert isinstance(enum, list)
        if not all(isinstance(value, str) for value in enum):
            raise self.refuse(f"expected enum in [{table}] to be a list of texts", table=table, key="enum")
        if format_ is not None and format_ not in FORMATS:
            raise self.refuse(
                f"expected format in [{table}] to be one of {', '.join(FORMATS)}", table=table, key="format"
            )
        rule = Rule(
            name,
            required=bool(required),
            format=format_ if isinstance(format_, str) else None,
            pattern=pattern if isinstance(pattern, str) else None,
            enum=tuple(enum),
            default=default if isinstance(default, str) else None,
            secret=not client if secret is None else bool(secret),
            client=bool(client),
            description=str(description or ""),
        )
        if rule.client and rule.secret:
            raise self.refuse(
                f"[{table}] is both secret and client: a browser bundle is public", table=table, key="client"
            )
        if rule.default == "":
            raise self.refuse(f"the default of [{table}] is empty", table=table, key="default")
        return rule


def write(path: Path, vault: str, name: str) -> None:
    """Makes a new `keybaton.toml`. OSError; FileExistsError when there is one."""
    from keybaton_cli import whole_file  # `keybaton run` only reads

    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    text = (
        "# Which Keybaton vault holds this project's variables. Safe to commit: it holds no secret.\n"
        f'vault = "{vault}"\nname = {quoted}\n\n'
        '# Short names for environments:\n# [aliases]\n# prod = "production"\n\n'
        '# What a variable must look like:\n# [schema.DATABASE_URL]\n# required = true\n# format = "url"\n'
    )
    whole_file.write(path, text.encode(), 0o644)
