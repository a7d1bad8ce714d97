"""`keybaton run --mask`: the program's output passes through here, and secrets in it become dots.

On a terminal the program gets a terminal of its own (see `masked_terminal`); otherwise pipes for stdout and stderr.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Collection, Mapping, Sequence

from keybaton_cli.masking import Masker
from keybaton_cli.relay import Signals, child, pass_on

IDLE_SECONDS = 0.05  # what may begin a secret waits this long for the rest
WAKE_SECONDS = 0.5  # after which a terminal is looked at again
AFTER_SECONDS = 0.2  # for output that processes which the program left behind still write
CHUNK = 65_536


class Channel:
    """One stream on its way: from the descriptor `source` through a masker to `target`."""

    def __init__(self, source: int, target: int, secrets: Collection[str]) -> None:
        self.source = source
        self.target = target
        self.open = True
        self.masker = Masker(secrets)
        self._came = 0.0

    def move(self) -> bool:
        """Takes what is there; False at the end of the stream."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return True
        except OSError:  # EIO: the last process has left the terminal
            data = b""
        self._came = time.monotonic()
        self._write(self.masker.feed(data) if data else self.masker.finish())
        if not data:
            self.close()
        return self.open

    def pause(self) -> None:
        """Nothing has come for a while: what is held back goes out when it has waited long enough."""
        if self.masker.holds and time.monotonic() - self._came >= IDLE_SECONDS:
            self._write(self.masker.flush())

    def end(self) -> None:
        """Takes what is there already, and the rest of what was held back."""
        deadline = time.monotonic() + AFTER_SECONDS
        while self.open and time.monotonic() < deadline and select.select([self.source], [], [], 0)[0]:
            self.move()
        if self.open:
            self._write(self.masker.finish())
            self.close()

    def close(self) -> None:
        """Leaves the stream; whoever writes on gets SIGPIPE or SIGHUP."""
        if self.open:
            self.open = False
            os.close(self.source)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.target, view) :]
            except BlockingIOError:
                select.select([], [self.target], [], 1)
            except OSError:  # the reader has left: the program is to notice as it would without us
                self.close()
                return


def run_masked(command: Sequence[bytes], environment: Mapping[bytes, bytes], secrets: Collection[str]) -> int:
    """Runs the program with its output masked and returns its wait status."""
    if os.isatty(1):
        from keybaton_cli.commands.run_terminal import run_on_terminal

        return run_on_terminal(command, environment, secrets)
    out, err = os.pipe(), os.pipe()

    def prepare() -> None:
        os.dup2(out[1], 1)
        os.dup2(err[1], 2)

    with Signals() as signals:
        pid = os.fork()
        if pid == 0:
            child(command, environment, prepare)
        for descriptor in (out[1], err[1]):
            os.close(descriptor)
        signals.listen()
        channels = [Channel(out[0], 1, secrets), Channel(err[0], 2, secrets)]
        status = None
        while status is None:
            if signals.reader in move(channels, [signals.reader]):
                status = pass_on(signals, pid)
        for channel in channels:
            channel.end()
        return status


def move(channels: Sequence[Channel], others: Sequence[int]) -> list[int]:
    """One turn: waits, and takes what has come; returns which of `others` are readable."""
    sources = [channel.source for channel in channels if channel.open]
    holding = any(channel.open and channel.masker.holds for channel in channels)
    ready, _, _ = select.select([*sources, *others], [], [], IDLE_SECONDS if holding else WAKE_SECONDS)
    for channel in channels:
        if channel.open and channel.source in ready:
            channel.move()
        elif channel.open:
            channel.pause()
    return [descriptor for descriptor in others if descriptor in ready]
