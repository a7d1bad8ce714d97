"""Keystore on the desktop's keychain. Each call is a short-lived process under a deadline; what it does is `keyring_call`'s job.

A thread that waits in a D-Bus call for a keychain that does not answer cannot be ended; a process can, by SIGKILL (tested with
a stopped gnome-keyring). It also keeps keyring and its plugins (some 20 MiB) out of the agent, for 0.2 s a call.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Final

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Entropy, KeyRecord, KeystoreKind, Log

START_SECONDS: Final = 10.0  # for the process to load its libraries, on a busy machine
CALL_SECONDS: Final = 3.0  # for the keychain
HUMAN_SECONDS: Final = 60.0  # instead of it, once the keychain was seen locked and may be asking a person
_KEY_BYTES: Final = 32
_LINES_MAX: Final = 3  # ready, asking, done
_AT_ONCE: Final = 2  # processes; a third caller waits within its deadline

CHILD: Final = (sys.executable, "-P", "-m", "keybatond.keychain_child")

_REASONS: Final = {
    reason.value: reason
    for reason in (
        Reason.KEY_ABSENT,
        Reason.KEYCHAIN_UNAVAILABLE,
        Reason.KEYCHAIN_LOCKED,
        Reason.KEYCHAIN_REFUSED,
    )
}


class KeychainKeystore:
    """Keeps each wrapping key as one entry (service `keybaton`, the key's id, hexadecimal digits)."""

    kind = KeystoreKind.KEYCHAIN

    def __init__(self, entropy: Entropy, log: Log, command: Sequence[str] = CHILD) -> None:
        self._entropy = entropy
        self._log = log
        self._command = command
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def probe(self) -> str:
        """Writes, reads and deletes a throw-away entry; returns the backend's name."""
        backend, _ = await self._call("probe", self._entropy.token(16).hex(), value=self._entropy.token(32).hex())
        return _for_people(backend)

    async def store(self, key_id: str, key: SecretBytes, passphrase: SecretBytes | None) -> KeyRecord:
        """Keeps `key` and reads it back. KEYCHAIN_REFUSED when the id is taken or the entry reads back differently."""
        backend, _ = await self._call("store", key_id, value=key.reveal().hex())
        return KeyRecord(self.kind, key_id, backend.encode())

    async def load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        """The key, from the very backend that the record names. WRONG_KEY for an entry that is no key."""
        _, value = await self._call("load", record.key_id, backend=_recorded(record))
        try:
            key = SecretBytes(bytes.fromhex(value))
        except ValueError:
            raise KeybatonError(Reason.WRONG_KEY) from None
        if len(key) != _KEY_BYTES:
            raise KeybatonError(Reason.WRONG_KEY)
        return key

    async def remove(self, record: KeyRecord) -> None:
        """Deletes the entry where it is there."""
        await self._call("remove", record.key_id, backend=_recorded(record))

    def describe(self, record: KeyRecord) -> str:
        """Such as `SecretService`."""
        return _for_people(record.parameters.decode("ascii", "replace"))

    async def _call(self, operation: str, account: str, *, backend: str = "", value: str = "") -> tuple[str, str]:
        request = {"operation": operation, "account": account, "backend": backend, "value": value}
        asked = False
        try:
            async with asyncio.timeout(START_SECONDS) as deadline, self._places:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,  # an interrupt at the terminal is not for it
                )
                try:
                    assert process.stdin is not None and process.stdout is not None
                    process.stdin.write(json.dumps(request).encode() + b"\n")
                    loop = asyncio.get_running_loop()
                    for _ in range(_LINES_MAX):
                        answer = _parse(await process.stdout.readline())
                        if answer["event"] == "ready":
                            deadline.reschedule(loop.time() + CALL_SECONDS)
                        elif answer["event"] == "asking":
                            asked = True
                            deadline.reschedule(loop.time() + HUMAN_SECONDS)
                        else:
                            return self._outcome(operation, answer)
                finally:
                    await _end(process)
        except TimeoutError:
            self._log.event("keychain call timed out", method=operation)
            raise KeybatonError(Reason.KEYCHAIN_LOCKED if asked else Reason.KEYCHAIN_TIMEOUT) from None
        except (OSError, ValueError) as failure:
            self._log.event("keychain call failed", method=operation, reason=type(failure).__name__)
            raise KeybatonError(Reason.KEYCHAIN_UNAVAILABLE) from None
        raise KeybatonError(Reason.KEYCHAIN_UNAVAILABLE)

    def _outcome(self, operation: str, answer: dict[str, str]) -> tuple[str, str]:
        if answer["event"] == "done":
            return answer["backend"], answer["value"]
        reason = _REASONS.get(answer.get("reason", ""), Reason.KEYCHAIN_REFUSED)
        detail = answer.get("detail", "")
        self._log.event("keychain call failed", method=operation, reason=reason.value)
        raise KeybatonError(reason, **({"detail": detail} if detail else {}))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            return
    await process.wait()


def _parse(line: bytes) -> dict[str, str]:
    answer = json.loads(line)  # nothing at all, from a process that died, is a ValueError too
    if not isinstance(answer, dict) or not all(isinstance(part, str) for part in answer.values()):
        raise ValueError("not an answer")
    if answer.get("event") == "done" and not {"backend", "value"} <= answer.keys():
        raise ValueError("not an answer")
    return {"event": "", **answer}


def _recorded(record: KeyRecord) -> str:
    try:
        return record.parameters.decode("ascii")
    except UnicodeDecodeError:
        raise KeybatonError(Reason.KEYCHAIN_UNAVAILABLE) from None


def _for_people(backend: str) -> str:
    """`keyring.backends.SecretService.Keyring` is called SecretService."""
    parts = backend.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2].isidentifier() else "keychain"
