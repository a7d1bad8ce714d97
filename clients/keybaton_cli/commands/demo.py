"""`keybaton demo`: a database with its secrets goes from one throw-away agent to another, on this machine."""

from __future__ import annotations

import secrets
import signal
import time
from types import FrameType

from keybaton_cli import output
from keybaton_cli.demo_devices import DemoDevice, two_devices
from keybaton_cli.demo_handoff import DATABASE_NAME, hand_over, make_samples, read_back, store
from keybaton_cli.failure import Failure
from keybaton_cli.framework import App, command, pass_app


@command("demo", examples=("keybaton demo",))
@pass_app
def demo(app: App) -> None:
    """Show a whole handoff between two agents of its own, in a few seconds.

    Both agents and everything that they store lie in a temporary folder and are gone at the end. Your own agent and vault
    are not touched. Needs no root, terminal, keychain or network beyond this machine.
    """
    before = signal.signal(signal.SIGTERM, _interrupt), signal.signal(signal.SIGHUP, _interrupt)
    try:
        with two_devices() as (laptop, desktop):
            _show(app, laptop, desktop)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # so that both agents are ended and the folder is removed


def _show(app: App, laptop: DemoDevice, desktop: DemoDevice) -> None:
    def tell(text: str) -> None:
        if not app.json:
            print(text, flush=True)

    tell(f"Two agents, {laptop.name} and {desktop.name}, each with a vault of its own:")
    for device in (laptop, desktop):
        pid = device.start()
        tell(f"  {device.name:<8} process {pid}, vault sealed with a passphrase, unlocked")
    samples = make_samples()
    store(laptop, samples)
    tell(f"\n{laptop.name} stores the database {DATABASE_NAME!r} and the secrets that it links to:")
    for name, (secret_type, fields) in samples.items():
        tell(f"  {name:<13} {secret_type:<15} {', '.join(fields)}")
    tell(f"\n{laptop.name}:  keybaton dbs send {DATABASE_NAME}")
    tell(f"{desktop.name}: keybaton dbs receive")
    code = f"{secrets.randbelow(10_000):04}"
    began = time.monotonic()
    outcome = hand_over(laptop, desktop, code, tell)
    took = time.monotonic() - began
    found = read_back(desktop)
    wrong = [name for name in samples if found.secrets.get(name) != samples[name]]
    if wrong or not found.linked:
        raise Failure("INTERNAL", f"What {desktop.name} has is not what was sent: {', '.join(wrong) or 'links'}.")
    values = sum(len(fields) for _, fields in samples.values())
    if app.json:
        output.document(
            {
                "outcome": "saved",
                "name": outcome,
                "secrets": sorted(samples),
                "valuesCompared": values,
                "handoffSeconds": round(took, 3),
            }
        )
        return
    tell(f"\n{desktop.name} reads it back: the database, its 3 links and all {values} values are what was sent.")
    output.say(output.styled(f"saved {outcome} on {desktop.name}, {took:.2f} s after both sides had started", "green"))
