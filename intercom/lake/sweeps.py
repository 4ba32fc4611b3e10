"""The sweep of a table: the keys that its last complete read lacked, and what is known of each.

    _state/<connection>/<table>.sweep.parquet      columns: key, finding

A key leaves the sweep when a run meets its row again. The file is valid only if the mark in its footer is the one in
the table's record (`TableState.sweep`), as for the digests of rows: what a run wrote before it died, or wrote late, is
ignored, and so is a file that is damaged. A row is then doubted anew, and stays for longer.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import pyarrow as pa

from intercom.lake.layout import TablePaths
from intercom.lake.parquet import ParquetFile, is_damage, noted_version, open_parquet
from intercom.lake.storage import Lake

log = logging.getLogger(__name__)

_TYPES: Final[dict[str, pa.DataType]] = {"key": pa.string(), "finding": pa.string()}
_SCHEMA: Final = pa.schema(_TYPES)
_FINDINGS: Final = ("missing", "kept", "gone")


@dataclass(frozen=True, slots=True)
class Sweep:
    """Keys of a table's rows that a complete read lacked, each in one of three sets.

    `missing`: nothing else is known. `kept`: the row's own address has answered with it, so it is there. `gone`: it was
    decided that the row is gone, and it is to be removed once all staged rows are merged.
    The rows of a child table go with their parents, so there the keys are those of parents.
    """

    missing: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.missing or self.kept or self.gone)

    @property
    def keys(self) -> frozenset[str]:
        """All keys."""
        return self.missing | self.kept | self.gone

    def without(self, keys: Collection[str]) -> Sweep:
        """The sweep without keys whose rows were met since."""
        return Sweep(self.missing.difference(keys), self.kept.difference(keys), self.gone.difference(keys))


NO_SWEEP: Final = Sweep()


def read_sweep(lake: Lake, paths: TablePaths, mark: str) -> Sweep | None:
    """The sweep, if the file has this mark; None if it has another mark, is damaged or is missing."""
    content = lake.read_bytes(paths.sweep)
    if content is None:
        return None
    try:
        with open_parquet(BytesIO(content)) as file:
            if noted_version(file.metadata) != mark:
                return None
            rows = file.read()
        found: dict[str, set[str]] = {finding: set() for finding in _FINDINGS}
        for key, finding in zip(rows.column("key").to_pylist(), rows.column("finding").to_pylist(), strict=True):
            found[str(finding)].add(str(key))
    except Exception as error:
        if not (is_damage(error) or isinstance(error, KeyError)):
            raise
        log.warning("%s: %s is damaged and is ignored", paths.table, paths.sweep)
        return None
    return Sweep(**{finding: frozenset(keys) for finding, keys in found.items()})


def write_sweep(lake: Lake, paths: TablePaths, mark: str, sweep: Sweep) -> None:
    """Replace the table's sweep in one step."""
    found = [(finding, sorted(keys)) for finding in _FINDINGS for keys in (getattr(sweep, finding),)]
    rows = pa.Table.from_pydict(
        {
            "key": [key for _, keys in found for key in keys],
            "finding": [finding for finding, keys in found for _ in keys],
        },
        schema=_SCHEMA,
    )
    with lake.scratch() as path:
        with ParquetFile(path, _SCHEMA, mark) as file:
            file.write(rows)
        lake.publish(path, paths.sweep, rows=rows.num_rows)
