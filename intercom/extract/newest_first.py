"""Reads changes newest first, back to the window's start: the query of a search that compares days begins earlier."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from intercom.extract.count_check import CountCheck
from intercom.extract.cursor_pages import CursorSearch, FirstPage, count_again, read_pass
from intercom.extract.extraction import Extraction
from intercom.extract.limits import ReadLimits

log = logging.getLogger(__name__)

_PASSES = (1.0, 2 / 3, 0.8)
"""Page size of each pass, as a share of a full page. The second and third pass run only if the one before is
doubtful."""
_WORTH_IT = 4
"""A search that may end early is cut into slices only if it would read at least a quarter of the rows anyway."""


def read_newest_first(extraction: Extraction, search: CursorSearch, first: FirstPage | None, start: int) -> bool:
    """Read the search back to the window's start; False when that takes too many consecutive pages.

    The count includes rows from before the window, so it shows missing rows only if the search was read to its end. A
    pass that stops earlier is believed when all its pages are full and none names a smaller count than the others.
    Otherwise the rows are read again in pages of another size, until a pass is sound or brings no new row.
    """
    check = CountCheck(search.what, search.counted, extraction.run_start)
    to_its_end = False
    for share in _PASSES:
        if first is None and not check.sound:
            count_again(extraction, search, check)
        end = _EarlyEnd(start, search.counted, extraction.limits, may_be_far=first is not None)
        to_its_end = read_pass(extraction, search, check, first, end, share)
        if end.far:
            return False
        if not (to_its_end and check.short_by) and (check.sound or (first is None and not check.new)):
            extraction.completeness.found(check.found)
            return True
        log.warning("%s: pages of the newest changes lack rows (%d found so far)", search.what, check.found)
        first = None
    missing = check.short_by if to_its_end else check.new
    if missing:
        extraction.completeness.short(search.what, check.found + missing, check.found, len(_PASSES))
    else:  # no pass was sound, and together they have brought all that is counted
        extraction.completeness.found(check.found)
    return True


class _EarlyEnd:
    """Stops a newest-first search at rows from before the window, or when many rows of the window are still unread.

    The unread rows are estimated once enough rows were read: a burst of changes at the very end says nothing about the
    hours before. Slices read many rows faster, but begin two days before the window: if most of their rows lie outside
    of it, consecutive pages are better.
    """

    def __init__(self, start: int, counted: int, limits: ReadLimits, *, may_be_far: bool) -> None:
        self.far = False
        self._start, self._counted, self._limits, self._may_be_far = start, counted, limits, may_be_far
        self._rows, self._newest = 0, 0

    def __call__(self, values: Sequence[int]) -> bool:
        oldest = min(values)
        self._newest = max(self._newest, *values)
        self._rows += len(values)
        if oldest < self._start:
            return True
        wanted = self._rows * (self._newest - self._start) / max(1, self._newest - oldest)
        is_long = self._limits.is_long
        tasted = self._may_be_far and is_long(2 * self._rows) and is_long(self._counted)
        self.far = tasted and is_long(wanted - self._rows) and self._counted <= _WORTH_IT * wanted
        return self.far
