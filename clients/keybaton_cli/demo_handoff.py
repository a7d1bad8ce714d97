"""What the demonstration hands over, and how: through the same API as `keybaton dbs send` and `keybaton dbs receive`."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keybaton_api.agent.v1 import common_pb2, share_pb2
from keybaton_cli.demo_devices import DemoDevice
from keybaton_cli.failure import Failure
from keybaton_cli.items import database_ref, fields_of, secret_item, secret_ref
from keybaton_cli.share_words import ENDED, STATES, ending
from keybaton_client.problem import ClientError

DATABASE_NAME = "photos"
_SECONDS = 30.0

Samples = dict[str, tuple[str, dict[str, bytes]]]
"""By name: type and fields."""

Tell = Callable[[str], None]


def make_samples() -> Samples:
    """Fresh credentials of the three types that a database links to; nothing of them is of use anywhere."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "photos-s3": (
            "s3-credentials",
            {
                "region": b"eu-central-1",
                "accessKeyId": b"DEMO" + secrets.token_hex(8).upper().encode(),
                "secretAccessKey": secrets.token_urlsafe(30).encode(),
                "endpoint": b"https://s3.example.org",
            },
        ),
        "photos-key": ("encryption-key", {"privateKeyPem": private, "publicKeyPem": public}),
        "photos-maps": ("api-key", {"apiKey": secrets.token_urlsafe(24).encode()}),
    }


def store(device: DemoDevice, samples: Samples) -> None:
    """The secrets and the database, on the device that will send them."""
    items = [secret_item(name, secret_type, fields) for name, (secret_type, fields) in samples.items()]
    body = common_pb2.Database(
        description="Family photos",
        path="s3:family-photos:/library",
        s3="photos-s3",
        encryption_key="photos-key",
        geocoding_key="photos-maps",
    )
    device.client.vault.batch_put([*items, common_pb2.Item(ref=database_ref(DATABASE_NAME), database=body)])


def hand_over(laptop: DemoDevice, desktop: DemoDevice, code: str, tell: Tell) -> str:
    """Sends and receives; types the code and accepts the review as a person would. Returns the name it was saved under.

    Failure with the share's reason when either side ends otherwise.
    """
    shares = {"sender": laptop.client.shares, "receiver": desktop.client.shares}
    receiving = desktop.client.shares.start_receive(share_pb2.StartReceiveRequest())
    request = share_pb2.StartSendRequest(items=[database_ref(DATABASE_NAME)], code=code)
    sending = laptop.client.shares.start_send(request)
    changes: queue.SimpleQueue[tuple[str, share_pb2.Session | ClientError]] = queue.SimpleQueue()
    for side, session in (("sender", sending), ("receiver", receiving)):
        _watch(shares[side].watch(session.id), side, changes)
    tell(f"  {laptop.name} shows the code {code}; it is typed on {desktop.name}")
    shares["receiver"].provide_code(receiving.id, code)
    names = {"sender": laptop.name, "receiver": desktop.name}
    ended: dict[str, share_pb2.Session] = {}
    told: set[tuple[str, str]] = set()
    reviewed = False
    while len(ended) < len(names):
        side, session = _next(changes)
        state = STATES.get(session.state, "unknown")
        if (side, state) not in told:
            told.add((side, state))
            tell(f"  {names[side]:<8} {state}")
        if session.state == share_pb2.SHARE_STATE_REVIEW and not reviewed:
            reviewed = True
            offer = session.offer
            tell(f"  {names[side]:<8} accepts the database and {len(offer.secrets)} secrets")
            shares[side].review(share_pb2.ReviewRequest(session_id=session.id, accept=True))
        if session.state in ENDED:
            ended[side] = session
            _demand_saved(session, names[side])
    return ended["receiver"].name


def _demand_saved(session: share_pb2.Session, name: str) -> None:
    if session.state != share_pb2.SHARE_STATE_SAVED:
        sentence, hint = ending(session)
        raise Failure(session.reason or "network", f"{name}: {sentence}", hint)


def _watch(
    source: Iterator[share_pb2.Session],
    side: str,
    changes: queue.SimpleQueue[tuple[str, share_pb2.Session | ClientError]],
) -> None:
    def read() -> None:
        try:
            for session in source:
                changes.put((side, session))
        except ClientError as error:
            changes.put((side, error))

    threading.Thread(target=read, name=f"watch-{side}", daemon=True).start()


def _next(
    changes: queue.SimpleQueue[tuple[str, share_pb2.Session | ClientError]],
) -> tuple[str, share_pb2.Session]:
    try:
        side, change = changes.get(timeout=_SECONDS)
    except queue.Empty:
        raise Failure("DEADLINE_EXCEEDED", f"Nothing happened for {_SECONDS:g} seconds.") from None
    if isinstance(change, ClientError):
        raise change
    return side, change


@dataclass(frozen=True)
class Found:
    """What the receiving device has: its secrets by name, and whether the database links to all of them."""

    secrets: Samples
    linked: bool


def read_back(device: DemoDevice) -> Found:
    """Reads the saved database and everything it links to."""
    body = device.client.vault.get_item(database_ref(DATABASE_NAME)).database
    names = [body.s3, body.encryption_key, body.geocoding_key]
    items = device.client.vault.batch_get([secret_ref(name) for name in names if name]).items
    found = {item.ref.name: (item.secret.type, fields_of(item)) for item in items}
    return Found(found, all(names) and len(found) == len(names))
