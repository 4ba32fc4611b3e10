"""What it costs to read a table that takes one request for each record of its parent, told before it is read.

Only where all of the parent's records are asked for: later runs ask for those that have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.fair_share import QUOTA_SECONDS
from intercom.errors import ApiError
from intercom.extract.one_record import count_by_one_record
from intercom.lake.state import TableState
from intercom.sync.run import RunRequest
from intercom.sync.time_text import duration
from intercom.tables.table import Selection, Table

_SOON_SECONDS: Final = 60.0
"""A table that a group has selected is told of only if it takes longer."""


def child_costs(
    tables: Iterable[Table], client: IntercomClient, request: RunRequest, state_of: Callable[[Table], TableState | None]
) -> Iterator[str]:
    """A line for each table that asks for every record of its parent, and one for all of them together.

    Each parent table is counted by one request; nothing is told of one that cannot be counted, since the run itself
    will say why. `state_of` gives a table's record in the lake.
    """
    asked = [table for table in tables if table.is_child and _asks_for_all(request, state_of(table))]
    counts: dict[str, int | None] = {}
    seconds = []
    limited = request.history_from is not None or request.until is not None
    for table in asked:
        assert table.parent is not None
        parent = table.parent.table
        if parent.name not in counts:
            counts[parent.name] = _counted(parent, client)
        count, limit = counts[parent.name], client.limiter.usage().limit
        if count is None:
            continue
        took = count * QUOTA_SECONDS / limit
        if table.selection is not Selection.NAME and took < _SOON_SECONDS:
            continue
        seconds.append(took)
        yield (
            f"{table.name}: one request for each of {'up to ' if limited else ''}{count:,} {parent.name}, "
            f"{_told(took)} at {limit:,} requests per 10 s; later runs ask for changed {parent.name} only"
        )
    if len(seconds) > 1:
        yield f"These tables share the allowed requests: together {_told(sum(seconds))}"


def _told(seconds: float) -> str:
    return "less than a minute" if seconds < 60 else f"about {duration(seconds)}"


def _asks_for_all(request: RunRequest, state: TableState | None) -> bool:
    """Whether the run does not begin at the watermark of an earlier one."""
    return request.full_refresh or request.until is not None or state is None or state.watermark is None


def _counted(parent: Table, client: IntercomClient) -> int | None:
    try:
        return count_by_one_record(client.for_table(parent.name, parent.scope), parent)
    except ApiError:
        return None
