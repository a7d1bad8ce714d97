"""The vault's ssh-keys as an SSH agent offers them: listed by their public halves, used for signatures, never given away.

Each signature is a read by the client kind "ssh" in the log of reads. Every failure has one answer, FAILURE: the protocol has
no other, and its caller then tries its next way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from keybaton_core.encoding import Malformed
from keybaton_core.items import ItemKind, ItemRef, SecretBody
from keybaton_core.ssh_agent import FAILURE, KEYS_MAX, Identity, SignRequest, decode, identities, signed
from keybaton_core.ssh_signing import public_blob, public_blob_of, sign
from keybatond.errors import KeybatonError
from keybatond.ports import Log
from keybatond.services.vault import VaultService

CLIENT: Final = "ssh"
_TYPE: Final = "ssh-key"
_PAGE: Final = 1000


class SshKeys:
    """Answers requests. `admitted` waits until the agent has fetched its key, and counts the request as use."""

    def __init__(self, vault: VaultService, admitted: Callable[[], Awaitable[None]], log: Log) -> None:
        self._vault = vault
        self._admitted = admitted
        self._log = log
        self._blobs: dict[tuple[str, int], bytes] = {}  # of (id, version): public halves alone are kept

    async def answer(self, message: bytes) -> bytes:
        """The answer to one message; never raises for what a caller sent or the vault lacks."""
        try:
            request = decode(message)
            await self._admitted()
            keys = await self._keys()
            if isinstance(request, SignRequest):
                return signed(self._signature(keys, request))
            return identities(Identity(blob, ref.name) for ref, blob in keys)
        except Malformed:
            return FAILURE  # also for what ssh merely tries, such as extensions
        except KeybatonError as error:
            self._log.event("ssh refused", reason=error.reason.value)
            return FAILURE

    def _signature(self, keys: list[tuple[ItemRef, bytes]], request: SignRequest) -> bytes:
        for ref, blob in keys:
            if blob == request.key:
                body = self._vault.get(ref, client=CLIENT).body
                assert isinstance(body, SecretBody)
                private = body.fields["privateKey"].reveal()
                if public_blob_of(private) != blob:
                    raise Malformed("public key", "does not belong to the private key")
                return sign(private, request.data, request.flags)
        raise Malformed("key", "is not in the vault")

    async def _keys(self) -> list[tuple[ItemRef, bytes]]:
        """The usable keys, in the order of their making. Their private halves are read only where the public one is missing."""
        found: list[tuple[ItemRef, bytes]] = []
        blobs: dict[tuple[str, int], bytes] = {}
        token = ""
        while len(found) < KEYS_MAX:
            page, token = self._vault.list(ItemKind.SECRET, page_size=_PAGE, page_token=token)
            for summary in page:
                if summary.secret_type != _TYPE:
                    continue
                known = summary.id, summary.version
                blobs[known] = self._blobs[known] if known in self._blobs else self._blob(summary.ref)
                if blobs[known]:
                    found.append((summary.ref, blobs[known]))
            if not token:
                break
            await asyncio.sleep(0)  # others' calls between pages of a large vault
        self._blobs = blobs
        return found[:KEYS_MAX]

    def _blob(self, ref: ItemRef) -> bytes:
        """The public half; empty for a key that cannot be used, such as one with a passphrase."""
        body = self._vault.get(ref).body
        assert isinstance(body, SecretBody)
        try:
            if "publicKey" in body.fields:
                return public_blob(body.fields["publicKey"].reveal_text())
            return public_blob_of(body.fields["privateKey"].reveal())
        except Malformed:
            return b""
