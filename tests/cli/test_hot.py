"""The hot commands against a real grpcio server: what they print, how they fail, and which modules they load."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

import keybaton_cli
from keybaton_api.agent.v1 import common_pb2, vault_pb2
from keybaton_cli import hot
from keybaton_cli.hot import adding
from keybaton_cli.secret_types import SECRET_TYPES
from keybaton_client.locate import default_socket
from keybaton_client.requests import BATCH_PUT, GET_ITEM, LIST_ITEMS, PUT_ITEM
from keybaton_testing.grpc_server import serving, short_folder
from keybatond.errors import KeybatonError, Reason
from keybatond.rpc.errors import wire_error

MAIN = Path(keybaton_cli.__file__).with_name("__main__.py")
SECONDS = 30

# Built in, frozen, or loaded by the interpreter itself before any line of ours runs.
_INTERPRETER = {
    *(
        "__main__",
        "_abc",
        "_codecs",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "_imp",
        "_io",
        "_signal",
        "_thread",
    ),
    *("_warnings", "_weakref", "abc", "builtins", "codecs", "encodings", "encodings.aliases", "encodings.utf_8", "io"),
    *("marshal", "posix", "sys", "time", "zipimport"),
    "linecache",  # 3.13 loads it for the code of `-c`, by which this test asks
}
_HOT = {
    *("_socket", "gc", "keybaton_cli", "keybaton_cli.hot", "keybaton_client", "keybaton_client.unary"),
    *("keybaton_client.requests", "keybaton_client.incoming", "keybaton_client.answers"),
}


@dataclass
class FakeVault:
    """A vault behind a real server; `failure` makes every call fail."""

    values: dict[tuple[str, str], bytes] = field(default_factory=dict)
    names: list[tuple[str, str, int]] = field(default_factory=list)
    stored: list[common_pb2.Item] = field(default_factory=list)
    failure: Reason | None = None
    page: int = 1000

    def _check(self, context: grpc.ServicerContext) -> None:
        if self.failure is not None:
            wire = wire_error(KeybatonError(self.failure))
            context.set_trailing_metadata(wire.trailing())
            context.abort(wire.status, wire.message)

    def get(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        request = vault_pb2.GetItemRequest.FromString(data)
        return vault_pb2.GetItemResponse(value=self.values[request.ref.name, request.field]).SerializeToString()

    def list(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        request = vault_pb2.ListItemsRequest.FromString(data)
        start = int(request.page_token or 0)
        chosen = self.names[start : start + self.page]
        more = str(start + self.page) if start + self.page < len(self.names) else ""
        items = [
            common_pb2.ItemSummary(
                ref=common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name),
                secret_type=kind,
                updated_at_ms=when,
                version=1,
            )
            for name, kind, when in chosen
        ]
        return vault_pb2.ListItemsResponse(items=items, next_page_token=more).SerializeToString()

    def put(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        item = vault_pb2.PutItemRequest.FromString(data).item
        self.stored.append(item)
        return vault_pb2.PutItemResponse(summary=common_pb2.ItemSummary(ref=item.ref)).SerializeToString()

    def batch(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        items = vault_pb2.BatchPutRequest.FromString(data).items
        self.stored += items
        return vault_pb2.BatchPutResponse(created=len(items)).SerializeToString()


@dataclass
class Device:
    """A server, what it holds, and the environment of a command that finds it."""

    vault: FakeVault
    env: dict[str, str]

    def run(self, *arguments: str, stdin: bytes | None = None, bare: bool = True, fds: tuple[int, ...] = ()) -> Ran:
        """One command in a process of its own; `bare` as the trampoline starts it, else always through click."""
        start = [sys.executable, "-IS", str(MAIN)] if bare else [sys.executable, "-c", _THROUGH_CLICK]
        given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(
            [*start, *arguments], env=self.env, capture_output=True, timeout=SECONDS, check=False, pass_fds=fds, **given
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@dataclass
class Ran:
    """What a command left."""

    code: int
    out: bytes
    err: bytes


_THROUGH_CLICK = "import sys; from keybaton_cli.cli import main; sys.exit(main())"

# Prints the loaded modules on standard error at the end, in a process started as the trampoline starts it.
_LISTING = """
import posix, sys
leave = posix._exit
def listed(code):
    posix.write(2, "\\n".join(sorted(sys.modules)).encode())
    leave(code)
posix._exit = listed
main = sys.argv.pop(1)
__file__ = main
exec(compile(open(main).read(), main, "exec"))
"""


@pytest.fixture
def device() -> Iterator[Device]:
    """A server with a few secrets at the usual place below XDG_RUNTIME_DIR."""
    vault = FakeVault(values={("token", ""): b"s3cret", ("s3", "region"): b"eu-1", ("näme", ""): "wörth\n".encode()})
    vault.names = [("ö", "note", 1), ("Zoo", "token", 1_700_000_000_123), ('we"ird\\', "plain", 1_700_000_001_000)]
    vault.names += [("alpha", "token", 1_700_000_000_123), ("Alpha", "token", 5)]
    with short_folder() as folder:
        Path(folder, "keybaton").mkdir(mode=0o700)
        env = {
            "XDG_RUNTIME_DIR": folder,
            "HOME": folder,
            "PATH": os.environ["PATH"],
            "TZ": "Asia/Kolkata",
            "LC_ALL": "C.UTF-8",
        }
        handlers = {GET_ITEM: vault.get, LIST_ITEMS: vault.list, PUT_ITEM: vault.put, BATCH_PUT: vault.batch}
        with serving(handlers, f"{folder}/keybaton/agent.sock"):
            yield Device(vault, env)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["get", "token"], b"s3cret\n"),
        (["get", "s3", "--field", "region"], b"eu-1\n"),
        (["get", "--field=region", "s3"], b"eu-1\n"),
        (["get", "näme"], "wörth\n\n".encode()),
    ],
)
def test_get_prints_the_bare_value(device: Device, arguments: list[str], printed: bytes) -> None:
    """The value and a newline, the same as through click."""
    assert device.run(*arguments) == Ran(0, printed, b"")
    assert device.run(*arguments, bare=False) == Ran(0, printed, b"")


def test_get_carries_every_byte_and_four_megabytes(device: Device) -> None:
    """Values are bytes: zeroes, invalid UTF-8, and as large as a message can be."""
    device.vault.values["raw", ""] = bytes(range(256)) * 4 * 4000
    assert device.run("get", "raw").out == device.vault.values["raw", ""] + b"\n"


@pytest.mark.parametrize("arguments", [["secrets", "list"], ["secrets", "list", "--json"]])
def test_list_prints_what_click_prints(device: Device, arguments: list[str]) -> None:
    """Lines and documents are the same to the byte, over several pages too, and for names that need cleaning."""
    assert device.run(*arguments) == device.run(*arguments, bare=False)
    device.vault.page = 2
    assert device.run(*arguments) == device.run(*arguments, bare=False)
    device.vault.names = [("bell\a‮", "token", 5)]
    assert device.run(*arguments) == device.run(*arguments, bare=False)
    device.vault.names = []
    assert device.run(*arguments) == device.run(*arguments, bare=False)


@pytest.mark.parametrize("colour", [True, False])
def test_a_list_on_a_terminal_is_the_table_of_click(device: Device, colour: bool) -> None:
    """Octet by octet, wide characters included, and without anything that starts slowly."""
    device.vault.names += [("日本", "note", 1_790_000_000_123), ("e\u0301", "token", 1_790_000_000_000)]
    device.env |= {"TERM": "xterm", "NO_COLOR": "" if colour else "1"}
    short, loaded = on_terminal(device, "-IS", "-c", _LISTING, str(MAIN), "secrets", "list")
    complete, _ = on_terminal(device, "-c", _THROUGH_CLICK, "secrets", "list")
    assert short == complete
    assert short.startswith(b"\x1b[1mNAME" if colour else b"NAME")
    assert "日本".encode() in short
    assert not loaded & {"click", "grpc", "google", "keybaton_api"}


def on_terminal(device: Device, *arguments: str) -> tuple[bytes, set[str]]:
    """What Python with these arguments writes to a terminal; and the packages that it names on standard error."""
    terminal, inner = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as reader:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=device.env,
            stdin=subprocess.DEVNULL,
            stdout=inner,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=True,
        )
        os.close(inner)
        said = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while piece := reader.read(4096):
                said += piece
    return said, {name.partition(".")[0] for name in done.stderr.decode().split()}


def test_add_stores_nothing_when_nothing_comes(device: Device) -> None:
    """The program before the pipe has failed, most likely; what comes from a descriptor may be empty."""
    ran = device.run("secrets", "add", "a", "--type", "token", stdin=b"")
    assert (ran.code, ran.out) == (2, b"")
    assert ran == device.run("secrets", "add", "a", "--type", "token", stdin=b"", bare=False)
    assert b"Standard input is empty, so nothing was stored." in ran.err
    assert not device.vault.stored
    assert device.run("secrets", "add", "a", "--type", "token", "--field-fd", "value=0", stdin=b"").code == 0


def test_list_as_json_is_json(device: Device) -> None:
    """Names with quotes and backslashes survive; they come in their order, whatever that of storing."""
    found = json.loads(device.run("secrets", "list", "--json").out)
    assert [entry["name"] for entry in found["secrets"]] == ["Alpha", "alpha", 'we"ird\\', "Zoo", "ö"]
    device.vault.names = [(name, "token", number) for number, name in enumerate(["ö", "b-2", "a", "b 1"], 1)]
    found = json.loads(device.run("secrets", "list", "--json").out)
    assert [entry["name"] for entry in found["secrets"]] == ["a", "b 1", "b-2", "ö"]


def test_add_stores_what_stdin_and_descriptors_bring(device: Device) -> None:
    """One final newline is dropped; the type's only field comes from standard input, others from descriptors."""
    assert device.run("secrets", "add", "a", "--type", "token", stdin=b"v\n\n") == Ran(0, b"Stored a.\n", b"")
    reading, writing = os.pipe()
    os.write(writing, b"-----BEGIN X-----\n-----END X-----\n")
    os.close(writing)
    ran = device.run(
        "secrets", "add", "b", "--type=encryption-key", "--field-fd", f"privateKeyPem={reading}", fds=(reading,)
    )
    os.close(reading)
    assert ran == Ran(0, b"Stored b.\n", b"")
    assert [(item.ref.name, item.secret.type) for item in device.vault.stored] == [
        ("a", "token"),
        ("b", "encryption-key"),
    ]
    assert [[(f.key, f.value) for f in item.secret.fields] for item in device.vault.stored] == [
        [("value", b"v\n")],
        [("privateKeyPem", b"-----BEGIN X-----\n-----END X-----")],
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "A=1\nB='two words'\n"),
        ("secrets.jsonl", '{"name": "a", "type": "token", "fields": {"value": "v"}}\n'),
        ("twice.jsonl", '{"name": "a", "type": "token", "fields": {"value": "v"}}\n' * 2),
        ("nothing", "what is this?"),
    ],
)
def test_import_stores_and_says_what_click_stores_and_says(
    device: Device, tmp_path: Path, name: str, text: str
) -> None:
    """A file of one batch goes the short way, one with problems the long way: nothing of it shows outside."""
    (tmp_path / name).write_text(text)
    short = device.run("secrets", "import", str(tmp_path / name)), list(device.vault.stored)
    device.vault.stored.clear()
    assert short == (device.run("secrets", "import", str(tmp_path / name), bare=False), device.vault.stored)


def test_a_taken_name_stops_an_import_with_the_words_of_click(device: Device, tmp_path: Path) -> None:
    """The agent stores nothing of such a batch, so that asking again is safe."""
    (tmp_path / ".env").write_text("A=1\n")
    device.vault.failure = Reason.NAME_TAKEN
    ran = device.run("secrets", "import", str(tmp_path / ".env"))
    assert ran.code == 6
    assert ran == device.run("secrets", "import", str(tmp_path / ".env"), bare=False)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_error_reads_as_through_click(device: Device, reason: Reason) -> None:
    """Same lines, same document, same exit code, for each reason of the closed list."""
    device.vault.failure = reason
    direct = device.run("get", "token")
    assert direct.err.startswith(b"error: ")
    assert direct.code not in (0, None)
    if reason in (Reason.NOT_FOUND, Reason.VAULT_LOCKED, Reason.FIELD_REQUIRED, Reason.INTERNAL):
        assert direct == device.run("get", "token", bare=False)
        assert device.run("secrets", "list", "--json") == device.run("secrets", "list", "--json", bare=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["get"],
        ["get", "a", "b"],
        ["get", "--help"],
        ["get", "a", "--copy"],
        ["get", "a", "--field"],
        ["get", "a", "--field", "x", "--field", "y"],
        ["get", "--", "-a"],
        ["get", "\udcff"],
        ["secrets", "list", "--type", "token"],
        ["secrets", "list", "extra"],
        ["secrets", "import", "/"],
        ["secrets", "import", "/no/such/file"],
        ["secrets", "import", "-"],
        ["secrets", "import", __file__, "--dry-run"],
        ["secrets", "add", "a"],
        ["secrets", "add", "a", "--type", "token", "--field", "value=x"],
        ["secrets", "add", "a", "--type", "token", "--field-fd", "value=999"],
        ["secrets", "add", "a", "--type", "s3-credentials"],
        ["secrets", "add", "a", "--type", "nonsense"],
        ["--version"],
        ["status"],
        [],
    ],
)
def test_whatever_is_unusual_is_left_to_click(arguments: list[str]) -> None:
    """None, before anything is read or sent: there is no server here."""
    assert hot.run(arguments) is None


def test_a_full_disk_behind_standard_output_is_an_error(device: Device) -> None:
    """A value that was not written must not look written."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-IS", str(MAIN), "get", "token"],
            env=device.env,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")


_INTERRUPTED = """
import sys, types

class Interrupted(types.ModuleType):
    def __getattr__(self, name):
        raise KeyboardInterrupt

sys.modules["keybaton_cli.cli"] = Interrupted("keybaton_cli.cli")
from keybaton_cli.hot import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "said"), [(["status"], "error: Interrupted.\n"), (["status", "--json"], '"reason": "INTERRUPTED"')]
)
def test_ctrl_c_while_the_program_starts_is_no_fault_of_it(arguments: list[str], said: str) -> None:
    """Exit 130 and a sentence, not where in the reading of modules it came."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 130
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_socket_is_looked_for_where_the_complete_client_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same path in the usual environments, and a question to the complete code in the others."""
    for env in (
        {"XDG_RUNTIME_DIR": "/run/user/7"},
        {"XDG_RUNTIME_DIR": "/run/user/7/"},
        {"XDG_RUNTIME_DIR": "relative"},
        {"XDG_STATE_HOME": "/state"},
        {"HOME": "/home/a"},
    ):
        monkeypatch.setattr("posix.environ", {key.encode(): value.encode() for key, value in env.items()})
        assert hot.default_socket() in ("", default_socket(env))
    monkeypatch.setattr("posix.environ", {b"KEYBATON_SOCKET": b"/s", b"XDG_RUNTIME_DIR": b"/run"})
    assert hot.default_socket() == "/s"


def test_the_types_are_those_of_the_complete_command() -> None:
    """Needed fields, and which types take standard input."""
    assert {
        name: tuple(spec.name for spec in specs if spec.required) for name, specs in SECRET_TYPES.items()
    } == adding.NEEDED
    assert tuple(name for name, specs in SECRET_TYPES.items() if len(specs) == 1) == adding.ONE_FIELD


@pytest.mark.parametrize(
    ("arguments", "stdin", "more"),
    [
        (["get", "token"], None, set()),
        (["secrets", "list"], None, {"keybaton_cli.hot.listing"}),
        (["secrets", "list", "--json"], None, {"keybaton_cli.hot.listing"}),
        (["secrets", "add", "a", "--type", "token"], b"v", {"keybaton_cli.hot.adding"}),
    ],
)
def test_a_hot_command_loads_nothing_but_what_it_needs(
    device: Device, arguments: list[str], stdin: bytes | None, more: set[str]
) -> None:
    """The whole list: one import too many costs more than the command itself, and no timing would show it as surely."""
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(
        [sys.executable, "-IS", "-c", _LISTING, str(MAIN), *arguments],
        env=device.env,
        capture_output=True,
        timeout=SECONDS,
        check=True,
        **given,
    )
    assert set(done.stderr.decode().split()) - _INTERPRETER == _HOT | more


def test_a_command_that_is_not_hot_looks_for_garbage() -> None:
    """The hot path does without, and what click serves may run for hours."""
    shown = "import gc, keybaton_cli.cli as cli, keybaton_cli.hot as hot; cli.main = lambda: print(gc.isenabled()); hot.main()"
    done = subprocess.run(
        [sys.executable, "-c", shown, "status"], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert done.stdout == "True\n"


def test_an_import_loads_neither_grpcio_nor_protobuf_nor_click(device: Device, tmp_path: Path) -> None:
    """Its parsers need some of the standard library; what is slow to start stays out."""
    (tmp_path / ".env").write_text("A=1\n")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", _LISTING, str(MAIN), "secrets", "import", str(tmp_path / ".env")],
        env=device.env,
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.decode().split()}
    assert not loaded & {"grpc", "google", "click", "asyncio", "argparse", "keybaton_api", "site"}
