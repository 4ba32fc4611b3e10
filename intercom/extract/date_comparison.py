"""Finds out whether a search compares dates by calendar days or by seconds, and whether its table declares that.

The reference cuts the dates of contact search to days and says nothing of the kind about conversations; a later
version of the API, or another workspace, may differ. The test is to count a range of half a day. If days are compared,
the range has no row in any time zone, since ``>`` begins with the day after its value and ``<`` ends before the day of
its value. If search does not compare as declared, the bounds for days are used, which are right either way.

Source of the API facts: Intercom REST API reference 2.14, "Search contacts"; developer pages on the preview version.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from intercom.errors import RequestRejectedError
from intercom.extract.cursor_pages import CursorSearch, first_row, range_query
from intercom.extract.extraction import Extraction
from intercom.extract.whole_search import CREATED
from intercom.extract.windows import DAY_SECONDS, Window, second_bounds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SearchCheck:
    """How a table's search compares dates, as it was found on one UTC day (``2026-11-03``).

    `row_at` is the creation time, in unix seconds, of the row on whose UTC day the rows were counted.
    """

    day: str
    by_day: bool
    row_at: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for any other object."""
        return cls(str(record["day"]), bool(record["by_day"]), int(record["row_at"]))


def check_search(extraction: Extraction, known: SearchCheck | None) -> SearchCheck | None:
    """How search compares dates, checked by two counts once a UTC day; None while there is no row to check it with.

    A finding that differs from the declared one is checked once more, with the newest row.
    """
    table, today = extraction.table, _day_of(extraction.run_start)
    if known is not None and is_of_today(known, extraction.run_start):
        return known
    row_at = known.row_at if known is not None else _newest_row(extraction)
    if row_at is None:
        return known
    by_day = _compares_days(extraction, row_at)
    if by_day is not table.day_cut:
        row_at = _newest_row(extraction) or row_at
        by_day = _compares_days(extraction, row_at)
    found = SearchCheck(today, by_day, row_at)
    if by_day is not table.day_cut:
        log.warning("%s", difference(table.name, found))
    return found


def is_of_today(known: SearchCheck, run_start: int) -> bool:
    """Whether a run that starts at this unix second need not check again."""
    return known.day == _day_of(run_start)


def difference(table: str, found: SearchCheck) -> str:
    """A line for the end of a run whose search compares in another way than declared."""
    compares, declared = ("days", "seconds") if found.by_day else ("seconds", "days")
    return (
        f"{table}: search compares {compares}, and not {declared} as is documented for API 2.14; the bounds for days "
        "are used, which are right either way"
    )


def _newest_row(extraction: Extraction) -> int | None:
    """When the newest row was created, unix seconds; None where no row tells, or where sorting by it is refused."""
    try:
        page = first_row(extraction.api, extraction.table, newest_created_first(extraction)).page
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        return None
    return next((value for value in page.seconds(CREATED) if value is not None and value >= DAY_SECONDS), None)


def newest_created_first(extraction: Extraction) -> CursorSearch:
    """A search for all rows that have ``created_at``, the newest first."""
    query = {"field": CREATED, "operator": ">", "value": 0}
    return CursorSearch(extraction.table.name, query, CREATED, "descending")


def count_half_day(extraction: Extraction, second: int, half: int) -> int:
    """Rows that search counts in the first (0) or second (1) half of this second's UTC day."""
    start = second - second % DAY_SECONDS + half * DAY_SECONDS // 2
    query = range_query(CREATED, second_bounds(Window(start, start + DAY_SECONDS // 2)))
    search = CursorSearch(extraction.table.name, query, CREATED, "ascending")
    return first_row(extraction.api, extraction.table, search).counted


def _compares_days(extraction: Extraction, second: int) -> bool:
    """Whether both halves of this second's UTC day hold no row."""
    halves = [partial(count_half_day, extraction, second, half) for half in (0, 1)]
    if extraction.table.day_cut:  # both will be asked for
        return not any(extraction.in_parallel(halves))
    return not any(half() for half in halves)


def _day_of(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}"
