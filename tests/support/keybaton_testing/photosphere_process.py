"""Runs the independent Photosphere peer (tests/support/photosphere_peer, Node) as a process of its own."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from keybaton_testing.require import require

PEER = Path(__file__).resolve().parents[1] / "photosphere_peer" / "peer.mjs"
FINISH_SECONDS = 30


class PhotosphereProcess:
    """One peer; a context manager. `prefix` puts it into a network namespace, for example."""

    def __init__(self, configuration: dict[str, Any], *, prefix: Sequence[str] = ()) -> None:
        require("node")
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *prefix, "node", str(PEER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(configuration))
        self._process.stdin.close()

    @classmethod
    def receiver(cls, code: str, *, prefix: Sequence[str] = (), wait: float = 15, **more: Any) -> Self:
        """A receiver with a certificate as the real one makes it."""
        configuration = {"role": "receiver", "code": code, "waitSeconds": wait, **rsa_certificate(), **more}
        return cls(configuration, prefix=prefix)

    @classmethod
    def sender(
        cls, code: str, payload: dict[str, Any], *, prefix: Sequence[str] = (), wait: float = 15, **more: Any
    ) -> Self:
        """A sender; `oneConnection`, `maxVersion` and `checks` as the peer's source says."""
        return cls({"role": "sender", "code": code, "payload": payload, "waitSeconds": wait, **more}, prefix=prefix)

    def event(self, name: str) -> dict[str, Any]:
        """Reads on until the event of that name. The peer ends by itself after its `wait`, so that this does too."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            report: dict[str, Any] = json.loads(line)
            if report["event"] == name:
                return report
        raise AssertionError(f"the peer ended without {name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(FINISH_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()


def rsa_certificate() -> dict[str, str]:
    """What the real receiver shows: RSA-2048, CN `Photosphere LAN Share`, no extensions, 24 h. Made anew each time."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Photosphere LAN Share")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(hours=24))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "key": private.decode(),
        "cert": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "certDer": base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode(),
    }
