"""The staged parts that a table's record counts on: whether they are there, and can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.marks import are_marks
from intercom.lake.parquet import is_damage, open_parquet
from intercom.lake.staged_run import StagedRun
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable, StagedPart
from intercom.tables.table import Table
from intercom.verify.findings import Difference, Kind, Repair
from intercom.verify.published_file import ROWS_AT_ONCE, key_columns, row_keys


class StagedCheck:
    """Reads the parts of committed runs whole. `held` are those of the keys `wanted` that the parts have."""

    def __init__(
        self,
        table: Table,
        lake_table: LakeTable,
        state: TableState | None,
        files: Mapping[str, int],
        wanted: pa.Array,
    ) -> None:
        self._table, self._lake_table, self._wanted = table, lake_table, wanted
        self._runs = state.staged if state is not None else ()
        self._parts = lake_table.parts_of(files)
        self.held: set[str] = set()

    def differences(self) -> Iterator[Difference]:
        """A difference for each run that lacks parts, and for each part that cannot be read."""
        for run in self._runs:
            parts = [part for part in self._parts if part.attempt == run.attempt and 0 <= part.number < run.parts]
            yield from self._of_run(run, parts)

    def _of_run(self, run: StagedRun, parts: list[StagedPart]) -> Iterator[Difference]:
        where = f"{self._lake_table.paths.staging}/{run.attempt}"
        if len(parts) != run.parts:
            yield self._difference(where, f"{run.parts} parts", f"{len(parts)}")
            return
        rows = 0
        for part in parts:
            try:
                rows += self._rows(part)
            except Exception as error:
                if not is_damage(error):
                    raise
                yield self._difference(part.path, "pages with their checksums", "a damaged file")
                return
        # A record counts neither marks nor, of children, those that a full refresh has taken over from the lake.
        if rows < run.rows or (run.rows and rows > run.rows and not self._table.replaces_children):
            yield self._difference(where, f"{run.rows:,} rows", f"{rows:,}")

    def _rows(self, part: StagedPart) -> int:
        """The rows of a part, without marks."""
        rows = 0
        with self._lake_table.lake.fetch(part.path) as path, open_parquet(path) as file:
            has_keys = set(key_columns(self._table)) <= set(file.schema_arrow.names)
            for batch in file.iter_batches(ROWS_AT_ONCE, use_threads=False):
                rows += batch.num_rows
                if has_keys and self._table.replaces_children:
                    rows -= pc.sum(are_marks(batch, self._table)).as_py() or 0
                if has_keys and len(self._wanted):
                    keys = row_keys(self._table, batch)
                    self.held.update(map(str, keys.filter(pc.is_in(keys, value_set=self._wanted)).to_pylist()))
        return rows

    def _difference(self, where: str, expected: str, found: str) -> Difference:
        return Difference(self._table.name, Kind.STAGED, where, expected, found, Repair.READ_TABLE)
