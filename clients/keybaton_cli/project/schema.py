"""What a project's variables must look like, and whether they do. Findings never show a secret's value.

Checked in this order, the first failure counts: missing or empty (the default steps in, or it is required); format; pattern;
enumeration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

BOOLEANS = ("true", "false", "1", "0", "yes", "no")
# RFC 1123, 2.1: labels of letters, digits and hyphens; RFC 1035: 63 and 253 octets.
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
HOSTNAME_MAX = 253
_EMAIL_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", re.ASCII)  # the atoms of RFC 5322, 3.2.3
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


def _is_hostname(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    return len(text) <= HOSTNAME_MAX and all(_LABEL.fullmatch(label) for label in labels)


def _is_ip(text: str) -> bool:
    import ipaddress  # few have such a rule, and a program's start waits for it

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_url(text: str) -> bool:
    if any(character.isspace() or not character.isprintable() for character in text):
        return False
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for a port out of range
    except ValueError:
        return False
    return bool(parts.scheme) and bool(parts.netloc)


def _is_email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(at) and bool(_EMAIL_LOCAL.fullmatch(local)) and _is_hostname(domain)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


_SLOW = "takes too long to hold against its pattern, in which no repeat may stand within a repeat"


class Format(NamedTuple):
    """A named form of value and the words for it."""

    accepts: Callable[[str], bool]
    words: str


FORMATS: Mapping[str, Format] = {
    "url": Format(_is_url, "a URL with scheme and host"),
    "port": Format(_is_port, "a port from 1 to 65535"),
    "email": Format(_is_email, "an e-mail address"),
    "boolean": Format(lambda text: text.lower() in BOOLEANS, "one of " + ", ".join(BOOLEANS)),
    "integer": Format(lambda text: bool(_INTEGER.fullmatch(text)), "an integer"),
    "hostname": Format(_is_hostname, "a host name"),
    "ip": Format(_is_ip, "an IPv4 or IPv6 address"),
}


class Rule(NamedTuple):
    """`[schema.NAME]`: what one variable must look like."""

    name: str
    required: bool = False
    format: str | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    default: str | None = None
    secret: bool = True
    client: bool = False
    description: str = ""


class Finding(NamedTuple):
    """One violation. `value` is shown only for a variable that the schema declares not secret."""

    name: str
    problem: str
    value: str | None = None

    def __str__(self) -> str:
        shown = f" (is {self.value!r})" if self.value is not None else ""
        return f"{self.name} {self.problem}{shown}"


class Checked(NamedTuple):
    """The outcome for one environment: every violation, and the defaults that step in."""

    findings: tuple[Finding, ...]
    defaults: Mapping[str, str] = MappingProxyType({})


def problems(pairs: Sequence[tuple[Rule, str]]) -> list[str | None]:
    """Why each non-empty value does not fit its rule, in words that may follow the name; None where it does."""
    found: list[str | None] = [
        None if rule.format is None or FORMATS[rule.format].accepts(value) else f"is not {FORMATS[rule.format].words}"
        for rule, value in pairs
    ]
    patterned = [
        (at, rule.name, rule.pattern, value)
        for at, (rule, value) in enumerate(pairs)
        if rule.pattern is not None and found[at] is None
    ]
    if patterned:
        from keybaton_cli.project.matching import matched  # as above

        answers = matched([(pattern, value) for _, _, pattern, value in patterned])
        for (at, _, pattern, _), answer in zip(patterned, answers, strict=False):
            if answer is not True:
                found[at] = f"does not match the pattern {pattern}"
        slow = patterned[len(answers) :]
        for at, name, pattern, _ in slow:
            known = name == slow[0][1]
            found[at] = (
                f"{_SLOW}: {pattern}" if known else f"was not held against its pattern: that of {slow[0][1]} is slow"
            )
    for at, (rule, value) in enumerate(pairs):
        if found[at] is None and rule.enum and value not in rule.enum:
            found[at] = "is not one of " + ", ".join(rule.enum)
    return found


def check(rules: Mapping[str, Rule], values: Mapping[str, str]) -> Checked:
    """Holds `values` against `rules`. Variables without a rule are free."""
    findings = []
    present = [(rule, values[rule.name]) for rule in rules.values() if values.get(rule.name)]
    fits = dict(zip((rule.name for rule, _ in present), problems(present), strict=True))
    for rule in rules.values():
        problem = fits.get(rule.name)
        if problem is not None:
            findings.append(Finding(rule.name, problem, None if rule.secret else values[rule.name]))
        elif rule.name not in fits and rule.required and rule.default is None:
            findings.append(Finding(rule.name, "is required and " + ("empty" if rule.name in values else "not set")))
    return Checked(tuple(findings), defaults(rules, values))


def misfits(rules: Mapping[str, Rule], values: Mapping[str, str]) -> tuple[Finding, ...]:
    """Which of `values` do not fit; what is required and not among them is no matter."""
    return check({name: rules[name] for name in values if name in rules}, values).findings


def defaults(rules: Mapping[str, Rule], values: Mapping[str, str]) -> dict[str, str]:
    """What steps in for variables that are missing or empty."""
    return {
        rule.name: rule.default for rule in rules.values() if rule.default is not None and not values.get(rule.name)
    }
