"""Two honest devices with warm agents: one share at a time by the API, and what became of it at either end."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from keybaton_api.agent.v1 import common_pb2, share_pb2
from keybaton_client.client import Client
from keybaton_client.problem import ClientError
from keybaton_testing.lab import Host

ENDED = frozenset({
    share_pb2.SHARE_STATE_SAVED,
    share_pb2.SHARE_STATE_DECLINED,
    share_pb2.SHARE_STATE_FAILED,
    share_pb2.SHARE_STATE_CANCELLED,
    share_pb2.SHARE_STATE_EXPIRED,
})  # fmt: skip
SPARE_SECONDS = 30.0  # beyond a share's own deadline


@dataclass
class Order:
    """What the two people do. `delays`: seconds that sender and receiver wait before they start; None: does not start."""

    code: str
    to: str = ""
    seconds: int = 10
    send_after: float | None = 0.0
    receive_after: float | None = 0.0
    types_again: bool = False
    protocol: share_pb2.ShareProtocol.ValueType = share_pb2.SHARE_PROTOCOL_KEYBATON


@dataclass
class Result:
    """How it ended. An end is None where that side did not start."""

    name: str
    value: bytes
    send: share_pb2.Session | None = None
    receive: share_pb2.Session | None = None
    vault: dict[str, bytes] = field(default_factory=dict)  # of the receiver, afterwards
    seconds: float = 0.0


def ended_as(session: share_pb2.Session | None) -> str:
    """ "saved", a reason of the closed list, or the state's name; "absent" for a side that did not start."""
    if session is None:
        return "absent"
    return session.reason or share_pb2.ShareState.Name(session.state).removeprefix("SHARE_STATE_").lower()


class Pair:
    """Alice, who sends, and Bob, who receives and accepts whatever comes."""

    def __init__(self, alice: Host, bob: Host) -> None:
        self.hosts = (alice, bob)
        self.alice, self.bob = _unlocked(alice), _unlocked(bob)

    def share(self, order: Order) -> Result:
        """One share from start to both ends; the vaults are empty before and after."""
        result = Result(f"item-{secrets.token_hex(4)}", secrets.token_urlsafe(24).encode())
        self.alice.vault.put_item(_item(result.name, result.value))
        begun = time.monotonic()
        sides = [
            threading.Thread(target=self._send, args=(order, result), daemon=True),
            threading.Thread(target=self._receive, args=(order, result), daemon=True),
        ]
        for side in sides:
            side.start()
        for side in sides:
            side.join(order.seconds + SPARE_SECONDS)
            assert not side.is_alive(), f"a share outlasted its deadline of {order.seconds} s by far"
        result.seconds = time.monotonic() - begun
        result.vault = dict(self._vault())
        for name in result.vault:
            self.bob.vault.delete_item(_ref(name))
        self.alice.vault.delete_item(_ref(result.name))
        return result

    def _send(self, order: Order, result: Result) -> None:
        if order.send_after is None:
            return
        time.sleep(order.send_after)
        request = share_pb2.StartSendRequest(
            items=[_ref(result.name)],
            code=order.code,
            to=order.to,
            timeout_seconds=order.seconds,
            protocol=order.protocol,
        )
        started = self.alice.shares.start_send(request)
        for session in self.alice.shares.watch(started.id):
            result.send = session

    def _receive(self, order: Order, result: Result) -> None:
        if order.receive_after is None:
            return
        time.sleep(order.receive_after)
        request = share_pb2.StartReceiveRequest(
            code=order.code,
            code_is_final=not order.types_again and order.protocol == share_pb2.SHARE_PROTOCOL_KEYBATON,
            timeout_seconds=order.seconds,
            protocol=order.protocol,
        )
        started = self.bob.shares.start_receive(request)
        for session in self.bob.shares.watch(started.id):
            result.receive = session
            try:
                if session.state == share_pb2.SHARE_STATE_REVIEW:
                    self.bob.shares.review(share_pb2.ReviewRequest(session_id=session.id, accept=True))
                elif session.needs_code and session.state not in ENDED:
                    self.bob.shares.provide_code(session.id, order.code)
            except ClientError as error:  # it ended, or was answered, while the watch told of it
                if error.reason not in {"WRONG_STATE", "SESSION_NOT_FOUND"}:
                    raise

    def _vault(self) -> Iterator[tuple[str, bytes]]:
        for summary in self.bob.vault.list_items():
            yield summary.ref.name, self.bob.vault.get_value(summary.ref)


def _unlocked(host: Host) -> Client:
    passphrase = secrets.token_urlsafe(16)
    made = host.keybaton("init", "--keystore", "passphrase", "--passphrase-fd", "0", stdin=f"{passphrase}\n")
    assert made.returncode == 0, made.stderr
    return host.stack.enter_context(Client.connect(str(host.socket), start=False))


def _ref(name: str) -> common_pb2.ItemRef:
    return common_pb2.ItemRef(kind=common_pb2.ITEM_KIND_SECRET, name=name)


def _item(name: str, value: bytes) -> common_pb2.Item:
    fields = [common_pb2.Field(key="value", value=value)]
    return common_pb2.Item(ref=_ref(name), secret=common_pb2.Secret(type="plain", fields=fields))


@contextmanager
def paired(alice: Host, bob: Host) -> Iterator[Pair]:
    """A pair whose clients are closed at the end."""
    pair = Pair(alice, bob)
    try:
        yield pair
    finally:
        pair.alice.close()
        pair.bob.close()
