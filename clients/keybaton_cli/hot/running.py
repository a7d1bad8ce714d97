"""`keybaton run` in its usual form: a project without a schema, values into the environment, exec.

A `keybaton.toml` that says more than a vault, a name and aliases, and options that need more, are for the complete form.
"""

import posix

from keybaton_cli.hot import agent, answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keybaton_client.unary import Channel

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
    vault, aliases = project
    name = environment or posix.environ.get(b"KEYBATON_ENV", b"").decode(errors="replace") or "default"
    channel = _asked(vault, aliases.get(name, name), socket)
    from keybaton_cli.hot.executing import become, merged

    variables = _variables(channel)
    encoded = [word.encode("utf-8", "surrogateescape") for word in command]
    return become(encoded, merged(posix.environ, variables, {}, {name.encode() for name in allowed}, override))


def fetched(vault: str, environment: str, socket: str) -> dict[bytes, bytes]:
    """The variables of an environment; an empty `socket` is the usual one. ClientError."""
    return _variables(_asked(vault, environment, socket))


def _asked(vault: str, environment: str, socket: str) -> "Channel":
    channel = agent([socket] if socket else None, b"run")
    from keybaton_client.requests import GET_ENVIRONMENT, environment_request

    channel.send(GET_ENVIRONMENT, environment_request(vault, environment), ANSWER_SECONDS)
    return channel


def _variables(channel: "Channel") -> dict[bytes, bytes]:
    from keybaton_client.answers import environment_answer

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


def _project() -> tuple[str, dict[str, str]] | None:
    """Vault id and aliases of the nearest keybaton.toml, when it is there and as plain as `env init` makes it."""
    folder = posix.getcwdb()
    for _ in range(_PARENTS_MAX):
        try:
            # O_NONBLOCK: what bears that name might be a FIFO.
            file = posix.open(
                folder.rstrip(b"/") + b"/keybaton.toml", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK
            )
        except OSError:
            if folder == b"/":
                return None
            folder = folder.rpartition(b"/")[0] or b"/"
            continue
        try:
            status = posix.fstat(file)
            if status.st_mode & 0o170000 != 0o100000 or status.st_size > _FILE_MAX:
                return None
            return _plain(posix.read(file, status.st_size))
        finally:
            posix.close(file)
    return None


def _plain(data: bytes) -> tuple[str, dict[str, str]] | None:
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
    return vault, {alias.decode(): environment for alias, environment in aliases.items()}


def _bare(key: bytes) -> bool:
    return bool(key) and key.replace(b"-", b"").replace(b"_", b"").isalnum() and key.isascii()
