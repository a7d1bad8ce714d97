"""The hot commands against a real grpcio server: what reading ones print, and how all fail."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys

import pytest

import keybaton_hot as hot
from keybaton_client.locate import default_socket
from keybaton_testing.hot_device import HotDevice, Ran
from keybaton_testing.trampoline import LISTING, MAIN, SECONDS, THROUGH_CLICK, starting
from keybatond.errors import Reason


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["get", "token"], b"s3cret\n"),
        (["get", "s3", "--field", "region"], b"eu-1\n"),
        (["get", "--field=region", "s3"], b"eu-1\n"),
        (["get", "näme"], "wörth\n\n".encode()),
    ],
)
def test_get_prints_the_bare_value(device: HotDevice, arguments: list[str], printed: bytes) -> None:
    """The value and a newline, the same as through click."""
    assert device.run(*arguments) == Ran(0, printed, b"")
    assert device.run(*arguments, bare=False) == Ran(0, printed, b"")


def test_get_carries_every_byte_and_four_megabytes(device: HotDevice) -> None:
    """Values are bytes: zeroes, invalid UTF-8, and as large as a message can be."""
    device.vault.values["raw", ""] = bytes(range(256)) * 4 * 4000
    assert device.run("get", "raw").out == device.vault.values["raw", ""] + b"\n"


@pytest.mark.parametrize("arguments", [["secrets", "list"], ["secrets", "list", "--json"]])
def test_list_prints_what_click_prints(device: HotDevice, arguments: list[str]) -> None:
    """Lines and documents are the same to the byte, over several pages too, and for names that need cleaning."""
    assert device.run(*arguments) == device.run(*arguments, bare=False)
    device.vault.page = 2
    assert device.run(*arguments) == device.run(*arguments, bare=False)
    device.vault.names = [("bell\a‮", "token", 5)]
    assert device.run(*arguments) == device.run(*arguments, bare=False)
    device.vault.names = []
    assert device.run(*arguments) == device.run(*arguments, bare=False)


@pytest.mark.parametrize("page", [1000, 2])
@pytest.mark.parametrize(
    "others", [[], [("b", "note", 1_790_000_000_123)], [("b", "token", 1_790_000_001_000)], [("b", "token", 0)]]
)
def test_what_was_stored_together_is_listed_as_click_lists_it(
    device: HotDevice, page: int, others: list[tuple[str, str, int]]
) -> None:
    """Of one type and one time, which is printed in one go; and with one among them of another type or time."""
    device.vault.names = [*((name, "token", 1_790_000_000_123) for name in ("c", "B", "\u00e9 e", "a")), *others]
    device.vault.page = page
    listed = device.run("secrets", "list")
    assert listed == device.run("secrets", "list", bare=False)
    assert len(listed.out.splitlines()) == len(device.vault.names)


def test_list_as_json_is_json(device: HotDevice) -> None:
    """Names with quotes and backslashes survive; they come in their order, whatever that of storing."""
    found = json.loads(device.run("secrets", "list", "--json").out)
    assert [entry["name"] for entry in found["secrets"]] == ["Alpha", "alpha", 'we"ird\\', "Zoo", "ö"]
    device.vault.names = [(name, "token", number) for number, name in enumerate(["ö", "b-2", "a", "b 1"], 1)]
    found = json.loads(device.run("secrets", "list", "--json").out)
    assert [entry["name"] for entry in found["secrets"]] == ["a", "b 1", "b-2", "ö"]


@pytest.mark.parametrize("colour", [True, False])
def test_a_list_on_a_terminal_is_the_table_of_click(device: HotDevice, colour: bool) -> None:
    """Octet by octet, wide characters included, and without anything that starts slowly."""
    device.vault.names += [("日本", "note", 1_790_000_000_123), ("e\u0301", "token", 1_790_000_000_000)]
    device.env |= {"TERM": "xterm", "NO_COLOR": "" if colour else "1"}
    short, loaded = on_terminal(device, "-IS", "-c", LISTING, str(MAIN), "secrets", "list")
    complete, _ = on_terminal(device, "-c", THROUGH_CLICK, "secrets", "list")
    assert short == complete
    assert short.startswith(b"\x1b[1mNAME" if colour else b"NAME")
    assert "日本".encode() in short
    assert not loaded & {"click", "grpc", "google", "keybaton_api"}


def on_terminal(device: HotDevice, *arguments: str) -> tuple[bytes, set[str]]:
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


@pytest.mark.parametrize("reason", list(Reason))
def test_every_error_reads_as_through_click(device: HotDevice, reason: Reason) -> None:
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


def test_a_full_disk_behind_standard_output_is_an_error(device: HotDevice) -> None:
    """A value that was not written must not look written."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*starting(), "get", "token"],
            env=device.env,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")


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
