"""First loads that are copied: a lake as a run has left it that has read the same workspace before.

Most tests of a run begin with a first load, and are about the run after it. A copy takes a tenth of the time.
"""

from __future__ import annotations

import shutil
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from intercom.lake.watermark import Watermark
from intercom.tables.table import Table

Place = tuple[str, str, str]


@dataclass(frozen=True)
class _Kept:
    lake: Path
    watermarks: Mapping[Place, Watermark]
    tables: Sequence[Table]


class FirstLoads:
    """Lakes by what they were made of, each with its watermarks, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._names = folder, count(1)
        self._kept: dict[Hashable, _Kept] = {}

    def copy(self, made_of: Hashable, tables: Sequence[Table], lake: Path) -> Mapping[Place, Watermark] | None:
        """Put a kept lake at a path, and give its watermarks; None if there is none of this workspace and these tables.

        `tables` are compared one by one, because tests change declarations.
        """
        kept = self._kept.get(made_of)
        if kept is None or not _same(kept.tables, tables):
            return None
        shutil.copytree(kept.lake, lake)
        return kept.watermarks

    def keep(
        self, made_of: Hashable, tables: Sequence[Table], lake: Path, watermarks: Mapping[Place, Watermark]
    ) -> None:
        """Keep a copy of a lake that a first run has just left."""
        own = self._folder / str(next(self._names))
        shutil.copytree(lake, own)
        self._kept[made_of] = _Kept(own, dict(watermarks), tuple(tables))


def _same(kept: Sequence[Table], tables: Sequence[Table]) -> bool:
    return len(kept) == len(tables) and all(one is other for one, other in zip(kept, tables, strict=True))
