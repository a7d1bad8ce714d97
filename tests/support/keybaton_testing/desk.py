"""A person's place: a device of the lab and the real terminal on it."""

from __future__ import annotations

from dataclasses import dataclass

from keybaton_testing.lab import Host
from keybaton_testing.program import keybaton
from keybaton_testing.terminal import Terminal


def open_terminal(host: Host) -> Terminal:
    """A shell on the device, in a terminal of its own."""
    return Terminal(host.env, (*host.prefix, "bash", "--norc", "--noprofile"))


@dataclass
class Desk:
    """A device and the terminal on it."""

    host: Host
    terminal: Terminal

    def keybaton(self, arguments: str) -> None:
        """Starts `keybaton` with these arguments in the terminal."""
        self.terminal.run(f"{' '.join(keybaton())} {arguments}")

    def shown_code(self) -> str:
        """The code that a sending command shows, once it waits for the other device."""
        return self.terminal.wait_for("Waiting for the other device").partition("Code: ")[2].split()[0]

    def value(self, name: str, field: str) -> str:
        """What the vault holds."""
        return self.host.keybaton("get", name, "--field", field).stdout

    def another(self) -> Desk:
        """A second window on the same device."""
        return Desk(self.host, open_terminal(self.host))
