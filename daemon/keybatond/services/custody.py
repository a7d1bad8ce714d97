"""Who holds the vault's key and when: init, unlock, lock, rekey, backup, restore. Leaves keeping keys to the keystores.

Order of every change of keys, so that an end at any instant loses no key that an existing vault needs: the new key is stored
and read back, then the vault's header is committed, then the old key is removed. At worst a key is left that nothing needs,
until the next unlock or change of keys.
No new key is ever made over an existing vault, and no keystore but the one asked for is ever used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from keybaton_core.secret import SecretBytes
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Clock, Entropy, KeyJournal, KeyRecord, Keystore, KeystoreKind, Log, Progress
from keybatond.services.custody_types import CustodyState, Header, Restored, Vault, VaultState
from keybatond.services.wrapping_keys import WrappingKeys, wiped

__all__ = ["CustodyService", "CustodyState", "VaultState"]

T = TypeVar("T")

IDLE_LOCK_SECONDS: Final = 3600  # the default of the setting; 0: never
WAIT_SECONDS: Final = 10.0  # for another change of keys to end; then BUSY
CALLBACK_SECONDS: Final = 5.0  # for whoever must drop values at a lock


_CANNOT_OPEN: Final = frozenset({Reason.VAULT_DAMAGED, Reason.VAULT_NEWER})


class CustodyService:
    """One change at a time; a change that has begun goes on when its caller leaves."""

    def __init__(
        self,
        vault: Vault,
        keystores: Mapping[KeystoreKind, Keystore],
        journal: KeyJournal,
        *,
        clock: Clock,
        entropy: Entropy,
        log: Log,
        idle_lock_seconds: int = IDLE_LOCK_SECONDS,
    ) -> None:
        self._vault = vault
        self._keys = WrappingKeys(keystores, journal, entropy, log)
        self._clock = clock
        self._log = log
        self._idle_lock_seconds = idle_lock_seconds
        self._active_at = clock.monotonic()
        self._mutex = asyncio.Lock()
        self._changes: set[asyncio.Task[Any]] = set()
        self._loading: asyncio.Future[SecretBytes] | None = None
        self._lock_wanted = False
        self._closing = False
        self._unopened: KeybatonError | None = None
        self._at_lock: list[Callable[[], Awaitable[None]]] = []
        self._at_change: list[Callable[[], None]] = []

    # --- what others see ---------------------------------------------------------------------------------------------

    def state(self) -> CustodyState:
        """The state now; never waits for a keystore and never fails."""
        try:
            header = self._vault.header()
        except KeybatonError as failure:
            return CustodyState(VaultState.DAMAGED, problem=failure)
        if header is None:
            return CustodyState(VaultState.ABSENT)
        record = header.record
        detail = self._keys.describe(record)
        if self._vault.is_open:
            return CustodyState(VaultState.UNLOCKED, record.kind, detail)
        state = VaultState.DAMAGED if self._unopened else VaultState.LOCKED
        return CustodyState(state, record.kind, detail, self._unopened)

    @property
    def idle_lock_seconds(self) -> int:
        """After how long without activity it locks; 0: never."""
        return self._idle_lock_seconds

    def touch(self) -> None:
        """Somebody used the vault: the idle time starts anew."""
        self._active_at = self._clock.monotonic()

    def on_lock(self, callback: Callable[[], Awaitable[None]]) -> None:
        """`callback` runs after each lock, when no call sees the keys any more; it has 5 s."""
        self._at_lock.append(callback)

    def on_change(self, callback: Callable[[], None]) -> None:
        """`callback` runs after each change of the state."""
        self._at_change.append(callback)

    # --- changes -----------------------------------------------------------------------------------------------------

    async def init(self, kind: KeystoreKind, passphrase: SecretBytes | None) -> None:
        """Makes a key in that keystore and a vault under it; leaves it open. VAULT_EXISTS whatever its state is."""
        await self._alone(self._init(kind, passphrase))

    async def unlock(self, passphrase: SecretBytes | None = None) -> None:
        """Fetches the key from where the header says. Nothing happens when it is open. VAULT_LOCKED: a lock came between."""
        await self._alone(self._unlock(passphrase))

    async def unlock_unattended(self) -> None:
        """At the agent's start: unlocks where no passphrase has to be typed. A failure is logged and leaves it locked."""
        kind = self.state().kind
        if kind not in (KeystoreKind.KEYCHAIN, KeystoreKind.CREDENTIAL):
            return
        try:
            await self.unlock()
        except KeybatonError as failure:
            self._log.event("unlock at start failed", keystore=kind.name.lower(), reason=failure.reason.value)

    async def lock(self) -> None:
        """Drops the keys. Ends an unlock that waits for its keystore; waits for any other change, and BUSY after 10 s
        means that the lock follows as soon as the change ends.

        The keys are overwritten when it returns, unless the disk holds up a write for longer than 5 s.
        """
        self._lock_wanted = True
        if self._loading is not None:
            self._loading.cancel()
        await self._alone(self._drop_keys())

    async def rekey(self, kind: KeystoreKind | None, passphrase: SecretBytes | None, progress: Progress) -> None:
        """New keys for every row, under `kind` or the same keystore as before. VAULT_LOCKED when it is not open."""
        await self._alone(self._rekey(kind, passphrase, progress))

    async def backup(self, path: str, passphrase: SecretBytes | None, progress: Progress) -> int:
        """Writes a copy that opens with `passphrase`; returns the number of items. VAULT_LOCKED when it is not open."""
        return await self._alone(self._backup(path, passphrase, progress))

    async def restore(
        self,
        path: str,
        passphrase: SecretBytes | None,
        kind: KeystoreKind | None,
        new_passphrase: SecretBytes | None,
        progress: Progress,
        *,
        replace: bool,
    ) -> Restored:
        """The backup at `path`, opened with `passphrase`, becomes the vault under a new key; leaves it open.

        `kind` None: as the present vault, else the keychain. The key of a replaced vault is kept: its file still needs it.
        """
        return await self._alone(self._restore(path, passphrase, kind, new_passphrase, progress, replace))

    async def watch_idle(self) -> None:
        """Locks after the idle time; runs as long as the agent. Returns at once when the setting says never."""
        limit = float(self._idle_lock_seconds)
        while limit > 0:
            remaining = limit - (self._clock.monotonic() - self._active_at) if self._vault.is_open else limit
            if remaining <= 0:
                self._log.event("idle lock", seconds=self._idle_lock_seconds)
                self.touch()
                try:
                    await self.lock()
                except KeybatonError as failure:
                    self._log.event("lock delayed", reason=failure.reason.value)
                continue
            await self._clock.sleep(remaining)

    async def close(self) -> None:
        """At the agent's end: refuses further changes, waits 10 s for the one that runs, then drops the keys."""
        self._closing = True
        if self._loading is not None:
            self._loading.cancel()
        if self._changes:
            await asyncio.wait(self._changes, timeout=WAIT_SECONDS)
        self._vault.close()

    # --- one at a time -----------------------------------------------------------------------------------------------

    async def _alone(self, change: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._mutex.acquire()
        except TimeoutError:
            change.close()
            raise KeybatonError(Reason.BUSY, busy="Another change of the vault's keys is under way") from None
        except BaseException:
            change.close()
            raise
        if self._closing:
            self._mutex.release()
            change.close()
            raise KeybatonError(Reason.SHUTTING_DOWN)
        task = asyncio.create_task(self._run(change))
        self._changes.add(task)
        task.add_done_callback(self._done)
        # Cut off half-way, a change would leave it to chance which key the vault needs.
        return await asyncio.shield(task)

    async def _run(self, change: Coroutine[Any, Any, T]) -> T:
        try:
            return await change
        finally:
            if self._lock_wanted:
                await self._drop_keys()

    def _done(self, task: asyncio.Task[Any]) -> None:
        """Before the caller goes on, and whatever became of it: what is not released here is BUSY for ever."""
        self._changes.discard(task)
        self.touch()
        self._mutex.release()
        for callback in self._at_change:
            callback()
        if not task.cancelled():
            task.exception()  # seen, should the caller have left

    async def _drop_keys(self) -> None:
        self._lock_wanted = False
        was_open = self._vault.is_open
        self._vault.close()
        if not was_open:
            return
        self._log.event("locked")
        for callback in (*self._at_lock, self._vault.wiped):
            try:
                async with asyncio.timeout(CALLBACK_SECONDS):
                    await callback()
            except Exception as failure:
                self._log.event("lock callback failed", error=type(failure).__name__)

    # --- the changes, in order ---------------------------------------------------------------------------------------

    async def _init(self, kind: KeystoreKind, passphrase: SecretBytes | None) -> None:
        if self._vault.header() is not None:
            raise KeybatonError(Reason.VAULT_EXISTS)
        await self._keys.settle(None)
        record, key = await self._keys.new(kind, passphrase, None)
        with wiped(key):
            await self._committed(record, self._vault.create(record, key))
            await self._opened(key)
        self._log.event("vault made", keystore=kind.name.lower())

    async def _unlock(self, passphrase: SecretBytes | None) -> None:
        header = self._present()
        if self._vault.is_open:
            return
        key = await self._load(header.record, passphrase)
        with wiped(key):
            if self._lock_wanted:  # it came while the key was fetched, and wins
                raise KeybatonError(Reason.VAULT_LOCKED)
            await self._opened(key)
        self._log.event("unlocked", keystore=header.record.kind.name.lower())
        await self._keys.settle(header.record)

    async def _rekey(self, kind: KeystoreKind | None, passphrase: SecretBytes | None, progress: Progress) -> None:
        old = self._present().record
        self._must_be_open()
        await self._keys.settle(old)
        record, key = await self._keys.new(kind or old.kind, passphrase, old, drops_old=True)
        with wiped(key):
            await self._committed(record, self._vault.rekey(record, key, progress))
        await self._keys.drop(old)
        self._log.event("vault rekeyed", keystore=record.kind.name.lower())

    async def _backup(self, path: str, passphrase: SecretBytes | None, progress: Progress) -> int:
        self._present()
        self._must_be_open()
        key, key_id = self._keys.fresh()
        with wiped(key):
            record = await self._keys.keystore(KeystoreKind.PASSPHRASE).store(key_id, key, passphrase)
            return await self._vault.backup(path, record, key, progress)

    async def _restore(
        self,
        path: str,
        passphrase: SecretBytes | None,
        kind: KeystoreKind | None,
        new_passphrase: SecretBytes | None,
        progress: Progress,
        replace: bool,
    ) -> Restored:
        try:
            header = self._vault.header()
        except KeybatonError:
            if not replace:
                raise
            header = None  # a damaged vault is set aside
        if header is not None and not replace:
            raise KeybatonError(Reason.VAULT_EXISTS)
        old = header.record if header is not None else None
        if old is not None:
            await self._keys.settle(old)

        async def opener(record: KeyRecord) -> SecretBytes:
            return await self._keys.keystore(record.kind).load(record, passphrase)

        kind = kind or (old.kind if old is not None else KeystoreKind.KEYCHAIN)
        record, key = await self._keys.new(kind, new_passphrase, old)
        with wiped(key):
            work = self._vault.restore(path, opener, record, key, progress, replace=replace)
            restored = await self._committed(record, work)
            await self._keys.kept()
            await self._opened(key)
        self._log.event("vault restored", keystore=record.kind.name.lower(), items=restored.items)
        return restored

    # --- steps -------------------------------------------------------------------------------------------------------

    def _present(self) -> Header:
        header = self._vault.header()
        if header is None:
            raise KeybatonError(Reason.VAULT_ABSENT)
        return header

    def _must_be_open(self) -> None:
        if not self._vault.is_open:
            raise KeybatonError(Reason.VAULT_LOCKED)

    async def _load(self, record: KeyRecord, passphrase: SecretBytes | None) -> SecretBytes:
        self._loading = asyncio.ensure_future(self._keys.keystore(record.kind).load(record, passphrase))
        try:
            return await self._loading
        except asyncio.CancelledError:
            if self._lock_wanted:
                raise KeybatonError(Reason.VAULT_LOCKED) from None
            raise
        finally:
            self._loading = None

    async def _opened(self, key: SecretBytes) -> None:
        if not self._vault.is_open:
            try:
                await self._vault.open(key)
            except KeybatonError as failure:
                self._unopened = failure if failure.reason in _CANNOT_OPEN else None
                raise
        self._unopened = None

    async def _committed(self, record: KeyRecord, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which makes the vault depend on `record`'s key. When it fails, the key goes, unless needed."""
        try:
            return await work
        except Exception:
            try:
                header = self._vault.header()
            except KeybatonError:
                raise  # nobody knows which key the file needs: keep both
            if header is None or header.record.key_id != record.key_id:
                await self._keys.drop(record)
            raise
