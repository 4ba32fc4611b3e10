"""Staged runs: parts that runs have left in the lake to be merged, and how much of the table they cover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self


class Coverage(IntEnum):
    """How much of a table staged rows cover. If several runs wait to be merged, the greatest value counts."""

    SOME = 0
    """Some rows: they are merged into the published files."""
    WHOLE = 1
    """Every row of the table's history in Intercom: published files may be damaged or missing."""
    REPLACES = 2
    """As `WHOLE`, and the merge removes every row that was not read."""


@dataclass(frozen=True, slots=True)
class StagedRun:
    """Parts that an attempt at a committed run has staged; their numbers are 0 to `parts` - 1.

    `rows` is the number of rows in the parts, `committed_at` is in unix seconds; both are 0 when unknown.
    """

    attempt: str
    parts: int
    coverage: Coverage = Coverage.SOME
    rows: int = 0
    committed_at: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object. `Coverage` is stored as two booleans, so that every package version can read it."""
        return {
            "run_id": self.attempt,
            "parts": self.parts,
            "replaces": self.coverage is Coverage.REPLACES,
            "whole": self.coverage is not Coverage.SOME,
            "rows": self.rows,
            "committed_at": self.committed_at,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; KeyError, TypeError or ValueError for another object."""
        fields = dict(record)
        attempt = fields.pop("run_id")
        replaces, whole = fields.pop("replaces", False), fields.pop("whole", False)
        coverage = Coverage.REPLACES if replaces else Coverage.WHOLE if whole else Coverage.SOME
        return cls(attempt, coverage=coverage, **fields)
