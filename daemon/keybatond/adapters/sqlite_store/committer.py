"""The writer's thread: commits waiting jobs together, each in a savepoint of its own, and reports after the commit."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from keybatond.adapters.sqlite_store.failures import translate
from keybatond.adapters.sqlite_store.rows import RowWriter
from keybatond.errors import KeybatonError, Reason

WAITING_MAX: Final = 4096  # more waiting writes than any client makes at once: then it is BUSY
TOGETHER_MAX: Final = 256  # jobs in one transaction; bounds how long the first of them waits


class Outcome(NamedTuple):
    """What became of a job: its result, or the error that it or the commit raised."""

    result: object = None
    error: BaseException | None = None


class Job(NamedTuple):
    """Work in a transaction (`run`), or between transactions (`run` is None)."""

    run: Callable[[RowWriter], object] | None
    report: Callable[[Outcome], None]  # called in the writer's thread, after the commit

    def start(self, writer: RowWriter) -> object:
        """The result of work in a transaction."""
        assert self.run is not None
        return self.run(writer)


class _RolledBack(Exception):
    """SQLite gave up the whole transaction, not only one job's savepoint."""


class Committer:
    """Owns the writing connection. `connect` opens it in the writer's thread at the first job, again after a failure."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def give(self, job: Job) -> None:
        """Lets `job` wait for the next transaction. BUSY when too many wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="vault-writer", daemon=True)
            self._thread.start()
        if self._jobs.qsize() >= WAITING_MAX:
            raise KeybatonError(Reason.BUSY, busy="Too many changes wait for the disk")
        self._jobs.put(job)

    @property
    def running(self) -> bool:
        """Whether the thread has been started."""
        return self._thread is not None

    def stop(self, timeout: float) -> bool:
        """Ends the jobs given before, closes the connection; whether that was done within `timeout` seconds."""
        thread = self._thread
        if thread is None:
            return True
        self._jobs.put(None)
        thread.join(timeout)
        self._thread = None
        return not thread.is_alive()

    def _work(self) -> None:
        stopping = False
        while not stopping:
            batch: list[Job] = []
            next_job = self._jobs.get()
            while next_job is not None and next_job.run is not None:
                batch.append(next_job)
                if len(batch) == TOGETHER_MAX:
                    break
                try:
                    next_job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            if batch:
                self._commit(batch)
            if next_job is None:
                stopping = True
            elif next_job.run is None:
                next_job.report(Outcome())
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _commit(self, batch: list[Job]) -> None:
        try:
            outcomes = self._transaction(batch)
        except _RolledBack:
            outcomes = []
        except Exception as error:
            outcomes = [Outcome(error=error)]
        if len(batch) > 1 and len(outcomes) != len(batch):
            for job in batch:  # the one that made the whole fail must not take the others with it
                self._commit([job])
            return
        for job, outcome in zip(batch, outcomes, strict=True):
            job.report(outcome)

    def _transaction(self, batch: list[Job]) -> list[Outcome]:
        """One outcome for each job. Raises when the transaction as a whole failed."""
        connection = self._connection
        try:
            if connection is None:
                connection = self._connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            writer = RowWriter(connection)
            if len(batch) == 1:  # what it raises undoes the transaction: no savepoint is needed
                outcomes = [Outcome(batch[0].start(writer))]
            else:
                outcomes = [self._savepoint(connection, writer, job) for job in batch]
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._abandon()
            raise translate(error) from None
        except BaseException:
            self._abandon()
            raise
        return outcomes

    def _savepoint(self, connection: sqlite3.Connection, writer: RowWriter, job: Job) -> Outcome:
        connection.execute("SAVEPOINT job")
        try:
            result = job.start(writer)
        except Exception as error:
            if not connection.in_transaction:
                raise _RolledBack from None
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return Outcome(error=error)
        connection.execute("RELEASE job")
        return Outcome(result)

    def _abandon(self) -> None:
        """After a failed transaction: undoes what is left of it."""
        if self._connection is None or not self._connection.in_transaction:
            return
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection.close()
            self._connection = None
