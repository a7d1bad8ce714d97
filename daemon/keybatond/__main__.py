"""The command `keybatond`: reads its options, makes the process private, takes the lock, and runs the agent until told to end.

Heavy modules are imported late: before the fork of `--detached`, and before a refusal, nothing but the standard library's
lightest is needed.
"""

# pathlib would be loaded before the fork, whose pages are then copied.
# ruff: noqa: PTH120, PTH123

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

USAGE = """usage: keybatond [--foreground | --detached | --version]

The Keybaton agent: owns the vault, the keys and every share of one user. Clients start it when they need it.

  --foreground  write the log to standard error instead of a file
  --detached    leave the caller's session and descriptors; say "ready", "running" or what is wrong on standard error
  --version     print the version
"""
EXIT_FAILED = 1
EXIT_USAGE = 2
DESCRIPTORS_MAX = 65536


def main() -> int:
    """Runs the command; returns its exit code."""
    if sys.flags.no_site:
        _find_packages()
    from keybatond import __version__
    from keybatond.refusal import StartRefused

    arguments = sys.argv[1:]
    if arguments in (["--help"], ["-h"]):
        sys.stdout.write(USAGE)
        return 0
    if arguments == ["--version"]:
        sys.stdout.write(f"keybatond {__version__}\n")
        return 0
    if arguments not in ([], ["--foreground"], ["--detached"]):
        sys.stderr.write(USAGE)
        return EXIT_USAGE
    detached = arguments == ["--detached"]
    if detached:
        _detach()
    try:
        _run(foreground=arguments == ["--foreground"], ready=_report_ready if detached else _say_nothing)
    except StartRefused as refused:
        if detached and refused.running:
            _report("running")
        else:
            sys.stderr.write(f"keybatond: {refused.message}\n" + (f"hint: {refused.hint}\n" if refused.hint else ""))
        return EXIT_FAILED
    return 0


def _find_packages() -> None:
    """Does what `site` is needed for: finds the packages beside this one. Its search for more costs a tenth of the start."""
    folder = os.path.dirname(os.path.dirname(__file__))
    sys.path.append(folder)
    try:
        with open(f"{folder}/../../../pyvenv.cfg") as settings:
            alone = "include-system-site-packages = false" in settings.read()
    except OSError:
        alone = False
    if not alone:
        import site

        site.main()


def _run(*, foreground: bool, ready: Callable[[], None]) -> None:
    from keybatond.instance import InstanceLock, lock_vault
    from keybatond.paths import PRIVATE_UMASK, Paths
    from keybatond.settings import Settings

    gc.disable()  # a tenth of the start would be looking for garbage among modules; `app` turns it on again
    os.umask(PRIVATE_UMASK)
    paths = Paths.from_environment(os.environ)
    settings = Settings.read(paths.settings)
    exposed = paths.prepare()
    lock = InstanceLock(paths.lock)
    vault_lock = None
    try:
        vault_lock = lock_vault(paths.vault.with_name("vault.lock"))
        import asyncio

        from keybatond.app import run

        asyncio.run(run(paths, settings, os.environ, exposed, foreground=foreground, ready=ready))
    finally:
        if vault_lock is not None:
            vault_lock.release()
        lock.release()


def _detach() -> None:
    """Into a session and a process of our own, which belongs to nobody who waits for children."""
    if os.fork():
        _leave()
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.closerange(3, DESCRIPTORS_MAX)


def _leave() -> NoReturn:
    os._exit(0)


def _say_nothing() -> None:
    """Who started us looks at systemd, or at the socket."""


def _report_ready() -> None:
    _report("ready")


def _report(word: str) -> None:
    """The last word to the client that started us; its pipe then ends. Others may need the agent if that client has gone."""
    import contextlib

    with contextlib.suppress(BrokenPipeError):
        os.write(2, f"{word}\n".encode())
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
