"""A buffer of numbered groups of rows, in memory up to a bound, and beyond that in files on the local disk."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pyarrow as pa

UNSPILLED_BYTES = 32 << 20
"""Most Arrow bytes of rows in memory."""


class SpillBuffer:
    """Tables of one schema, each under the number of its group.

    When they exceed `held_bytes`, all of them go to a file next to the path `beside`. The files are deleted when the
    block ends.
    """

    def __init__(self, beside: Path, held_bytes: int = UNSPILLED_BYTES) -> None:
        self._beside, self._held_bytes = beside, held_bytes
        self._held: dict[int, list[pa.Table]] = {}
        self._bytes = 0
        self._files: list[Path] = []
        self._spilled: dict[int, list[tuple[Path, int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)

    def put(self, number: int, rows: pa.Table) -> None:
        """Keep rows under a number."""
        self._held.setdefault(number, []).append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self._held_bytes:
            self._spill()

    def take(self, number: int) -> list[pa.Table]:
        """Remove all tables of a number and give them, in any order."""
        held = self._held.pop(number, [])
        self._bytes -= sum(rows.nbytes for rows in held)
        return [*(_read(*place) for place in self._spilled.pop(number, [])), *held]

    def _spill(self) -> None:
        path = self._beside.with_suffix(f".{len(self._files)}.arrow")
        self._files.append(path)
        schema = next(iter(self._held.values()))[0].schema
        with pa.ipc.new_file(str(path), schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
            written = 0
            for number, tables in self._held.items():
                for batch in pa.concat_tables(tables).combine_chunks().to_batches():
                    file.write_batch(batch)
                    self._spilled.setdefault(number, []).append((path, written))
                    written += 1
        self._held, self._bytes = {}, 0


def _read(path: Path, number: int) -> pa.Table:
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as file:
        return pa.Table.from_batches([file.get_batch(number)])
