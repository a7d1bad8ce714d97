"""`keybaton run` in its usual form: values into the environment, exec.

A `keybaton.toml` that says no more than a vault, a name and aliases is read here, any other by `keybaton_cli.project`.
Options that need more, and files with something wrong in them, are for the complete form.
"""

import posix

from keybaton_hot import agent, answer
from keybaton_hot.unary import GET_ENVIRONMENT, environment_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from keybaton_cli.project.schema import Rule
    from keybaton_hot.unary import Channel

    Project = tuple[str, Mapping[str, str], Mapping[str, Rule]]  # vault id, aliases, schema

ANSWER_SECONDS = 0.9  # a program's start is never held up for longer than a second by an agent that hangs
_FILE_MAX = 256 * 1024  # bytes, as in `keybaton_cli.project.file`
_PARENTS_MAX = 64
_HEX = b"0123456789abcdef"


def run_command(arguments: list[str]) -> int | None:
    """Becomes the program; returns only None, for what click has to serve. ClientError."""
    options = _parsed(arguments)
    if options is None:
        return None
    environment, allowed, override, socket, command = options
    project = _project()
    if project is None:
        return None
    vault, aliases, rules = project
    name = environment or posix.environ.get(b"KEYBATON_ENV", b"").decode(errors="replace") or "default"
    name = aliases.get(name, name)
    channel = _asked(vault, name, socket)
    from keybaton_hot.executing import become, merged

    variables = _variables(channel)
    defaults = {}
    if rules:
        from keybaton_cli.project.checking import checked_defaults

        defaults = checked_defaults(rules, name, variables, override=override)
    encoded = [word.encode("utf-8", "surrogateescape") for word in command]
    return become(encoded, merged(posix.environ, variables, defaults, {name.encode() for name in allowed}, override))


def fetched(vault: str, environment: str, socket: str) -> dict[bytes, bytes]:
    """The variables of an environment; an empty `socket` is the usual one. ClientError."""
    return _variables(_asked(vault, environment, socket))


def _asked(vault: str, environment: str, socket: str) -> "Channel":
    channel = agent([socket] if socket else None, b"run")
    channel.send(GET_ENVIRONMENT, environment_request(vault, environment), ANSWER_SECONDS)
    return channel


def _variables(channel: "Channel") -> dict[bytes, bytes]:
    from keybaton_hot.answers import environment_answer

    variables = answer(channel, environment_answer)
    channel.close()
    return variables


def _parsed(arguments: list[str]) -> tuple[str, list[str], bool, str, list[str]] | None:
    """Environment, allowed names, override, socket, command; None for other options or no command."""
    single = {"--env": "", "--socket": ""}
    allowed = []
    override = False
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        option, equals, value = arguments[at].partition("=")
        at += 1
        if option == "--" and not equals:
            break
        if option == "--override" and not equals:
            override = True
            continue
        if option not in single and option != "--allow":
            return None
        if not equals:
            if at == len(arguments):
                return None
            value = arguments[at]
            at += 1
        if not value or not value.isascii() or value.startswith("-") or single.get(option):
            return None
        if option == "--allow":
            allowed.append(value)
        else:
            single[option] = value
    command = arguments[at:]
    return (single["--env"], allowed, override, single["--socket"], command) if command and command[0] else None


def _project() -> "Project | None":
    """What the nearest keybaton.toml says, when it is there and nothing is wrong with it."""
    try:
        folder = posix.getcwdb()
    except OSError:  # it has been removed
        return None
    for _ in range(_PARENTS_MAX):
        try:
            # O_NONBLOCK: what bears that name might be a FIFO.
            path = folder.rstrip(b"/") + b"/keybaton.toml"
            file = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        except OSError:
            if folder == b"/":
                return None
            folder = folder.rpartition(b"/")[0] or b"/"
            continue
        try:
            status = posix.fstat(file)
            if status.st_mode & 0o170000 != 0o100000 or status.st_size > _FILE_MAX:
                return None
            data = posix.read(file, status.st_size)
        finally:
            posix.close(file)
        return _plain(data) or _described(path, data)
    return None


def _described(path: bytes, data: bytes) -> "Project | None":
    """Reads all that the file may say. To load what that takes is as long as starting Python once and a half again."""
    from keybaton_cli.project.file import ProjectRefused, parse

    try:
        project = parse(path.decode(errors="surrogateescape"), data)
    except ProjectRefused:
        return None
    return project.vault, project.aliases, project.rules


def _plain(data: bytes) -> "Project | None":
    """Reads the part of TOML that needs no reader: `key = "value"` lines without escapes, at the top and in [aliases]."""
    top: dict[bytes, str] = {}
    aliases: dict[bytes, str] = {}
    table = top
    for line in data.split(b"\n"):
        line = line.strip(b" \t\r")
        if not line or line.startswith(b"#"):
            continue
        if line == b"[aliases]" and table is top:
            table = aliases
            continue
        key, equals, value = line.partition(b"=")
        key, value = key.rstrip(b" \t"), value.strip(b" \t")
        text = value[1:-1]
        if not equals or not _bare(key) or key in table or len(value) < 2 or value[:1] != b'"' or value[-1:] != b'"':
            return None
        if b'"' in text or b"\\" in text or not text.isascii() or not text.decode().isprintable():
            return None
        if table is top and key not in (b"vault", b"name"):
            return None
        table[key] = text.decode()
    vault = top.get(b"vault", "")
    if len(vault) != 32 or vault.encode().strip(_HEX):
        return None
    return vault, {alias.decode(): environment for alias, environment in aliases.items()}, {}


def _bare(key: bytes) -> bool:
    return bool(key) and key.replace(b"-", b"").replace(b"_", b"").isalnum() and key.isascii()
