"""VaultStore on one SQLite file: wires files, reading connections and the writer's thread."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, cast

from keybatond.adapters.sqlite_store import files, schema
from keybatond.adapters.sqlite_store.committer import Committer, Job, Outcome
from keybatond.adapters.sqlite_store.copies import Copies
from keybatond.adapters.sqlite_store.failures import translate, translated
from keybatond.adapters.sqlite_store.head import OwnHead, check_copy
from keybatond.adapters.sqlite_store.rows import RowReader, RowWriter
from keybatond.errors import KeybatonError, Reason
from keybatond.ports import Exposed
from keybatond.vault_ports import VaultReader, VaultWriter

T = TypeVar("T")

STOP_SECONDS: Final = 20.0  # a commit that hangs longer than this does not keep the agent from ending


class SqliteStore:
    """One vault file at `path`. Its folder is made, mode 0700, when the file is."""

    def __init__(self, path: Path, exposed: Callable[[Exposed], None] = lambda _: None) -> None:
        """`exposed` is told of files that other users could reach."""
        self._path = path
        self._exposed = exposed
        self._committer = Committer(self._connect_writer)
        self._copies = Copies(path)
        self._head = OwnHead(path)
        self._reading: sqlite3.Connection | None = None
        self._reader: RowReader | None = None
        self._tidied = False  # what a killed process left was looked for
        self._frozen = False  # the reader looks at the file as if nobody could change it
        self._thawed = False  # a writer has come since
        self._unfolded = False  # replaced rows are still there, since somebody read them when they should have gone
        self._subscribers: list[Callable[[], None]] = []

    def exists(self) -> bool:
        return files.is_there(self._path)

    def reader(self) -> VaultReader:
        if self._frozen and self._thawed:
            self._close_reader()
        if self._reader is None:
            with translated():
                self._reading, self._frozen = self._connect_reader()
            self._thawed = False
            self._reader = RowReader(self._reading)
        return self._reader

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._subscribers.append(callback)

        def end() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return end

    async def create(self, fill: Callable[[VaultWriter], T]) -> T:
        return await asyncio.to_thread(self._create, fill)

    async def write(self, job: Callable[[VaultWriter], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()

        def settle(outcome: Outcome) -> None:
            if outcome.error is None:
                for callback in tuple(self._subscribers):
                    callback()
            if future.done():  # the caller has gone; the job is done all the same
                return
            if outcome.error is None:
                future.set_result(outcome.result)
            else:
                future.set_exception(outcome.error)

        def report(outcome: Outcome) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, outcome)

        self._committer.give(Job(job, report))
        result = cast(T, await future)
        if self._unfolded:
            await asyncio.to_thread(self._fold_log, wait=False)
        return result

    def submit(self, job: Callable[[VaultWriter], object], finally_: Callable[[], None]) -> None:
        try:
            self._committer.give(Job(job, lambda _outcome: finally_()))
        except KeybatonError:
            finally_()

    async def barrier(self) -> None:
        loop = asyncio.get_running_loop()
        passed = asyncio.Event()
        if self._committer.running:
            self._committer.give(Job(None, lambda _outcome: cast(None, loop.call_soon_threadsafe(passed.set))))
            await passed.wait()

    def pin(self) -> None:
        if self._frozen:
            self._close_reader()
        self.reader()
        if self._frozen or self._reading is None:
            raise KeybatonError(Reason.STORAGE_READ_ONLY, problem="no room for the log")
        with translated():
            self._reading.execute("BEGIN")
        self.reader().totals()  # a transaction's view begins with its first read

    def unpin(self) -> None:
        if self._reading is not None and self._reading.in_transaction:
            with translated():
                self._reading.execute("ROLLBACK")

    async def fold(self) -> None:
        await asyncio.to_thread(self._fold_log)

    async def shrink(self) -> None:
        await asyncio.to_thread(self._shrink)

    async def snapshot(self, job: Callable[[VaultReader], T]) -> T:
        return await asyncio.to_thread(self._snapshot, job)

    async def copy_to(self, path: str, job: Callable[[VaultReader, VaultWriter], T]) -> T:
        return await asyncio.to_thread(self._copy_to, Path(path), job)

    async def header_of(self, path: str) -> bytes:
        def read() -> bytes:
            with contextlib.closing(self._connect_foreign(Path(path))) as connection:
                return RowReader(connection).header()

        return await asyncio.to_thread(read)

    async def replace_from(
        self, path: str, job: Callable[[VaultReader, VaultWriter], T], aside: str | None
    ) -> tuple[T, str]:
        kept = None if aside is None else files.free_name(self._path.with_name(self._path.name + aside))
        try:
            result = await asyncio.to_thread(self._replace_from, Path(path), job, kept)
        finally:
            self._close_reader()  # it may look at the replaced file
        return result, "" if kept is None else str(kept)

    async def close(self) -> None:
        # The writer is the last to close: SQLite then folds the log into the file and removes it.
        self._close_reader()
        await asyncio.to_thread(self._stop_writer)
        self._head.close()

    # --- connections -----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Looks at the files before SQLite does. VAULT_ABSENT, and what `check_own` and `OwnHead.check` raise."""
        try:
            if not self._tidied:
                self._tidy()
                self._tidied = True  # once: later on there is work of this process
            files.check_own(self._path, self._exposed)
            self._head.check()
        except FileNotFoundError:
            raise KeybatonError(Reason.VAULT_ABSENT) from None
        except OSError as error:
            raise translate(error) from None

    def _tidy(self) -> None:
        """Takes back what was under way when a process was killed. OSError when the log cannot be brought back."""
        files.undo_exchange(self._path)
        self._unfolded = files.log_bytes(self._path) > 0  # what was to go may be in the log of a killed process
        with contextlib.suppress(OSError):  # it takes only room
            files.remove_leftovers(self._path)

    def _connect_reader(self) -> tuple[sqlite3.Connection, bool]:
        """A reading connection, and whether it sees a frozen file.

        On a full or read-only disk SQLite cannot make the log's index beside the file. Secrets stay readable then: with an empty
        log the file alone is the whole truth, until a writer comes.
        """
        self._check()
        try:
            return self._opened("mode=ro"), False
        except sqlite3.Error as error:
            if translate(error).reason not in {Reason.STORAGE_FULL, Reason.STORAGE_READ_ONLY}:
                raise
            if files.log_bytes(self._path):
                raise
            return self._opened("mode=ro&immutable=1"), True

    def _opened(self, options: str) -> sqlite3.Connection:
        connection = schema.connect(self._path, options, schema.READER_BUSY_MS)
        try:
            schema.check_tables(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_writer(self) -> sqlite3.Connection:
        self._check()
        connection = schema.connect(self._path, "mode=rw", schema.WRITER_BUSY_MS)
        try:
            schema.check_tables(connection)
            schema.make_durable(connection)
        except BaseException:
            connection.close()
            raise
        self._thawed = True
        return connection

    def _connect_foreign(self, path: Path) -> sqlite3.Connection:
        """A copy that nobody else changes; nothing is made beside it.

        A file with a log beside it, as that of a vault in use, is no such copy: read without its log it is an older vault.
        """
        try:
            own = files.is_there(self._path) and path.samefile(self._path)
            if not own:
                check_copy(path)
            if files.log_bytes(path):
                raise KeybatonError(Reason.FILE_UNREADABLE, path=str(path), problem="has a log beside it")
            if own:
                raise KeybatonError(Reason.FILE_UNREADABLE, path=str(path), problem="is the vault itself")
        except OSError as error:
            problem = translate(error).data["problem"]
            raise KeybatonError(Reason.FILE_UNREADABLE, path=str(path), problem=problem) from None
        with translated():
            connection = schema.connect(path, "mode=ro&immutable=1", schema.READER_BUSY_MS)
            try:
                schema.check_tables(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _close_reader(self) -> None:
        if self._reading is not None:
            self._reading.close()
        self._reading = self._reader = None
        self._frozen = False

    # --- whole files, in a thread ----------------------------------------------------------------------------------

    def _create(self, fill: Callable[[VaultWriter], T]) -> T:
        with translated():
            files.make_folder(self._path.parent)
            if files.is_there(self._path):
                raise KeybatonError(Reason.VAULT_EXISTS)
            files.remove_leftovers(self._path)
            return self._build(files.new_file(self._path), fill, self._place_vault, log_mode=True)

    def _place_vault(self, new: Path) -> None:
        try:
            files.place(new, self._path)
        except FileExistsError:
            raise KeybatonError(Reason.VAULT_EXISTS) from None

    def _snapshot(self, job: Callable[[VaultReader], T]) -> T:
        with translated():
            connection, _frozen = self._connect_reader()
            with contextlib.closing(connection):
                connection.execute("BEGIN")
                result = job(RowReader(connection))
        if self._unfolded:
            self._fold_log(wait=False)
        return result

    def _copy_to(self, path: Path, job: Callable[[VaultReader, VaultWriter], T]) -> T:
        def put(new: Path) -> None:
            try:
                files.place(new, path)
            except FileExistsError:
                raise KeybatonError(Reason.FILE_EXISTS, path=str(path)) from None

        def copy(reader: VaultReader) -> T:
            try:
                new = self._copies.new_file(path)
            except OSError as error:  # the vault's own folder is not what is wrong
                failure = translate(error)
                raise KeybatonError(failure.reason, folder=str(path.parent), **failure.data) from None
            return self._build(new, lambda writer: job(reader, writer), put, log_mode=False)

        with translated():
            if files.is_there(path):
                raise KeybatonError(Reason.FILE_EXISTS, path=str(path))
        return self._snapshot(copy)

    def _replace_from(self, path: Path, job: Callable[[VaultReader, VaultWriter], T], aside: Path | None) -> T:
        def put(new: Path) -> None:
            if aside is None:
                self._place_vault(new)
                return
            self._stop_writer()
            self._fold_log()
            try:
                files.exchange(new, self._path, aside)
            except OSError:
                files.undo_exchange(self._path)
                raise
            self._stop_writer()  # one that came meanwhile holds the replaced file

        with translated(), contextlib.closing(self._connect_foreign(path)) as connection:
            files.make_folder(self._path.parent)
            if aside is None and files.is_there(self._path):
                raise KeybatonError(Reason.VAULT_EXISTS)
            files.remove_leftovers(self._path)
            reader = RowReader(connection)
            return self._build(files.new_file(self._path), lambda writer: job(reader, writer), put, log_mode=True)

    def _stop_writer(self) -> None:
        if not self._committer.stop(STOP_SECONDS):
            raise KeybatonError(Reason.STORAGE_FAILED, problem="writer hangs")

    def _fold_log(self, *, wait: bool = True) -> None:
        """Brings a sound vault's log into its file and empties it; a damaged vault keeps its log as it is.

        `wait`: for readers of what is to go; writers wait meanwhile.
        """
        self._unfolded = True
        with (
            contextlib.suppress(KeybatonError, sqlite3.Error),
            contextlib.closing(self._connect_writer()) as connection,
        ):
            if not wait:
                connection.execute("PRAGMA busy_timeout = 0")
            # A reader may keep the last close from doing it.
            ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._unfolded = bool(busy)

    def _shrink(self) -> None:
        with (
            contextlib.suppress(KeybatonError, sqlite3.Error),
            contextlib.closing(self._connect_writer()) as connection,
        ):
            connection.execute(
                "PRAGMA temp_store = FILE"
            )  # a copy of all rows, sealed as they are, is too much for memory
            connection.execute("VACUUM")
        self._fold_log()

    def _build(self, new: Path, fill: Callable[[VaultWriter], T], put: Callable[[Path], None], *, log_mode: bool) -> T:
        """Fills the empty file `new`, then lets `put` give it its name. `log_mode`: as a live vault, not as a copy."""
        try:
            with contextlib.closing(schema.connect(new, "mode=rw", schema.WRITER_BUSY_MS)) as connection:
                schema.build(connection)
                connection.execute("BEGIN IMMEDIATE")
                result = fill(RowWriter(connection))
                connection.execute("COMMIT")
                if log_mode:
                    connection.execute("PRAGMA journal_mode = WAL")
            put(new)
        except BaseException:
            with contextlib.suppress(OSError):
                files.discard(new)
            raise
        return result
