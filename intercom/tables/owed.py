"""Parents whose children are owed: Intercom gave no usable answer when these were asked for, and later runs ask again.

The table's record in the lake keeps what is needed for that. A parent that has not changed since does not come with
those that are read after the watermark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

MOST_OWED: Final = 100
"""More parents are not kept as owed: the table fails."""


@dataclass(frozen=True, slots=True)
class OwedParent:
    """What is kept of a parent's record: `inherited` as JSON text by column, `counted` children, cursor value `at`.

    `digest` is that of the version in which it was asked for, hexadecimal. `since` is the time, in unix seconds, of the
    first run without an answer.
    """

    key: str
    inherited: Mapping[str, str]
    counted: int | None
    at: int | None
    digest: str
    since: int

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `asdict`. Raises AttributeError, KeyError, TypeError or ValueError for any other object."""
        return cls(
            str(record["key"]),
            {str(column): str(text) for column, text in record["inherited"].items()},
            None if record["counted"] is None else int(record["counted"]),
            None if record["at"] is None else int(record["at"]),
            bytes.fromhex(record["digest"]).hex(),
            int(record["since"]),
        )
