"""What a read is foretold to take, and the numbers with bounds that this is told in. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from intercom.extract.pages import Page
from intercom.extract.windows import Window


@dataclass(frozen=True, slots=True)
class Range:
    """A number, or its bounds from below and above; `most` is None where nothing bounds it from above."""

    least: int
    most: int | None

    @classmethod
    def exactly(cls, number: int) -> Self:
        """A number that is known."""
        return cls(number, number)

    @property
    def exact(self) -> bool:
        """Whether the number is known."""
        return self.least == self.most

    def __add__(self, other: Range) -> Range:
        return Range(self.least + other.least, _sum(self.most, other.most))

    def map(self, work: Callable[[int], int]) -> Range:
        """`work` on both bounds; it must not fall while its argument rises."""
        return Range(work(self.least), None if self.most is None else work(self.most))

    def or_none(self) -> Range:
        """Of what may come or not."""
        return Range(0, self.most)

    def scaled(self, factor: float) -> Range:
        """Both bounds times `factor`, as whole numbers."""
        return self.map(lambda number: round(number * factor))

    def or_more(self, most: int | None) -> Range:
        """With another bound from above, if that is greater."""
        return Range(self.least, None if most is None or self.most is None else max(self.least, self.most, most))


@dataclass(frozen=True, slots=True)
class ReadForecast:
    """What one read of a table will take.

    `rows` lie in the window; `received` are bytes of all records that come, with those outside of it. `requests` are
    those of one read, `checks` come before the first one. `chain` are requests that leave one after the other, each
    `page_seconds` after the one before. `sample` is a page as the server sends it, None where there was none. `why`
    says why there are bounds and no numbers, for people. `asked` are the parents whose children are asked for, one
    request each; None for a table that is no child table.
    """

    rows: Range
    requests: Range
    received: Range
    chain: Range
    page_seconds: float
    sample: Page | None
    checks: int = 0
    why: str = ""
    asked: Range | None = None


@dataclass(frozen=True, slots=True)
class LakeRows:
    """Rows that the lake has: `own` of the table, `parents` of its parent table.

    `cut` are lists in the table's own rows that do not hold all of their elements, None if that is unknown.
    """

    own: int = 0
    parents: int = 0
    cut: int | None = None


def received(records: Range, sample: Page | None) -> Range:
    """Bytes of so many records like those of a page."""
    return records.scaled(0.0 if sample is None or not sample.records else sample.size / len(sample.records))


def held(page: Page, field: str, window: Window) -> int:
    """Rows of a page that lie in the window."""
    return sum(window.holds(value) for value in page.seconds(field))


def ceiling(number: int, size: int) -> int:
    """How many pieces of this size hold the number."""
    return -(-number // size)


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right
