"""A person's place in tests of prompts: a terminal, and behind it a fake agent with scripted sessions or a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keybaton_api.agent.v1 import agent_pb2, common_pb2, share_pb2
from keybaton_testing.device import PATH, Device, device_environment
from keybaton_testing.fake_agent import FakeAgent, fake_agent
from keybaton_testing.grpc_server import short_folder
from keybaton_testing.program import keybaton
from keybaton_testing.require import require
from keybaton_testing.terminal import Terminal

CODE = "4821"
PASSPHRASE = "a passphrase for the test device"


class Place:
    """A terminal in which `keybaton` is run by hand."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def keybaton(self, arguments: str) -> None:
        """Starts `keybaton` with these arguments."""
        self.terminal.run(f"{' '.join(keybaton())} {arguments}")

    def answer(self, question: str, *keys: str, typed: str | None = None) -> str:
        """Waits for the question, types a line over what is there, or presses keys; returns the screen before it."""
        screen = self.terminal.wait_for(question)
        if typed is not None:
            self.terminal.press("C-u")
            self.terminal.line(typed)
        if keys:
            self.terminal.press(*keys)
        return screen


class Desk(Place):
    """With a fake agent; `home` is the person's folder."""

    def __init__(self, agent: FakeAgent, terminal: Terminal, home: Path) -> None:
        super().__init__(terminal)
        self.agent = agent
        self.home = home

    def offers(self, *, database: bool = True, same: bool = False, **offered: Any) -> None:
        """Once the code has been typed, a payload waits for review."""
        secret = share_pb2.OfferedSecret(key="s3", name="other-s3", type="s3-credentials", field_names=["region"])
        maps = share_pb2.OfferedSecret(key="geocodingKey", name="photos-maps", type="api-key", field_names=["apiKey"])
        maps.exists, maps.same, maps.changes[:] = True, same, [] if same else ["apiKey"]
        offer = share_pb2.Offer(secrets=[secret, maps] if database else [maps])
        if database:
            offer.database.CopyFrom(share_pb2.OfferedDatabase(name="pictures", path="s3:c", **offered))
        self.hands_over(offer)

    def hands_over(self, offer: share_pb2.Offer) -> None:
        """Once the code has been typed, `offer` waits for review; a wrong code is asked again."""

        def typed(on: FakeAgent, code: str) -> None:
            if code == CODE:
                on.become("AUTHENTICATED", peer_name="laptop", peer_address="192.0.2.9:7")
                on.become("REVIEW", offer=offer)
            else:
                on.become("CODE_NEEDED", needs_code=True, guesses_left=2)

        self.agent.on_code = typed

    def has_older_versions(self) -> None:
        """Two of the secret token, and one of another that was removed."""
        token = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name="token")
        gone = common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_ENV_VARIABLE, name="OLD", environment="staging")
        self.agent.compaction = agent_pb2.CompactVaultResponse(finished=True, versions=3, items=2, gone=1)
        self.agent.compaction.shown.add(ref=token, versions=2)
        self.agent.compaction.shown.add(ref=gone, versions=1, gone=True)

    def receives(self, arguments: str) -> None:
        """A receiving command, up to what follows the right code."""
        self.keybaton(arguments)
        self.terminal.wait_for("Code shown on the other device:")
        self.terminal.line(CODE)

    def decisions(self) -> dict[str, tuple[bool, int, str]]:
        """By key, what the last review wants of each secret."""
        return {
            decision.key: (getattr(decision, "import"), decision.on_conflict, decision.save_as)
            for decision in self.agent.reviews[-1].secrets
        }


@contextmanager
def fake_desk() -> Iterator[Desk]:
    """A terminal and a fake agent that holds a few things."""
    require("tmux")
    with short_folder() as folder, fake_agent(f"{folder}/agent.sock") as agent:
        env = {"PATH": PATH, **device_environment(Path(folder)), "KEYBATON_SOCKET": f"{folder}/agent.sock"}
        agent.put_secret("photos-s3", "s3-credentials", region="eu", accessKeyId="AK", secretAccessKey="x")
        agent.put_secret("photos-maps", "api-key", apiKey="k")
        agent.put_secret("token", value="abc")
        agent.put_database("notes", path="/notes")
        agent.put_database("photos", path="s3:b", description="Mine", s3="photos-s3", geocoding_key="photos-maps")
        with Terminal(env) as terminal:
            yield Desk(agent, terminal, Path(env["HOME"]))


class RealDesk(Place):
    """With a real agent."""

    def __init__(self, device: Device, terminal: Terminal) -> None:
        super().__init__(terminal)
        self.device = device
        self.folder = device.root / "home" / "shop"
        self.folder.mkdir()
        terminal.wait_for("ready>")
        terminal.line(f"cd {self.folder}")

    def done(self, *arguments: str, stdin: str = "") -> str:
        """Runs a command in the project's folder, beside the terminal; its output."""
        ended = self.device.keybaton(*arguments, stdin=stdin, cwd=self.folder)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def with_project(self) -> None:
        """Makes a project with one variable in `staging`."""
        self.done("env", "init", "--no-import")
        self.done("env", "set", "DATABASE_URL", "--env", "staging", "--create", stdin="postgres://db")

    def project_id(self) -> str:
        """The only project's id."""
        [project] = json.loads(self.done("env", "vaults", "--json"))["projects"]
        return str(project["id"])

    def two_shares(self) -> None:
        """Two secrets, each being sent."""
        for name in ("one", "two"):
            self.done("secrets", "add", name, "--type", "token", stdin=name)
            self.device.spawn_keybaton("secrets", "send", name, "--yes", "--json").read_event("state")

    def stored(self) -> list[str]:
        """What a person can see of what is stored, and of the shares that run."""
        looks = [["env", "vaults"], ["shares"]]
        if (self.folder / "keybaton.toml").exists():
            looks += [["env", "list", "--env", "staging", "--reveal"]]
        return [*(self.done(*look) for look in looks), *sorted(path.name for path in self.folder.iterdir())]


@contextmanager
def real_desk(*, vault: bool = True) -> Iterator[RealDesk]:
    """A terminal and a device of its own; with `vault`, one sealed with PASSPHRASE and open."""
    require("tmux")
    with Device() as device:
        if vault:
            made = device.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=PASSPHRASE + "\n")
            assert made.returncode == 0, made.stderr
        with Terminal(device.env) as terminal:
            yield RealDesk(device, terminal)
