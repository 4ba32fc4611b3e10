"""Types that columns had before references became text and durations floats, for readers that still expect them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from intercom.tables.schema import ColumnKind

_DURATIONS: Final = (
    *("statistics_time_to_assignment", "statistics_time_to_admin_reply", "statistics_time_to_first_close"),
    *("statistics_time_to_last_close", "statistics_median_time_to_reply"),
)

EARLIER_KINDS: Final[Mapping[str, Mapping[str, ColumnKind]]] = MappingProxyType(
    {
        table: MappingProxyType(dict.fromkeys(columns, ColumnKind.INT))
        for table, columns in (
            ("contacts", ("owner_id",)),
            ("conversations", ("admin_assignee_id", "team_assignee_id", *_DURATIONS)),
            ("articles", ("author_id", "parent_id")),
            ("admins", ("away_status_reason_id",)),
        )
    }
)
"""By table: the columns whose type has changed, and their kind of before."""
