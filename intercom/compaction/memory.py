"""The memory budget of merging and migrating, and a table of all bounds of memory in the package.

All merges and migrations of a process share one budget, `MERGING`. Reading has bounds of its own in each table.

==========================================  ===================================================  ==========
while a table is read                       what is bounded                                      MiB
==========================================  ===================================================  ==========
`sync.pipeline.WAITING_BYTES`               pages that wait to be decoded, as JSON (1)           8 (2)
`sync.pipeline._AT_ONCE_BYTES`              pages that are decoded together, as JSON (1)         3
`lake.staging.SPLIT_BYTES`                  rows that wait to be split by month                  4
`lake.staging.WAITING_MONTHS_BYTES`         rows that wait for more rows of their month          12
`lake.staging.WRITING_BYTES`                parts that are being written                         16
`sync.unchanged.WHOLE_KEPT`                 digests of 50,000 rows known and 125,000 seen        44
`sync.unchanged.NEWEST_KEPT`                the same of 10,000 and 25,000, of other tables       9
sum                                         one table; nine at once: 9 x 43 + 24 + 106           52; 517
==========================================  ===================================================  ==========

==========================================  ===================================================  ==========
while tables are merged or migrated         what is bounded                                      MiB
==========================================  ===================================================  ==========
`compaction.memory.MERGING`                 rows of all files in work in the process (3)         64
`compaction.staged_parts.RETAINED_BYTES`    staged rows that stay in memory between two passes   32 (4)
`compaction.staged_parts._BLOCK_BYTES`      staged rows that are put into another order at once  16 (4)
`compaction.spill.UNSPILLED_BYTES`          rows that were laid aside                            32 (4)
`lake.parquet.ROW_GROUP_BYTES`              a row group that is read, and one that is collected  2 x 32 (4)
`lake.conditional_put.IN_ONE_REQUEST`       a file that is published on S3, or three pieces      48 (6)
sum                                         (4) together: one large partition, alone             144
==========================================  ===================================================  ==========

==========================================  ===================================================  ==========
while a derived table is made               what is bounded                                      MiB
==========================================  ===================================================  ==========
`compaction.derived_month.PARENTS_AT_ONCE`  parents whose lists are taken apart at once: 512     32
`compaction.shares.ROWS_OF_A_SHARE`         rows whose keys are compared at once: 200,000        100
==========================================  ===================================================  ==========

==========================================  ===================================================  ==========
while keys are looked up, for each table    what is bounded                                      MiB
==========================================  ===================================================  ==========
`compaction.key_lookup.LITTLE_ROWS`         staged keys as text: 200,000 of some 30 bytes        6
beyond that, or where all was read          8 bytes for each staged and each stored row          (5)
`compaction.moved_rows.HASHES_AT_A_TIME`    of these the ones that are compared at once: 65,536  1
`compaction.shared_parts.DIVIDED_BYTES`     staged parts with rows of several months, twice      2 x 32
`lake.own_parts.KEYS_BYTES`                 key columns of parts that the process has staged     8 (8)
of child tables, up to `LITTLE_ROWS`        staged rows with keys of parents, some 70 bytes      14
beyond that                                 17 bytes for each answer, 25 for each marked parent  (7)
==========================================  ===================================================  ==========

(1) The objects of a page take several times the bytes of its JSON. (2) 32 for the scroll, which dies when it waits. (3)
Reckoned as `MemoryBudget.rows_of` says. (4) A partition whose rows exceed the whole budget is merged alone, and
streams: so much of it is in memory at the same time, and beside that the key columns of its staged rows. (5) Grows with
the table: 16 MiB for a first load of a million rows. (6) For each file that is being published, after its rows are let
go; 3 x 16 of a larger file. (7) Grows with the parents that a run has asked for: some 40 MiB for a million, and once as
much while they are sorted or looked up; beside that the keys of one month. (8) Of all tables of a run, from the time
when a part is staged.

Nine tables at once could so take 517 MiB for reading. They never do: five of the nine hold some hundred rows, a table
is merged after it was read, and a store that keeps up leaves the later bounds of reading empty. Measured, the whole
process with Prefect in it (tests/benchmarks/README.md, parts *volume* and *memory*): 284 MB at peak for a first load of
nine tables with 34,000 rows, 351 MB for one of 1,000,000 contacts. The promise is 400 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Condition
from typing import Final

import pyarrow as pa

_WORTH_RELEASING: Final = 4 << 20
_UNPACKED: Final = 10
"""Estimated bytes of rows in memory per byte of their Parquet file."""


class MemoryBudget:
    """At most `limit` bytes in use at a time; a thread waits until enough are free. A larger request runs alone."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._changed = Condition()

    def rows_of(self, files: Iterable[Path]) -> AbstractContextManager[None]:
        """Memory for the rows of local Parquet files, for the time of the block."""
        return self.taken(_UNPACKED * sum(path.stat().st_size for path in files))

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free, and reserve them for the time of the block.

        After a block of at least 4 MiB, Arrow's memory pool returns its unused memory to the system, because the pool
        keeps memory for each thread that has used it.
        """
        size = min(size, self.limit)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self.limit)
            self._taken += size
        try:
            yield
        finally:
            if size >= _WORTH_RELEASING:
                pa.default_memory_pool().release_unused()
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


MERGING: Final = MemoryBudget(64 << 20)
"""The budget of all merges of partitions and all migrations of files in this process, of all tables."""
