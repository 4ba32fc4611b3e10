"""What one attempt at a run has staged of a table: what a checkpoint file holds and what a commit takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from intercom.extract.completeness import Completeness
from intercom.tables.owed import OwedParent


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows of one attempt that are durable, in its parts numbered below `parts`.

    `rows` counts what was read, the same row perhaps more than once. `newest` is their greatest cursor value, in unix
    seconds, as in `Page.newest`. `slices`: place in the plan -> completeness, of each slice that was read to its end
    and whose rows are all in these parts.
    """

    parts: int = 0
    rows: int = 0
    newest: int | None = None
    slices: Mapping[int, Completeness] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        found = {
            str(place): {
                "counted": one.counted,
                "missing": one.missing,
                "notes": list(one.notes),
                "owed": {key: None if owed is None else asdict(owed) for key, owed in one.owed.items()},
            }
            for place, one in self.slices.items()
        }
        return {"found": found, "parts": self.parts, "rows": self.rows, "newest": self.newest}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises AttributeError, KeyError, TypeError or ValueError for any other object."""
        slices = {
            int(place): Completeness(
                list(one["notes"]), int(one["counted"]), int(one["missing"]), owed=_owed(one.get("owed", {}))
            )
            for place, one in record["found"].items()
        }
        return cls(int(record["parts"]), int(record["rows"]), record["newest"], slices)


def _owed(record: Mapping[str, Any]) -> dict[str, OwedParent | None]:
    return {key: None if owed is None else OwedParent.from_json(owed) for key, owed in record.items()}
