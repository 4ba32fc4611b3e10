"""Staged runs: parts that runs have left in the lake to be merged, and how much of the table they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self


class Coverage(IntEnum):
    """How much of a table staged rows are; of several runs that wait together the greatest counts."""

    SOME = 0
    """They are merged into what lies there."""
    WHOLE = 1
    """Every row that Intercom has of the table's history: what lies there need not be right."""
    REPLACES = 2
    """The same, and the table is to have no other row."""


@dataclass(frozen=True, slots=True)
class StagedRun:
    """Parts that an attempt at a finished run has left for compaction, numbered below `parts`.

    `rows` are those of the parts, `committed_at` is in unix seconds; both are 0 when they are not known.
    """

    run_id: str
    parts: int
    coverage: Coverage = Coverage.SOME
    rows: int = 0
    committed_at: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object. Two booleans stand for `Coverage`, so that every version reads them."""
        return {
            "run_id": self.run_id,
            "parts": self.parts,
            "replaces": self.coverage is Coverage.REPLACES,
            "whole": self.coverage is not Coverage.SOME,
            "rows": self.rows,
            "committed_at": self.committed_at,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; TypeError or ValueError when it is none."""
        fields = dict(record)
        replaces, whole = fields.pop("replaces", False), fields.pop("whole", False)
        coverage = Coverage.REPLACES if replaces else Coverage.WHOLE if whole else Coverage.SOME
        return cls(coverage=coverage, **fields)
