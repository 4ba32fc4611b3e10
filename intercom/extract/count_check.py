"""Compares the number of distinct keys that a search has returned with Intercom's count; keeps no rows. Pure.

The count is the largest that any answer named for the same rows, until `CountCheck.believe` sets a smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from intercom.errors import RetriableApiError
from intercom.extract.distinct_keys import row_keys
from intercom.extract.pages import Page

_IDLE_PAGES = 5
"""Pages in a row without progress that are an error. A few occur: some answers have no rows and yet a next page."""
_ROOM_ROWS = 15_000
"""Rows allowed beyond twice the count: in a busy workspace, rows that change during the read come again."""


class CountCheck:
    """Distinct rows of one search over all passes, and the counts that its answers name.

    `what` names table and window in messages; `counted` is what was counted before the first page. `until` is the
    second at which the run began: rows that have changed after it may not have been counted then.
    """

    def __init__(self, what: str, counted: int = 0, until: int | None = None) -> None:
        self.counted = counted
        self._what, self._until = what, until
        self._keys: set[int] = set()
        self._late = 0
        self._versions: set[int] = set()
        """Hashes of key and time, for keys that came more than once in a pass."""
        self.begin()

    def begin(self) -> None:
        """Another pass over the same rows begins."""
        self.sound = True
        """Whether no page of the pass was odd: short of rows, with a row twice, or with a smaller count than others."""
        self.new = 0
        """Keys that no earlier pass has brought, of rows that have not changed since the run began."""
        self._pages = self._rows = self._idle = self._nulls = 0
        self._of_pass: set[int] = set()
        self._versions.clear()

    @property
    def found(self) -> int:
        """Distinct records so far, including those that cannot be rows."""
        return len(self._keys)

    @property
    def short_by(self) -> int:
        """Rows that were counted and not found. Null elements count as found, unless they outnumber the rows."""
        return self._lacking(self.found)

    @property
    def is_whole(self) -> bool:
        """Whether all rows that are counted were found; never where nothing is counted.

        Rows that have changed after `until` do not stand in for others: they may be new since the count.
        """
        return self.counted > 0 and not self._lacking(self.found - self._late)

    def _lacking(self, found: int) -> int:
        nulls = self._nulls if self._nulls <= self.found else 0
        return max(0, self.counted - nulls - found)

    def believe(self, count: int) -> None:
        """Use this smaller count from now on."""
        self.counted = count

    def add(self, page: Page, changed: Sequence[int | None], count: int | None, *, full: int) -> None:
        """Take a page. `changed`: cursor value of each row; `count`: what it counts; `full`: rows it must have, 0: any.

        Raises RetriableApiError when the pages make no progress: the same rows, or none, again and again.
        """
        keys = [hash(key) for key in row_keys(page)]
        progress = False
        for key, second in zip_longest(keys, changed):
            late = self._until is not None and second is not None and second > self._until
            if key not in self._keys:
                self._keys.add(key)
                self._late += late
                self.new += not late
            if key not in self._of_pass:
                progress = True
            elif (version := hash((key, second))) not in self._versions:
                self._versions.add(version)
                progress = True
        served = len(keys) + page.nulls
        self._pages += 1
        self._rows += served
        self._nulls += page.nulls
        before = len(self._of_pass)
        self._of_pass.update(keys)
        self.sound &= len(self._of_pass) - before == len(keys) and served >= full
        if count is not None:
            self.sound &= count >= self.counted
            self.counted = max(self.counted, count)
        self._idle = 0 if progress else self._idle + 1
        if self._idle >= _IDLE_PAGES or (self.counted and self._rows > 2 * self.counted + _ROOM_ROWS):
            raise RetriableApiError(
                f"{self._what}: search makes no progress: {self._rows} rows on {self._pages} pages, {self.found} of "
                f"them different, {self.counted} counted ({page.where}). Run again; nothing was committed and the "
                "watermark has not moved.",
                request_id=page.request_id,
            )
