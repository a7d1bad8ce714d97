"""The commands that people and scripts call all the time, without click, grpcio or anything else that starts slowly.

`run` serves their plain forms. Whatever is unusual about a command line, it answers None before anything has been read
or sent, and click serves it with the same words and exit codes. What is not needed to connect is loaded once that is
done, and what is not needed to send a request once it is sent: while the agent works, it takes no time.
"""

import gc
import posix
import sys

from keybaton_hot.unary import GET_ITEM, LIST_ITEMS, Channel, connect, get_request, list_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Answer = TypeVar("Answer")

READ_SECONDS = 5.0
WRITE_SECONDS = 30.0
_CONNECT_SECONDS = 2.0
_STARTED_SECONDS = 5.0  # an agent that was just started may be fetching its key
_SOCKET_PATH_MAX = 107


def main() -> None:
    """Serves this process's command line, and ends the process."""
    try:
        _serve()
    except KeyboardInterrupt as interrupted:  # while modules were read; from then on each command line takes it itself
        from keybaton_hot.failing import failed

        posix._exit(failed(interrupted, sys.argv[1:]))


def _serve() -> None:
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        from keybaton_cli.closed_streams import fill

        fill()
    gc.disable()  # a hot command is over before there is garbage worth looking for
    code = run(sys.argv[1:])
    if code is not None:
        posix._exit(code)  # nothing is buffered, and the interpreter's own end takes a millisecond
    if sys.flags.no_site:
        import site

        del sys.path[0]  # which `__main__` has put there
        site.main()  # the virtual environment, its prefix and its .pth files
    from keybaton_cli.cli import main as complete

    gc.freeze()  # modules stay
    gc.enable()
    code = complete()
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said: Ctrl-C now would only make the interpreter's end noisy
    sys.exit(code)


def run(arguments: list[str]) -> int | None:
    """The exit code of a hot command line (without the program's name), or None when it is not one."""
    words = arguments[:2]
    try:
        if words[:1] == ["get"]:
            return _get(arguments[1:])
        if words == ["secrets", "list"]:
            return _list(arguments[2:])
        if words == ["secrets", "add"]:
            from keybaton_hot.adding import add_secret

            return add_secret(arguments[2:])
        if words == ["secrets", "import"]:
            from keybaton_hot.importing import import_file

            return import_file(arguments[2:])
        if words[:1] == ["run"]:
            from keybaton_hot.running import run_command

            return run_command(arguments[1:])
        if words[:1] == ["helper"]:
            from keybaton_cli.helpers import serve

            return serve(arguments[1:])
        return None
    except (Exception, KeyboardInterrupt) as error:
        from keybaton_hot.failing import failed

        return failed(error, arguments)


def parsed(
    arguments: list[str], single: tuple[str, ...] = (), repeated: tuple[str, ...] = (), flags: tuple[str, ...] = ()
) -> dict[str, list[str]] | None:
    """Values by option (of a flag: none), positional ones under "". None for all that is not plainly as expected."""
    single = (*single, "--socket")
    found: dict[str, list[str]] = {"": []}
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("-"):
            found[""].append(word)
            continue
        option, equals, value = word.partition("=")
        if option in flags and not equals:
            found[option] = []
            continue
        if option not in repeated and (option not in single or option in found):
            return None
        if not equals:
            value = next(rest, "")
        if not value or value.startswith("-"):
            return None
        found.setdefault(option, []).append(value)
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:  # bytes that are no text: click says which
        return None
    return found


def agent(option: list[str] | None, client: bytes = b"cli") -> Channel:
    """A channel to the agent, which is started when none listens. `option` holds the value of `--socket`.

    `client` is what the log of reads calls this program.
    """
    path = option[0] if option else default_socket()
    if path.startswith("/") and len(path.encode(errors="surrogateescape")) <= _SOCKET_PATH_MAX:
        try:
            return connect(path, _CONNECT_SECONDS, client)
        except OSError:
            pass  # looked into, said in words or made good by what follows
    import os

    from keybaton_client.locate import listening, socket_path
    from keybaton_client.start import ensure_agent

    named = option[0] if option else ""
    ran = listening(socket_path(os.environ, named))
    try:
        channel = connect(ensure_agent(os.environ, named), _CONNECT_SECONDS, client)
    except OSError:
        from keybaton_client.problem import ClientError

        raise ClientError("NO_AGENT", "The agent cannot be reached.") from None
    if not ran:
        channel.patience = _STARTED_SECONDS
    return channel


def default_socket() -> str:
    """Where `keybaton_client.locate` would look, for the usual environments; "" where it has to be asked."""
    chosen = posix.environ.get(b"KEYBATON_SOCKET", b"")
    if not chosen:
        runtime = posix.environ.get(b"XDG_RUNTIME_DIR", b"")
        chosen = runtime.rstrip(b"/") + b"/keybaton/agent.sock" if runtime.startswith(b"/") else b""
    return chosen.decode(errors="surrogateescape")


def write(data: bytes) -> None:
    """All of `data` on standard output."""
    view = memoryview(data)
    while view:
        try:
            view = view[posix.write(1, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            from keybaton_client.problem import ClientError

            raise ClientError("STORAGE_FAILED", f"Standard output cannot be written: {error.strerror}.") from None


def call(
    channel: Channel, method: str, request: bytes, decode: "Callable[[bytes], Answer]", timeout: float
) -> "Answer":
    """One call, its answer decoded. Raises ClientError."""
    channel.send(method, request, timeout)
    return answer(channel, decode)


def answer(channel: Channel, decode: "Callable[[bytes], Answer]") -> "Answer":
    """What came back on what was sent, decoded. Raises ClientError."""
    from keybaton_hot.answers import WireError

    try:
        return decode(channel.answer())
    except WireError:
        from keybaton_client.problem import ClientError

        raise ClientError("PROTOCOL", "What answers on the socket is no Keybaton agent.") from None


def _get(arguments: list[str]) -> int | None:
    options = parsed(arguments, ("--field",))
    if options is None or len(options[""]) != 1:
        return None
    channel = agent(options.get("--socket"))
    channel.send(GET_ITEM, get_request(options[""][0], options.get("--field", [""])[0]), READ_SECONDS)
    from keybaton_hot.answers import get_answer

    try:
        value = answer(channel, get_answer)
    except Exception as error:
        if getattr(error, "reason", "") == "NOT_FOUND":
            return None  # click's form of the command looks for the nearest name
        raise
    write(value + b"\n")
    return 0


def _list(arguments: list[str]) -> int | None:
    options = parsed(arguments, flags=("--json",))
    if options is None or options[""]:
        return None
    in_table = "--json" not in options and posix.isatty(1)
    if in_table and sys.stdout.encoding != "utf-8":
        return None
    channel = agent(options.get("--socket"))
    channel.send(LIST_ITEMS, list_request(), READ_SECONDS)
    from keybaton_hot.listing import show

    return show(channel, json="--json" in options, in_table=in_table)
