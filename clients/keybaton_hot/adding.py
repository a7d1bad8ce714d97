"""`keybaton secrets add` in its scripted forms: a value on standard input, or each from a descriptor."""

import posix

from keybaton_hot import WRITE_SECONDS, agent, answer, parsed, write
from keybaton_hot.unary import CREATE, PUT_ITEM, put_request

# Fields that a type needs, as in `secret_types` (a test compares them); a type with one field takes it on standard input.
NEEDED = {
    "s3-credentials": ("region", "accessKeyId", "secretAccessKey"),
    "encryption-key": ("privateKeyPem",),
    "api-key": ("apiKey",),
    "plain": ("value",),
    "login": ("username", "password"),
    "token": ("value",),
    "ssh-key": ("privateKey",),
    "note": ("value",),
    "file": ("name", "content"),
}
ONE_FIELD = ("api-key", "plain", "token", "note")
_VALUE_MAX = 256 * 1024 + 2  # bytes; the agent takes 256 KiB, more is read only to be refused


def add_secret(arguments: list[str]) -> int | None:
    """Stores a secret whose fields come from descriptors; None for every form that asks, warns or refuses."""
    options = parsed(arguments, ("--type",), ("--field-fd",))
    if options is None or len(options[""]) != 1:
        return None
    kind = options.get("--type", [""])[0]
    sources = _sources(kind, options.get("--field-fd", []))
    if sources is None:
        return None
    name = options[""][0]
    read = {key: _read(number) for key, number in sources.items()}
    if "--field-fd" not in options and not any(read.values()):
        return None  # an empty standard input is refused; it is as empty for whoever reads it again
    fields = {key: value[:-1] if value.endswith(b"\n") else value for key, value in read.items()}
    if kind == "encryption-key":
        _look_at(fields)
    channel = agent(options.get("--socket"))
    channel.send(PUT_ITEM, put_request(name, kind, fields, CREATE), WRITE_SECONDS)
    from keybaton_hot.answers import put_answer

    stored, _ = answer(channel, put_answer)
    if not stored.isprintable():
        from keybaton_cli.output import printable

        stored = printable(stored)
    write(f"Stored {stored}.\n".encode())
    return 0


def _look_at(fields: dict[str, bytes]) -> None:
    """Warns of a key that is none."""
    from keybaton_cli.secret_types import doubt

    odd = doubt(fields)
    if odd:
        from keybaton_cli.output import warn

        warn(odd)


def _sources(kind: str, described: list[str]) -> dict[str, int] | None:
    """Descriptor by field; None unless every needed field has one that is open."""
    if kind not in NEEDED:
        return None
    sources: dict[str, int] = {}
    for text in described:
        key, _, number = text.partition("=")
        if not (number.isascii() and number.isdigit() and len(number) < 6) or key in sources or not _open(int(number)):
            return None
        sources[key] = int(number)
    if not described and kind in ONE_FIELD and _open(0) and not _character_device(0):
        sources[NEEDED[kind][0]] = 0
    return sources if all(key in sources for key in NEEDED[kind]) else None


def _open(number: int) -> bool:
    try:
        posix.fstat(number)
    except OSError:
        return False
    return True


def _character_device(number: int) -> bool:
    """A terminal or /dev/null: nobody gave input."""
    return posix.fstat(number).st_mode & 0o170000 == 0o020000


def _read(number: int) -> bytes:
    """Everything from a descriptor up to the limit."""
    data = bytearray()
    while len(data) < _VALUE_MAX:
        try:
            piece = posix.read(number, min(65_536, _VALUE_MAX - len(data)))
        except OSError as error:
            from keybaton_client.problem import ClientError

            said = f"--field-fd: file descriptor {number} cannot be read: {error.strerror}."
            raise ClientError("USAGE", said, "In a shell, `--field-fd 3 3<file` opens one.") from None
        if not piece:
            break
        data += piece
    return bytes(data)
