"""What the pages of one search gave, held against what Intercom counts: distinct keys, never rows. Pure.

A count is the largest that any answer named for the same rows, until a smaller one is believed (`Tally.believe`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from intercom.distinct import keys_of
from intercom.errors import RetriableApiError
from intercom.pages import Page

_IDLE_PAGES = 5
"""Pages in a row that may bring nothing: some answers have no rows and yet a next page."""
_ROOM_ROWS = 15_000
"""Rows beyond twice the counted ones that may come: of a busy workspace some come again while they are read."""


class Tally:
    """Distinct rows of one search over all passes, and the counts that its answers name.

    `what` names table and window in messages; `counted` is what was counted before the first page.
    """

    def __init__(self, what: str, counted: int = 0) -> None:
        self.counted = counted
        self.last_count: int | None = None
        """The count on the present pass's last page, where that has rows and is not the only page."""
        self._what = what
        self._keys: set[int] = set()
        self._versions: set[int] = set()
        """Of keys that came more than once."""
        self.begin()

    def begin(self) -> None:
        """Another pass over the same rows begins."""
        self.sound = True
        """Whether no page of the pass was odd: short of rows, with a row twice, or with a smaller count than others."""
        self.new = 0
        """Keys that no earlier pass has brought."""
        self._pages = self._rows = self._idle = self._nulls = 0
        self._of_pass: set[int] = set()

    @property
    def found(self) -> int:
        """Distinct rows, with records that cannot be rows: they were served all the same."""
        return len(self._keys)

    @property
    def short_by(self) -> int:
        """Rows that were counted and not found. Null elements are none, as long as they are fewer than the rows."""
        nulls = self._nulls if self._nulls <= self.found else 0
        return max(0, self.counted - nulls - self.found)

    @property
    def is_whole(self) -> bool:
        """Whether all rows that are counted were found; never where nothing is counted."""
        return self.counted > 0 and not self.short_by

    def believe(self, count: int) -> None:
        """A smaller count holds from now on."""
        self.counted = count

    def add(self, page: Page, values: Sequence[int | None], count: int | None, *, full: int) -> None:
        """Take a page: its rows with a time of each, the count that it names, how many rows it should have (0: any).

        Raises RetriableApiError when the pages make no progress: the same rows, or none, again and again.
        """
        keys = [hash(key) for key in keys_of(page)]
        progress = False
        for key, value in zip_longest(keys, values):
            if key not in self._keys:
                self._keys.add(key)
                self.new += 1
                progress = True
            elif (version := hash((key, value))) not in self._versions:
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
        self.last_count = count if self._pages > 1 and served else None
        self._idle = 0 if progress else self._idle + 1
        if self._idle >= _IDLE_PAGES or (self.counted and self._rows > 2 * self.counted + _ROOM_ROWS):
            raise RetriableApiError(
                f"{self._what}: search makes no progress: {self._rows} rows on {self._pages} pages, {self.found} of "
                f"them different, {self.counted} counted ({page.where}). Run again; nothing was committed and the "
                "watermark has not moved.",
                request_id=page.request_id,
            )
