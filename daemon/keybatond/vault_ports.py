"""What the vault needs from storage: sealed rows found by keyed tags, transactions, and whole files put in place at once.

Every call fails with KeybatonError: VAULT_DAMAGED, VAULT_NEWER, STORAGE_FULL, STORAGE_READ_ONLY or STORAGE_FAILED; what was there
before the failing call is there after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from keybaton_core.vault_parts import Row

T = TypeVar("T")

SET_ASIDE: Final = ".replaced-"  # how the name of a replaced vault goes on, behind the vault's own


class VaultReader(Protocol):
    """Reads of one consistent state. Rows are sealed; nothing here knows a name."""

    def header(self) -> bytes:
        """The header's bytes."""

    def totals(self) -> bytes:
        """The sealed totals."""

    def live(self, tag: bytes) -> Row | None:
        """The item that has this tag now."""

    def misfiled(self, tag: bytes) -> bool:
        """Whether rows near where this tag would be found are not filed under their own: then it may be there all the same."""

    def misgrouped(self, group: bytes, first: int, last: int) -> bool:
        """Whether a row next to those listed of a group, from position `first` to `last`, is not filed under its own group.

        Then more may belong to it. Both are 0 where none were listed.
        """

    def removed(self, tag: bytes) -> Row | None:
        """The latest removal of an item that had this tag when it was removed."""

    def item(self, seq: int) -> Row | None:
        """The newest version of the item at `seq`."""

    def listed(self, group: bytes | None, after: int, limit: int) -> list[Row]:
        """Up to `limit` live rows above position `after`, in order, without bodies; of one group or of all."""

    def linking(self, tag: bytes) -> list[int]:
        """Positions of the databases whose links have this tag."""

    def past(self, item_id: bytes, version: int) -> Row | None:
        """One version of the history."""

    def past_before(self, item_id: bytes, version: int, limit: int) -> list[Row]:
        """Up to `limit` versions of one item below `version`, newest first, without bodies."""

    def items_after(self, seq: int, limit: int) -> list[Row]:
        """Up to `limit` whole rows, live and removed, above position `seq`."""

    def history_after(self, position: int, limit: int) -> list[Row]:
        """Up to `limit` whole rows of the history above `position`; `seq` is their position."""

    def links_after(self, tag: bytes, seq: int, limit: int) -> list[tuple[bytes, int]]:
        """Up to `limit` links (tag, position) above that pair."""

    def reads_before(self, number: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` batches of the read log below `number`, newest first."""

    def page_findings(self) -> list[str]:
        """What is wrong with the file's own structure; empty when it is sound."""


class VaultWriter(VaultReader, Protocol):
    """Reads and changes within one transaction."""

    def put_header(self, content: bytes) -> None:
        """Sets the header."""

    def put_totals(self, content: bytes) -> None:
        """Sets the sealed totals."""

    def put_item(self, row: Row) -> None:
        """Stores the newest version of an item at its position, in place of what is there."""

    def drop_item(self, seq: int) -> None:
        """Takes the row at a position away."""

    def put_past(self, row: Row) -> None:
        """Stores one more version of the history. VAULT_DAMAGED when it is there already."""

    def replace_past(self, row: Row) -> None:
        """Stores the same version, sealed anew, at the position `row.seq` of the history."""

    def drop_past(self, position: int) -> None:
        """Takes the version at that position of the history away."""

    def put_link(self, tag: bytes, seq: int) -> None:
        """Notes that the database at `seq` has a link with this tag."""

    def drop_link(self, tag: bytes, seq: int) -> None:
        """Forgets one link."""

    def drop_links(self) -> None:
        """Forgets every link."""

    def put_reads(self, number: int, content: bytes) -> None:
        """Stores one batch of the read log, in place of what is there."""

    def drop_reads(self, number: int) -> None:
        """Takes one batch of the read log away."""


class VaultStore(Protocol):
    """One vault file."""

    def exists(self) -> bool:
        """Whether there is a file, usable or not."""

    def reader(self) -> VaultReader:
        """Point reads of the newest committed state, for the event loop's thread alone; never waits for a writer."""

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` on the event loop after each commit of `write`; returns what ends that."""

    async def create(self, fill: Callable[[VaultWriter], T]) -> T:
        """Makes the file with what `fill` writes, complete and durable or not at all. VAULT_EXISTS, never replaces one."""

    async def write(self, job: Callable[[VaultWriter], T]) -> T:
        """Runs `job` in the writer's thread; durable when it returns, nothing kept when `job` raises.

        Several waiting jobs share a transaction, each in a savepoint. `job` may run twice, the first time in vain. BUSY.
        """

    def submit(self, job: Callable[[VaultWriter], object], finally_: Callable[[], None]) -> None:
        """As `write`, without waiting, telling subscribers or failing; `finally_` runs in any case, mostly in another thread."""

    async def barrier(self) -> None:
        """Returns when every job given before has ended."""

    def pin(self) -> None:
        """Holds `reader` at the present state until `unpin`."""

    def unpin(self) -> None:
        """Lets `reader` see the newest state again."""

    async def fold(self) -> None:
        """Leaves no copy of replaced rows in a log, where readers forbid it once they have left; no error when it cannot."""

    async def shrink(self) -> None:
        """As `fold`, and gives the room of what was taken away back to the disk; no error when it cannot."""

    async def snapshot(self, job: Callable[[VaultReader], T]) -> T:
        """Runs `job` in a thread on one consistent state, however long it takes."""

    async def copy_to(self, path: str, job: Callable[[VaultReader, VaultWriter], T]) -> T:
        """Runs `job` from one consistent state of this vault to a new file at `path`, complete and durable or not at all.

        FILE_EXISTS, never replaces a file; STORAGE_* with its `folder` when none can be made there.
        """

    async def header_of(self, path: str) -> bytes:
        """The header of another vault file. FILE_UNREADABLE, VAULT_DAMAGED, VAULT_NEWER."""

    async def replace_from(
        self, path: str, job: Callable[[VaultReader, VaultWriter], T], aside: str | None
    ) -> tuple[T, str]:
        """Runs `job` from the vault file at `path` to a new file that then takes this vault's place, durable when it returns.

        The replaced vault is kept beside it, its name with `aside` (which begins with SET_ASIDE) behind it, and that path is the
        second result; None: there must be none (VAULT_EXISTS), and the path is empty. No write may be on its way.
        """

    async def close(self) -> None:
        """Ends waiting jobs first, then closes the file."""
