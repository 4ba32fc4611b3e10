"""A searched table against its workspace: a sample of its records, counts in windows, and the records of windows that
differ.

    the oldest and the newest records                    a page each
    those that changed last, before `settled`            some pages
    drawn from the lake at random                        a search for their ids
    counts by the time of creation                       missing records, and some that are too many
    counts by the time of the last change                records that a sync has missed because the search lagged behind
    the records of the windows that differ               which ones
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.compaction.keys import KEY
from intercom.errors import ApiError, RequestRejectedError, RequestsSpentError
from intercom.extract.cursor_pages import CursorSearch, first_page, following_cursor, range_query, read_cursor_pages
from intercom.extract.date_comparison import SearchCheck, check_search
from intercom.extract.extraction import Extraction
from intercom.extract.pages import page_of
from intercom.extract.whole_search import CREATED
from intercom.extract.windows import DAY_SECONDS, Bounds
from intercom.verify.case import FOR_ADDRESSES, Case
from intercom.verify.day_models import readings
from intercom.verify.lake_index import CHANGED, MONTH
from intercom.verify.lake_index import CREATED as STORED_CREATED
from intercom.verify.window_counts import CountedWindow, WindowCounts

log = logging.getLogger(__name__)

_IDS_AT_ONCE: Final = 50
_MONTHS_DRAWN: Final = 8
"""Months from whose files rows are drawn: each is read for them."""
_LAST_CHANGED: Final = 10
_LEFT_FOR_ROWS: Final = 0.5
"""Share of the requests that windows leave for the records of those that differ."""


def compare_search(case: Case) -> tuple[list[CountedWindow], list[CountedWindow], list[str]]:
    """Ask what is to be asked of a searched table, as far as requests are allowed.

    Gives the windows that differ and whose records were read, those whose records were not, and keys of the lake that a
    search should have given and did not.
    """
    assert case.expected.settled is not None
    extraction = _with_dates(case)
    drawn = _sample(case, extraction)
    differing = _count(case, extraction)
    read, unread = _read(case, differing)
    seen = case.seen.rows().column(KEY)
    came = set(seen.to_pylist())
    absent = [key for key in drawn if key not in came]
    for one in read:
        absent += _absent(case, one, seen)
    return read, unread, list(dict.fromkeys(absent))


def _with_dates(case: Case) -> Extraction:
    """The extraction with how search compares dates today."""
    extraction = case.extraction()
    known = case.index.state.search_check
    found = check_search(extraction, SearchCheck.from_json(known) if known else None)
    by_day = case.table.day_cut if found is None else found.by_day
    return extraction if by_day is case.table.day_cut else replace(extraction, compares_days=by_day)


# -- the sample ---------------------------------------------------------------------------------------------------


def _sample(case: Case, extraction: Extraction) -> list[str]:
    """Read the sample; gives the keys that were drawn from the lake."""
    table, settled, size = case.table, case.expected.settled, case.limits.sample
    if not size:
        return []
    cursor = str(table.cursor_field)
    before = range_query(cursor, Bounds(None, settled))
    created = {"field": CREATED, "operator": ">", "value": 0}
    drawn = _drawn(case)
    jobs = [
        partial(_pages, case, CursorSearch(table.name, created, CREATED, "ascending"), size),
        partial(_pages, case, CursorSearch(table.name, created, CREATED, "descending"), size),
        partial(_pages, case, CursorSearch(table.name, before, cursor, "descending"), _LAST_CHANGED * size),
        *(
            partial(_search_ids, case, drawn[first : first + _IDS_AT_ONCE])
            for first in range(0, len(drawn), _IDS_AT_ONCE)
        ),
    ]
    if extraction.by_day:  # the day of `settled` itself is beyond the bound
        everything = CursorSearch(table.name, created | {"field": cursor}, cursor, "descending")
        jobs.append(partial(_pages, case, everything, _LAST_CHANGED * size // 2))
    case.extraction().in_parallel(jobs)
    return drawn


def _drawn(case: Case) -> list[str]:
    """Keys of rows of the lake, drawn at random out of a few months, which are drawn as well."""
    rows = case.index.rows
    chance = random.Random(case.limits.seed)
    months = sorted(map(str, rows.column(MONTH).cast(pa.string()).unique().to_pylist()))
    chosen = chance.sample(months, min(_MONTHS_DRAWN, len(months)))
    inside = pc.indices_nonzero(pc.is_in(rows.column(MONTH).cast(pa.string()), value_set=pa.array(chosen, pa.string())))
    places = chance.sample(range(len(inside)), min(case.limits.sample, len(inside)))
    return [str(key) for key in rows.column(KEY).take(inside.take(pa.array(places, pa.int64()))).to_pylist()]


def _pages(case: Case, search: CursorSearch, rows: int) -> None:
    """Read the first rows of a search; an order that is refused is left out."""
    extraction, table = case.extraction(), case.table
    cursor: str | None = None
    read, number = 0, 0
    while read < rows:
        size = min(table.per_page, rows - read)
        try:
            if cursor is None and size == table.per_page:
                answer = first_page(extraction.api, table, search).answer
            else:
                answer = extraction.api.post(table.path, search.body(size, cursor), expect=table.records_at)
        except RequestRejectedError as refused:
            if refused.status != 400:
                raise
            log.info("%s: a part of the sample is refused: %s", table.name, refused)
            return
        number += 1
        page = page_of(answer, table, number)
        case.seen.add(page)
        read += max(1, len(page.records))
        cursor = following_cursor(answer)
        if cursor is None:
            return


def _search_ids(case: Case, keys: Sequence[str]) -> None:
    """Read records by their ids; where that is refused, each has to be asked for by its own address."""
    (name,) = case.table.primary_key
    query: dict[str, Any] = {"field": name, "operator": "IN", "value": list(keys)}
    _pages(case, CursorSearch(case.table.name, query, str(case.table.cursor_field), "ascending"), len(keys))


# -- windows ------------------------------------------------------------------------------------------------------


def _count(case: Case, extraction: Extraction) -> list[CountedWindow]:
    """The windows that differ, by the time of creation, then by that of the last change."""
    history, settled = case.expected.history_from, case.expected.settled
    tried = readings(case.zone, by_day=extraction.by_day)
    above = None if history is None else history + (2 * DAY_SECONDS if extraction.by_day else -1)
    left = max(0, case.allowance.left - FOR_ADDRESSES)
    found = []
    for number, (field, column) in enumerate(((CREATED, STORED_CREATED), (str(case.table.cursor_field), CHANGED))):
        counts = WindowCounts(
            replace(case.extraction(), compares_days=extraction.compares_days),
            case.index,
            tried,
            field,
            column,
            Bounds(above if number else None, settled),
            lambda: case.allowance.left,
            keeping=FOR_ADDRESSES + int(left * _LEFT_FOR_ROWS),
            changed_above=None if number else above,
        )
        try:
            found += counts.differing()
        except RequestRejectedError as refused:
            if refused.status != 400:
                raise
            case.notes.append(f"{case.table.name}: search refuses windows by {field}, so they were not counted")
        case.windows += counts.windows
    return found


def _read(case: Case, differing: Sequence[CountedWindow]) -> tuple[list[CountedWindow], list[CountedWindow]]:
    """Read the records of windows that differ, the smallest first; gives those that were read, and the others."""
    read: list[CountedWindow] = []
    unread: list[CountedWindow] = []
    for one in sorted(differing, key=lambda one: one.counted):
        pages = -(-max(1, one.counted) // case.table.per_page)
        if pages + FOR_ADDRESSES > case.allowance.left:
            unread.append(one)
            continue
        extraction = case.extraction()
        search = CursorSearch(
            f"{case.table.name}, {one.window}", one.query, one.field, "ascending", counted=one.counted
        )
        try:
            read_cursor_pages(extraction, search)
        except RequestsSpentError:
            unread.append(one)
            continue
        except ApiError as error:
            case.notes.append(f"{case.table.name}, {one.window}: the records cannot be read ({error})")
            unread.append(one)
            continue
        case.notes += extraction.completeness.notes
        read.append(one)
    return read, unread


def _absent(case: Case, one: CountedWindow, seen: pa.ChunkedArray) -> list[str]:
    """Keys of the lake's rows of a window by the time of creation that a search for it has not given."""
    if one.field != CREATED:
        return []
    rows = case.index.rows
    rows = rows.filter(pc.invert(pc.is_in(rows.column(KEY), value_set=flat(seen))))
    bounds = [(STORED_CREATED, *one.span)]
    if one.changed_from is not None:
        bounds.append((CHANGED, one.changed_from, inf))
    for column, low, high in bounds:
        if low > -inf:
            rows = rows.filter(pc.greater_equal(rows.column(column), pa.scalar(int(low))))
        if high < inf:
            rows = rows.filter(pc.less(rows.column(column), pa.scalar(int(high))))
    return [str(key) for key in rows.column(KEY).to_pylist()]
