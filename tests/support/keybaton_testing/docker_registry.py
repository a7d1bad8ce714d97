"""A small image registry on loopback that one login opens, by its password or by a token got with it (OCI distribution)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import secrets
import tarfile
from pathlib import Path

from keybaton_testing.loopback import Asked, Handler, Loopback, Reply, basic, guarded, self_signed

REPOSITORY = "one"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def registry(folder: Path, username: str, password: str, *, tokens: bool) -> Loopback:
    """The server, with TLS, which docker does not verify on loopback.

    `tokens`: the login is shown at /token alone, as with the large public registries; else with each request.
    """
    content = _content()

    def serve(asked: Asked) -> Reply:
        if asked.path == "/v2/":
            return Reply(200, b"{}", {"Docker-Distribution-Api-Version": "registry/2.0"})
        found = content.get(asked.path.removeprefix(f"/v2/{REPOSITORY}/"))
        if found is None:
            return Reply(404)
        kind, body = found
        headers = {"Content-Type": kind, "Docker-Content-Digest": _digest(body), "Content-Length": str(len(body))}
        return Reply(200, b"" if asked.method == "HEAD" else body, headers)

    handler = _with_tokens(username, password, serve) if tokens else guarded(username, password, serve)
    return Loopback(handler, self_signed(folder / "registry.pem"))


def _with_tokens(username: str, password: str, handler: Handler) -> Handler:
    token = secrets.token_urlsafe(24)

    def answer(asked: Asked) -> Reply:
        shown = asked.headers.get("Authorization")
        if asked.path == "/token":
            if shown != basic(username, password):
                return Reply(401)
            return Reply(200, json.dumps({"token": token}).encode(), {"Content-Type": "application/json"})
        if shown != f"Bearer {token}":
            where = f'Bearer realm="https://{asked.headers["Host"]}/token",service="test"'
            return Reply(401, headers={"WWW-Authenticate": where, "Docker-Distribution-Api-Version": "registry/2.0"})
        return handler(asked)

    return answer


def _content() -> dict[str, tuple[str, bytes]]:
    """Type and bytes of each path of an image with one file."""
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"hi"))
    layer = gzip.compress(unpacked.getvalue(), mtime=0)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(unpacked.getvalue())]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": {"mediaType": _CONFIG_TYPE, "size": len(config), "digest": _digest(config)},
            "layers": [{"mediaType": _LAYER_TYPE, "size": len(layer), "digest": _digest(layer)}],
        }
    ).encode()
    return {
        "manifests/latest": (_MANIFEST_TYPE, manifest),
        f"manifests/{_digest(manifest)}": (_MANIFEST_TYPE, manifest),
        f"blobs/{_digest(config)}": (_CONFIG_TYPE, config),
        f"blobs/{_digest(layer)}": (_LAYER_TYPE, layer),
    }


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
