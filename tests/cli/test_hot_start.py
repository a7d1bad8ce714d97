"""How the program starts: which modules a hot command loads, and what holds before the others run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keybaton_testing.hot_device import HotDevice
from keybaton_testing.trampoline import SECONDS, loaded

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
    *("_socket", "gc", "keybaton_hot", "keybaton_hot.unary"),
    *("keybaton_hot.incoming", "keybaton_hot.answers"),
}


@pytest.mark.parametrize(
    ("arguments", "stdin", "more"),
    [
        (["get", "token"], None, set()),
        (["secrets", "list"], None, {"keybaton_hot.listing"}),
        (["secrets", "list", "--json"], None, {"keybaton_hot.listing"}),
        (["secrets", "add", "a", "--type", "token"], b"v", {"keybaton_hot.adding"}),
    ],
)
def test_a_hot_command_loads_nothing_but_what_it_needs(
    device: HotDevice, arguments: list[str], stdin: bytes | None, more: set[str]
) -> None:
    """The whole list: one import too many costs more than the command itself, and no timing would show it as surely."""
    modules, _ = loaded(*arguments, env=device.env, stdin=stdin)
    assert modules - _INTERPRETER == _HOT | more


def test_an_import_loads_neither_grpcio_nor_protobuf_nor_click(device: HotDevice, tmp_path: Path) -> None:
    """Its parsers need some of the standard library; what is slow to start stays out."""
    (tmp_path / ".env").write_text("A=1\n")
    modules, _ = loaded("secrets", "import", str(tmp_path / ".env"), env=device.env)
    packages = {name.partition(".")[0] for name in modules}
    assert not packages & {"grpc", "google", "click", "asyncio", "argparse", "keybaton_api", "site"}


def test_a_command_that_is_not_hot_looks_for_garbage() -> None:
    """The hot path does without, and what click serves may run for hours."""
    shown = (
        "import gc, keybaton_cli.cli as cli, keybaton_hot as hot; cli.main = lambda: print(gc.isenabled()); hot.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", shown, "status"], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert done.stdout == "True\n"


_INTERRUPTED = """
import sys, types

class Interrupted(types.ModuleType):
    def __getattr__(self, name):
        raise KeyboardInterrupt

sys.modules["keybaton_cli.cli"] = Interrupted("keybaton_cli.cli")
from keybaton_hot import main
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
