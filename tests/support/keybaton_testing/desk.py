"""A person's place: a device of the lab and the real terminal on it."""

from __future__ import annotations

from keybaton_testing.lab import Host
from keybaton_testing.prompt_desk import Place
from keybaton_testing.terminal import Terminal


def open_terminal(host: Host) -> Terminal:
    """A shell on the device, in a terminal of its own."""
    return Terminal(host.env, (*host.prefix, "bash", "--norc", "--noprofile"))


class Desk(Place):
    """On a device of the lab."""

    def __init__(self, host: Host, terminal: Terminal) -> None:
        super().__init__(terminal)
        self.host = host

    def shown_code(self) -> str:
        """The code that a sending command shows, once it waits for the other device."""
        return self.terminal.wait_for("Waiting for the other device").partition("Code: ")[2].split()[0]

    def value(self, name: str, field: str) -> str:
        """What the vault holds."""
        return self.host.keybaton("get", name, "--field", field).stdout

    def another(self) -> Desk:
        """A second window on the same device."""
        return Desk(self.host, open_terminal(self.host))
