"""The whole search of a table: what is asked of it before its rows are read, and whether they can be cut by creation.

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
    """The whole search, its first page, and its one row at the other end, asked for by itself.

    The two are different questions about the same rows: where an answer is well formed and wrong, such as an empty
    one, the other one's count tells. `with_created` are the rows that have a time of creation, None if not asked for.
    """

    search: CursorSearch
    first: FirstPage
    opposite: FirstPage
    with_created: int | None = None


def begin_search(extraction: Extraction, window: Window) -> BegunSearch:
    """Ask what has to be known of the whole search, all at the same time."""
    table = extraction.table
    if window != Window():
        return _counted_and_begun(extraction, _changes(extraction, window))
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
    """All rows, oldest first, also one that lacks either time.

    Rows that change after the run began are left to the next run, else a busy end is chased.
    """
    return CursorSearch(
        what=extraction.table.name,
        query={"operator": "OR", "value": [{"field": name, "operator": ">", "value": 0} for name in _TIMES]},
        field=sort_field,
        order="ascending",
        until=extraction.run_start,
    )


def _changes(extraction: Extraction, window: Window) -> CursorSearch:
    """Rows by their cursor field.

    Where search cuts days, the newest first: the query has to begin two days early, and the read ends at the first
    page that reaches back beyond the window. Else, or when two days more or less make no difference, the oldest first,
    until all rows that were counted are read and a whole page has changed after the start of the run.
    """
    table = extraction.table
    field = str(table.cursor_field)
    query = range_query(field, window_bounds(extraction, window))
    recent = (
        window.start is not None and window.end is None and extraction.run_start - window.start < _EARLY_END_SECONDS
    )
    if extraction.by_day and recent:
        return CursorSearch(table.name, query, field, "descending")
    return CursorSearch(table.name, query, field, "ascending", until=extraction.run_start)


def all_have_created(extraction: Extraction, begun: BegunSearch) -> bool:
    """Whether every row has a time of creation, so that slices by it hold them all; asked again if rows come and go.

    Slices of days may overlap: their sum alone would not tell.
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
    """What a search for the window has to ask for: two days more on either side where it cuts days."""
    return day_bounds(window) if extraction.by_day else second_bounds(window)
