"""The first requests of a search, before its rows are read: its counts, and whether all rows have ``created_at``.

Source of the API facts: Intercom REST API reference 2.14, "Search contacts", "Search conversations", "Sorting".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from intercom.errors import RequestRejectedError
from intercom.extract.cursor_pages import CursorSearch, FirstPage, first_page, first_row, range_query
from intercom.extract.extraction import Extraction
from intercom.extract.windows import DAY_SECONDS, Bounds, Window, day_bounds, second_bounds

log = logging.getLogger(__name__)

CREATED = "created_at"
_TIMES = (CREATED, "updated_at")
_EARLY_END_SECONDS = 10 * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class BegunSearch:
    """The whole search, its first page (`first`), and its last row, from a request of its own (`opposite`).

    Both requests count the same rows. So if one answer is well formed and wrong, such as an empty one, the count of the
    other shows it. `with_created` is the number of rows that have ``created_at``; None if not asked for.
    """

    search: CursorSearch
    first: FirstPage
    opposite: FirstPage
    with_created: int | None = None


def begin_search(extraction: Extraction, window: Window) -> BegunSearch:
    """Send the first requests of the search, all in parallel."""
    table = extraction.table
    if window != Window():
        return _counted_and_begun(extraction, searched_changes(extraction, window))
    try:
        return _counted_and_begun(extraction, everything(extraction, CREATED))
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        log.info("%s: sorting by %s is refused (%s); reading by %s", table.name, CREATED, refused, table.cursor_field)
    return _counted_and_begun(extraction, everything(extraction, str(table.cursor_field)))


def _counted_and_begun(extraction: Extraction, search: CursorSearch) -> BegunSearch:
    api, table = extraction.api, extraction.table
    questions = [partial(first_row, api, table, search.backwards()), partial(first_page, api, table, search)]
    if search.field == CREATED:
        questions.append(partial(first_row, api, table, _having_created(extraction)))
    opposite, first, *created = _asked_at_once(extraction, questions)
    search = replace(search, counted=max(opposite.counted, first.counted))
    return BegunSearch(search, first, opposite, created[0].counted if created else None)


def _asked_at_once(extraction: Extraction, questions: Sequence[Callable[[], FirstPage]]) -> list[FirstPage]:
    """The answers to questions that do not build on each other. A refusal is raised when all are answered."""

    def ask(question: Callable[[], FirstPage]) -> FirstPage | RequestRejectedError:
        try:
            return question()
        except RequestRejectedError as refused:
            return refused

    answers = extraction.in_parallel([partial(ask, question) for question in questions])
    for answer in answers:
        if isinstance(answer, RequestRejectedError):
            raise answer
    return [answer for answer in answers if isinstance(answer, FirstPage)]


def everything(extraction: Extraction, sort_field: str) -> CursorSearch:
    """A search for all rows, oldest first, including those that lack one of the two times.

    Rows that change after the run began are left to the next run: in a busy workspace there would always be more.
    """
    return CursorSearch(
        what=extraction.what,
        query={"operator": "OR", "value": [{"field": name, "operator": ">", "value": 0} for name in _TIMES]},
        field=sort_field,
        order="ascending",
        until=extraction.run_start,
    )


def searched_changes(extraction: Extraction, window: Window) -> CursorSearch:
    """A search for the rows of a window by their cursor field.

    If search compares days, newest first: the query has to begin two days early, and the read ends at the first page
    with a row from before the window. Otherwise, or if the window is so long that two more days make no difference,
    oldest first, until all counted rows are read and all rows of a page have changed after the run began.
    """
    table = extraction.table
    field = str(table.cursor_field)
    query = range_query(field, window_bounds(extraction, window))
    recent = (
        window.start is not None and window.end is None and extraction.run_start - window.start < _EARLY_END_SECONDS
    )
    if extraction.by_day and recent:
        return CursorSearch(extraction.what, query, field, "descending")
    return CursorSearch(extraction.what, query, field, "ascending", until=extraction.run_start)


def all_have_created(extraction: Extraction, begun: BegunSearch) -> bool:
    """Whether every row has ``created_at``, so that slices by it include all rows; asked again, as rows come and go.

    The sum of the slices' counts would not show that: slices of days may overlap.
    """
    api, table, counted = extraction.api, extraction.table, begun.search.counted
    if begun.with_created is not None and begun.with_created >= counted:
        return True
    found = first_row(api, table, _having_created(extraction)).counted
    if found >= counted:
        return True
    return found >= first_row(api, table, everything(extraction, str(table.cursor_field))).counted


def _having_created(extraction: Extraction) -> CursorSearch:
    table = extraction.table
    return CursorSearch(table.name, range_query(CREATED, Bounds(0, None)), str(table.cursor_field), "ascending")


def window_bounds(extraction: Extraction, window: Window) -> Bounds:
    """The bounds to send in a search for the window: two days more on either side if it compares days."""
    return day_bounds(window) if extraction.by_day else second_bounds(window)
