"""What a process knows of the staged parts that it has written itself, so that its merge need not open them for that.

The merge of a run mostly follows its read in the same process. For each part the digest of its file is kept, and its
key columns as long as they fit. A part of which nothing is known, because another process has staged it, is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

import pyarrow as pa

from intercom.lake.parquet import ChangedFileError, content_digest

KEYS_BYTES: Final = 8 << 20
"""Most Arrow bytes of key columns that are kept in memory; parts beyond that are opened for their keys."""


@dataclass(frozen=True, slots=True)
class OwnPart:
    """A part: the `digest` of its file, its `version`, and its key columns, None if there was no room for them."""

    digest: str
    version: str
    keys: pa.Table | None = None

    def only(self, columns: Sequence[str]) -> pa.Table | None:
        """These columns of all rows of the part; None if one of them is not kept."""
        if self.keys is None or not set(columns) <= set(self.keys.column_names):
            return None
        return self.keys.select(list(columns))


class OwnParts:
    """The parts that this process has staged in one lake and that are not deleted yet, by path. Any thread may ask."""

    def __init__(self, keys_bytes: int = KEYS_BYTES) -> None:
        self._parts: dict[str, OwnPart] = {}
        self._free_bytes = keys_bytes
        self._lock = Lock()

    def note(self, path: str, file: Path, version: str, keys: pa.Table) -> None:
        """Note a part whose finished file is still on the local disk; `keys` are those of its columns that tell rows
        apart, see `compaction.keys.telling_columns`."""
        digest, size = content_digest(file), _held_by(keys)
        with self._lock:
            self._let_go(path)  # an attempt that is tried again may stage a part of the same number
            fits = size <= self._free_bytes
            self._free_bytes -= size if fits else 0
            self._parts[path] = OwnPart(digest, version, keys if fits else None)

    def get(self, path: str) -> OwnPart | None:
        """What is known of a part; None if this process has not staged it."""
        return self._parts.get(path)

    def check(self, path: str, local: Path) -> None:
        """Raise ChangedFileError if a part's file is not what this process has written; nothing for other parts."""
        if self.differs(path, local):
            raise ChangedFileError

    def differs(self, path: str, local: Path) -> bool:
        """Whether a part's file is known not to be what this process has written."""
        part = self._parts.get(path)
        return part is not None and content_digest(local) != part.digest

    def forget(self, paths: Iterable[str]) -> None:
        """Let go of parts that are deleted."""
        with self._lock:
            for path in paths:
                self._let_go(path)

    def _let_go(self, path: str) -> None:
        part = self._parts.pop(path, None)
        if part is not None and part.keys is not None:
            self._free_bytes += _held_by(part.keys)


def _held_by(rows: pa.Table) -> int:
    """The bytes that rows keep in memory: a slice keeps all of what it is a slice of."""
    return int(rows.get_total_buffer_size())
