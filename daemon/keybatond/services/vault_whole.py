"""The vault as a whole: made, opened, locked, rekeyed, checked, copied. The items in it are vault.py's.

The header with the wrapped key lies in the same file as the rows, so that a rekey is one transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from keybaton_core.secret import SecretBytes
from keybaton_core.vault_header import ID_BYTES, Header
from keybaton_core.vault_keys import KEY_BYTES, NONCE_BYTES, SealBroken, VaultKeys
from keybaton_core.vault_rows import RowSealer, Totals
from keybaton_core.vault_wrap import unwrap, wrap
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Clock, Entropy, KeyHolder, KeyOpener, KeyRecord, Progress
from keybatond.services.open_vault import OpenVault
from keybatond.services.vault_answers import ReadAnswers
from keybatond.services.vault_check import Check
from keybatond.services.vault_compact import Compaction, Limits, Rule, compact, limits, preview
from keybatond.services.vault_copy import copy_vault
from keybatond.services.vault_front import VaultHeader, decoded, header_in, record_of
from keybatond.services.vault_reads import FLUSH_READS, FLUSH_SECONDS, READS_TOGETHER, encode_reads
from keybatond.services.vault_transaction import Changes
from keybatond.services.vault_types import ReadRecord, RestoreResult, opening
from keybatond.vault_ports import SET_ASIDE, VaultReader, VaultStore, VaultWriter

T = TypeVar("T")


class WholeVault:
    """One vault, without its items. All methods are called on the event loop's thread."""

    def __init__(self, store: VaultStore, clock: Clock, entropy: Entropy, holder: KeyHolder | None = None) -> None:
        """`holder`: keeps the keys of the open vault; without one they are ordinary secrets."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._hold = holder.hold if holder is not None else _as_it_is
        self._open: OpenVault | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._replacing = asyncio.Lock()
        self._replacements: set[asyncio.Task[Any]] = set()
        store.subscribe(self._drop_answers)

    @property
    def is_open(self) -> bool:
        """Whether the keys are in memory."""
        return self._open is not None

    def header(self) -> VaultHeader | None:
        """What the file says without a key; None where there is no vault. VAULT_DAMAGED, VAULT_NEWER, STORAGE_*."""
        return header_in(self._store)

    async def create(self, record: KeyRecord, wrapping_key: SecretBytes) -> None:
        """Makes an empty vault and opens it. VAULT_EXISTS: a file that is there is never replaced, whatever it is."""
        vault_key = SecretBytes(self._entropy.token(KEY_BYTES))
        header = self._wrapped(self._entropy.token(ID_BYTES), record, vault_key, wrapping_key)
        sealer = RowSealer(VaultKeys(vault_key, header.vault_id, self._hold), header.vault_id)
        vault_key.wipe()

        def fill(writer: VaultWriter) -> None:
            writer.put_header(header.encode())
            writer.put_totals(sealer.seal_totals(Totals(seals=1), self._entropy.token(NONCE_BYTES)))

        await self._store.create(fill)
        self._open = self._opening(sealer)

    async def open(self, wrapping_key: SecretBytes) -> None:
        """Unlocks. WRONG_KEY, VAULT_ABSENT, VAULT_DAMAGED, VAULT_NEWER. Nothing is written."""
        if not self._store.exists():
            raise KeybatonError(Reason.VAULT_ABSENT)
        await self._may_write.wait()  # the end of a rekey or restore
        reader = self._store.reader()
        header = decoded(reader.header())
        try:
            vault_key = unwrap(header, wrapping_key)
        except SealBroken:
            raise KeybatonError(Reason.WRONG_KEY) from None
        if self._open is not None and self._open.sealer.keys.same_vault_key(vault_key):
            return
        sealer = RowSealer(VaultKeys(vault_key, header.vault_id, self._hold), header.vault_id)
        vault_key.wipe()
        with opening():
            sealer.open_totals(reader.totals())
        self._open = self._opening(sealer)

    def close(self) -> None:
        """Locks: no later call sees the keys. Writes on their way are finished; after them the keys are overwritten."""
        was, self._open = self._open, None
        if was is not None:
            reads = list(was.reads)
            was.reads.clear()
            was.answers.drop()
            was.read_answers.wipe()
            self._store.submit(lambda writer: self._append_reads(writer, was.sealer, reads), was.sealer.keys.wipe)

    async def wiped(self) -> None:
        """After `close`: returns when the keys are overwritten."""
        await self._store.barrier()

    async def shutdown(self) -> None:
        """Locks and closes the file; for the end of the process."""
        self.close()
        if self._flushing is not None:
            self._flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flushing
        await self._store.close()

    def count(self) -> int:
        """How many items there are."""
        with opening():
            return self._opened().sealer.open_totals(self._store.reader().totals()).items

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` after each change of items; returns what ends that."""
        return self._store.subscribe(callback)

    async def rekey(self, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> None:
        """A new vault key under `wrapping_key`, everything sealed anew, history too, in one transaction; writes wait meanwhile.

        Killed at any instant, the vault opens with the old wrapping key or with the new one, as its header says.
        VAULT_DAMAGED when a row is not sound: nothing is changed then.
        """
        await self._finished(self._rekey(record, _copy(wrapping_key), progress))

    async def check(self, progress: Progress) -> list[str]:
        """Reads everything and compares the sealed count and sum; sentences for people, empty when sound."""
        return await self._under_one_key(
            lambda sealer: self._store.snapshot(lambda reader: Check(reader, sealer, progress).run()), doubtful=bool
        )

    async def compact(self, rule: Rule, progress: Progress, *, dry_run: bool) -> Compaction:
        """Forgets older versions for good, in one transaction, and makes the file smaller; writes wait meanwhile.

        `dry_run`: only says what would go.
        """
        stays = limits(rule, self._clock.now_ms())
        if dry_run:
            return await self._under_one_key(
                lambda sealer: self._store.snapshot(lambda reader: preview(reader, sealer, stays, progress))
            )
        return await self._finished(self._compact(stays, progress))

    async def backup(self, path: str, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> int:
        """Writes a copy with a vault key of its own, which opens with `wrapping_key`; how many items it has. FILE_EXISTS."""

        async def write(source: RowSealer) -> int:
            vault_key = SecretBytes(self._entropy.token(KEY_BYTES))
            header = self._wrapped(source.vault_id, record, vault_key, wrapping_key)
            target = RowSealer(VaultKeys(vault_key, header.vault_id), header.vault_id)
            vault_key.wipe()
            self._flush_reads()
            await self._store.barrier()

            def copy(reader: VaultReader, writer: VaultWriter) -> Totals:
                writer.put_header(header.encode())
                return copy_vault(reader, writer, source, target, self._entropy, progress, in_place=False)

            try:
                return (await self._store.copy_to(path, copy)).items
            finally:
                target.keys.wipe()

        return await self._under_one_key(write)

    async def restore(
        self,
        path: str,
        opener: KeyOpener,
        record: KeyRecord,
        wrapping_key: SecretBytes,
        progress: Progress,
        *,
        replace: bool,
    ) -> RestoreResult:
        """Puts the backup at `path` in this vault's place, under a new vault key, and opens it.

        Every row of the backup is opened before anything changes; the replaced file is kept. `opener` gives the backup's key.
        VAULT_EXISTS without `replace`; WRONG_KEY, VAULT_DAMAGED, VAULT_NEWER, FILE_UNREADABLE for the backup.
        """
        there = decoded(await self._store.header_of(path))
        backup_key = await opener(record_of(there))
        try:
            vault_key = unwrap(there, backup_key)
        except SealBroken:
            raise KeybatonError(Reason.WRONG_KEY) from None
        finally:
            backup_key.wipe()
        source = RowSealer(VaultKeys(vault_key, there.vault_id), there.vault_id)
        vault_key.wipe()
        new_key = _copy(wrapping_key)

        async def work() -> RestoreResult:
            try:
                return await self._restore(path, source, record, new_key, progress, replace=replace)
            finally:
                source.keys.wipe()

        return await self._finished(work())

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _opening(self, sealer: RowSealer) -> OpenVault:
        return OpenVault(sealer, ReadAnswers(self._hold(SecretBytes(self._entropy.token(KEY_BYTES))), self._entropy))

    def _opened(self) -> OpenVault:
        if self._open is None:
            raise KeybatonError(Reason.VAULT_ABSENT if self.header() is None else Reason.VAULT_LOCKED)
        return self._open

    async def _under_one_key(
        self, work: Callable[[RowSealer], Awaitable[T]], doubtful: Callable[[T], bool] = lambda _: False
    ) -> T:
        """What `work` gives with the keys of the open vault. It begins anew where they were changed under it.

        By a rekey or restore: it then found them wiped, or rows that they do not open, and would say that the vault is locked or
        damaged. `doubtful`: whether its result may have come so.
        """
        while True:
            sealer = self._opened().sealer
            try:
                result = await work(sealer)
                if not doubtful(result) or not await self._changed(sealer):
                    return result
            except KeybatonError:
                if not await self._changed(sealer):
                    raise

    async def _changed(self, sealer: RowSealer) -> bool:
        """Whether the vault is open under other keys, once a change that is under way is over."""
        await self._may_write.wait()
        return self._open is not None and self._open.sealer is not sealer

    async def edit(self, change: Callable[[Changes], T]) -> T:
        """Runs `change` in one transaction, durable when it returns; what it raises undoes all of it. It may run twice."""
        self._opened()
        await self._may_write.wait()
        sealer = self._opened().sealer

        def job(writer: VaultWriter) -> T:
            changes = Changes(writer, sealer, self._entropy, self._clock.now_ms())
            result = change(changes)
            changes.finish()
            return result

        return await self._store.write(job)

    def _wrapped(self, vault_id: bytes, record: KeyRecord, vault_key: SecretBytes, wrapping_key: SecretBytes) -> Header:
        header = Header(vault_id, record.kind, bytes.fromhex(record.key_id), record.parameters)
        return wrap(header, vault_key, wrapping_key, self._entropy.token(NONCE_BYTES))

    async def _rekey(self, record: KeyRecord, wrapping_key: SecretBytes, progress: Progress) -> None:
        async with self._replacing:
            source = self._opened().sealer
            vault_key = SecretBytes(self._entropy.token(KEY_BYTES))
            header = self._wrapped(source.vault_id, record, vault_key, wrapping_key)
            wrapping_key.wipe()
            target = RowSealer(VaultKeys(vault_key, header.vault_id, self._hold), header.vault_id)
            vault_key.wipe()

            def job(writer: VaultWriter) -> None:
                copy_vault(writer, writer, source, target, self._entropy, progress, in_place=True)
                writer.put_header(header.encode())

            self._flush_reads()
            self._may_write.clear()
            try:
                await self._store.barrier()
                # Readers stay with the old rows until their keys change with them, on this thread, between two calls.
                self._store.pin()
                try:
                    await self._store.write(job)
                except BaseException:
                    target.keys.wipe()
                    raise
                finally:
                    self._store.unpin()
                if self._open is not None and self._open.sealer is source:
                    self._open.sealer = target
                    source.keys.wipe()
                else:  # locked meanwhile
                    target.keys.wipe()
            finally:
                self._may_write.set()
            await self._store.fold()

    async def _compact(self, stays: Limits, progress: Progress) -> Compaction:
        async with self._replacing:
            sealer = self._opened().sealer

            def job(writer: VaultWriter) -> Compaction:
                changes = Changes(writer, sealer, self._entropy, self._clock.now_ms())
                done = compact(changes, writer, sealer, stays, progress)
                changes.finish()
                return done

            self._may_write.clear()
            try:
                done = await self._store.write(job)
                await self._store.shrink()
            finally:
                self._may_write.set()
            return done

    async def _restore(
        self,
        path: str,
        source: RowSealer,
        record: KeyRecord,
        wrapping_key: SecretBytes,
        progress: Progress,
        *,
        replace: bool,
    ) -> RestoreResult:
        async with self._replacing:
            vault_key = SecretBytes(self._entropy.token(KEY_BYTES))
            header = self._wrapped(self._entropy.token(ID_BYTES), record, vault_key, wrapping_key)
            wrapping_key.wipe()
            target = RowSealer(VaultKeys(vault_key, header.vault_id, self._hold), header.vault_id)
            vault_key.wipe()
            aside = f"{SET_ASIDE}{self._clock.now_ms()}" if replace and self._store.exists() else None

            def copy(reader: VaultReader, writer: VaultWriter) -> Totals:
                writer.put_header(header.encode())
                return copy_vault(reader, writer, source, target, self._entropy, progress, in_place=False)

            self._flush_reads()
            self._may_write.clear()
            try:
                await self._store.barrier()
                totals, set_aside = await self._store.replace_from(path, copy, aside)
                if self._open is not None:
                    self._open.reads.clear()  # they are the replaced vault's
                self.close()
                self._open = self._opening(target)
            except BaseException:
                target.keys.wipe()
                raise
            finally:
                self._may_write.set()
            return RestoreResult(totals.items, set_aside)

    def _drop_answers(self) -> None:
        """After each commit, before whoever asked for it is answered."""
        if self._open is not None:
            self._open.answers.drop()
            self._open.read_answers.drop()

    def _note_read(self, session: OpenVault, read: ReadRecord) -> None:
        reads = session.reads
        reads.append(read)
        if len(reads) >= FLUSH_READS:
            self._flush_reads()
        elif self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush_later())

    async def _flush_later(self) -> None:
        await self._clock.sleep(FLUSH_SECONDS)
        self._flush_reads()

    def _flush_reads(self) -> None:
        session = self._open
        if session is None or not session.reads or not self._may_write.is_set():
            return
        reads, sealer = list(session.reads), session.sealer
        session.reads.clear()
        self._store.submit(lambda writer: self._append_reads(writer, sealer, reads), lambda: None)

    def _append_reads(self, writer: VaultWriter, sealer: RowSealer, reads: Sequence[ReadRecord]) -> None:
        if not reads:
            return
        changes = Changes(writer, sealer, self._entropy, self._clock.now_ms())
        for at in range(0, len(reads), READS_TOGETHER):
            changes.add_reads(encode_reads(reads[at : at + READS_TOGETHER]))
        changes.finish()

    async def _finished(self, work: Coroutine[Any, Any, T]) -> T:
        """Ends `work` even when the caller goes away: keys in memory and file must change together."""
        task = asyncio.get_running_loop().create_task(work)
        self._replacements.add(task)
        task.add_done_callback(self._replacements.discard)
        return await asyncio.shield(task)


def _copy(key: SecretBytes) -> SecretBytes:
    """A key for work that goes on after its caller has left and wiped his."""
    return SecretBytes(key.reveal())


def _as_it_is(keys: SecretBytes) -> SecretBytes:
    return keys
