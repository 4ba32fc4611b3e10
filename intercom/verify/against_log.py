"""A log against its workspace: entries are counted in windows of time, by pages, and pages of them are compared.

An entry never changes and is never deleted, so only entries that the lake lacks are looked for. Intercom need not serve
old ones for ever. A page of a log has few entries, and only pages are counted; so of a window its last page is asked
for, too, where that decides.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from typing import Final

from intercom.errors import RequestRejectedError, RequestsSpentError
from intercom.extract.extraction import Extraction
from intercom.extract.log_pages import LogAnswer, ask_log, read_range
from intercom.extract.windows import SECONDS, Bounds, Slice, second_bounds
from intercom.extract.windows import Window as Seconds
from intercom.verify.case import Case
from intercom.verify.findings import Window
from intercom.verify.lake_index import CREATED

MOST_WINDOWS: Final = 16
ENTRIES_OF_A_WINDOW: Final = 40
_FEW_PAGES: Final = 4
_PIECES: Final = 3


@dataclass(frozen=True, slots=True)
class _Counted:
    """A range of seconds: Intercom has at least `least` entries there on `pages` pages, the lake at most `stored`."""

    part: Slice
    pages: int
    least: int
    stored: int


def compare_log(case: Case) -> tuple[list[Window], list[Window]]:
    """Ask what is to be asked; gives the windows whose entries were read, and those that lack some and were not."""
    settled = case.expected.settled
    assert settled is not None
    extraction = case.extraction()
    read: list[Window] = []
    try:
        open_ones = _lacking(case, extraction, _first_parts(case, settled), settled)
        while open_ones:
            small = [one for one in open_ones if one.pages <= _FEW_PAGES or len(_pieces(one, settled)) == 1]
            for one in small:
                if one.pages + 3 > case.allowance.left:
                    return read, [_window(case, one.part) for one in open_ones]
                read_range(extraction, case.table.name, _bounds(one.part, settled))
                read.append(_window(case, one.part))
            open_ones = [one for one in open_ones if one not in small]
            pieces = [piece for one in open_ones for piece in _pieces(one, settled)]
            if 2 * len(pieces) > case.allowance.left:
                return read, [_window(case, one.part) for one in open_ones]
            open_ones = _lacking(case, extraction, pieces, settled)
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        case.notes.append(f"{case.table.name}: Intercom refuses times so long ago, and older entries are not compared")
    except RequestsSpentError:
        case.notes.append(f"{case.table.name}: the allowed requests are spent before all windows were compared")
    return read, []


def _first_parts(case: Case, settled: int) -> list[Slice]:
    times = case.index.times(CREATED)
    times = times[: bisect_left(times, settled)]
    number = max(1, min(MOST_WINDOWS, len(times) // ENTRIES_OF_A_WINDOW, case.allowance.left // 4))
    cells = sorted({times[len(times) * place // number] for place in range(1, number)})
    edges = [case.expected.history_from, *cells, None]
    return [Slice(edges[place], edges[place + 1]) for place in range(len(edges) - 1)]


def _bounds(part: Slice, settled: int) -> Bounds:
    return second_bounds(Seconds(part.start, settled if part.end is None else part.end))


def _window(case: Case, part: Slice) -> Window:
    return Window(str(case.table.cursor_field), part.start, part.end)


def _pieces(one: _Counted, settled: int) -> list[Slice]:
    end = settled if one.part.end is None else one.part.end
    start = one.part.start if one.part.start is not None else 0
    return SECONDS.cut(one.part, max(start, 1_293_840_000), end - 1, _PIECES)


def _lacking(case: Case, extraction: Extraction, parts: list[Slice], settled: int) -> list[_Counted]:
    """The parts of which Intercom has more entries than the lake."""
    counted = extraction.in_parallel([partial(_count, case, extraction, part, settled) for part in parts])
    case.windows += len(parts)
    return [one for one in counted if one.least > one.stored]


def _count(case: Case, extraction: Extraction, part: Slice, settled: int) -> _Counted:
    """Count a part by its first page and, where that leaves it open, its last one."""
    bounds = _bounds(part, settled)
    answer = ask_log(extraction.api, case.table, bounds)
    case.seen.add(answer.page)
    # Whether a bound's own second is in the range is not documented, so the lake's entries of these seconds count.
    start, end = (-1 if bounds.above is None else bounds.above), bounds.below
    stored = case.index.count(CREATED, (start, float("inf") if end is None else end + 1))
    pages = answer.total_pages
    if pages is None or pages <= 1:
        return _Counted(part, 1, len(answer.keys), stored)
    least = (pages - 1) * answer.per_page
    if least < stored < least + answer.per_page and (last := _last(case, extraction, bounds, pages)) is not None:
        return _Counted(part, pages, least + last.elements, stored)
    return _Counted(part, pages, least + 1, stored)


def _last(case: Case, extraction: Extraction, bounds: Bounds, pages: int) -> LogAnswer | None:
    try:
        last = ask_log(extraction.api, case.table, bounds, {"page": pages}, pages)
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        return None
    case.seen.add(last.page)
    return last
