"""Leaves out rows that the lake already has as they are sent, so they need not be staged, read back or compared.

A run reads rows again that an earlier one has merged: those of the lookback, and the whole table where there is no date
filter. It recognises them by a digest of their JSON text: equal texts make equal rows, as long as the code that makes
rows is the same (`rules`). A row whose text differs is merged like any other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from operator import neg
from threading import Lock
from typing import Final

from msgspec import Raw

from intercom.extract.pages import Page
from intercom.lake.row_digests import RowDigest
from intercom.normalise.records import Record, text_of
from intercom.tables.table import Table

NEWEST_KEPT: Final = 10_000
"""Rows of a table whose digests are kept, at most, where a run reads what has changed: those that changed last."""
WHOLE_KEPT: Final = 50_000
"""The same where every run reads the whole table, or looks back further than usual; some 250 bytes each in memory."""
FEWEST_KEPT: Final = 1_000
"""Rows that are kept in any case: of a table that seldom changes the next run reads some old ones again."""
RECENT_SECONDS: Final = 2 * 86_400
"""Rows that are older than the newest one by more than this are hardly read again: a lookback is an hour, or begins
with a day, or is that of a run each night, which looks back by two days."""

_CONTESTED: Final = b""
"""In place of the digest of a row that came in several versions, or that was not made a row."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How many rows are kept of those that changed last: those of the last `seconds`, within two bounds."""

    fewest: int
    most: int
    seconds: int

    @classmethod
    def of(cls, table: Table, lookback: int = 0) -> Kept:
        """The rows of a table that the next run may read again, if it looks back as far as this one, in seconds."""
        if not table.reads_by_window:
            return cls(WHOLE_KEPT, WHOLE_KEPT, 0)
        if lookback <= RECENT_SECONDS:
            return cls(FEWEST_KEPT, NEWEST_KEPT, RECENT_SECONDS)
        return cls(FEWEST_KEPT, WHOLE_KEPT, lookback)

    def number(self, versions: Sequence[int], now: int) -> int:
        """How many rows to keep. `versions` are in unix seconds, newest first; those after `now` count as `now`."""
        oldest = min(versions[0], now) - self.seconds if versions else 0
        recent = bisect_right(versions, -oldest, key=neg)
        return min(self.most, max(self.fewest, recent))


class UnchangedRows:
    """What a run knows of the rows before it, and learns for the next one. Pages may come from several threads.

    `known` maps keys to digests of rows that lie in the lake; none when this run is to stage everything.
    `run_start` is the run's time in unix seconds. `left_out` counts the rows that were not staged.
    """

    def __init__(
        self, table: Table, known: Mapping[bytes, RowDigest] | None = None, kept: Kept | None = None, *, run_start: int
    ) -> None:
        self.left_out = 0
        self._table, self._known, self._run_start = table, known or {}, run_start
        self._version = table.version_field or table.cursor_field
        self._kept = kept or Kept.of(table)
        self._room = self._kept.fewest
        self._seen: dict[bytes, RowDigest] = {}
        self._contested = 0
        self._gone = -2
        """The newest version of the rows that were dropped, in unix seconds; older rows are not noted any more."""
        self._lock = Lock()

    def without(self, page: Page) -> Page:
        """The page without the rows that the lake has unchanged; its `newest` stays."""
        with self._lock:
            versions = page.seconds(self._version) if self._version else [None] * len(page.records)
            staged = [
                record
                for record, at in zip(page.records, versions, strict=True)
                # On a first load almost all rows are older than those that are kept, so no digest is made of them.
                if (not self._known and _second(at) < self._gone) or self._is_to_be_staged(record, at)
            ]
            self.left_out += len(page.records) - len(staged)
            if len(self._seen) - self._contested > self._room + self._room // 4:
                self._let_go()
        return page if len(staged) == len(page.records) else replace(page, records=staged)

    def forget(self, record: bytes) -> None:
        """Take back what was noted of a record: it could not be made a row, so the lake will not have it."""
        digest = _digest(record)
        with self._lock:
            for key in [key for key, row in self._seen.items() if row.digest == digest]:
                self._seen[key] = RowDigest(_CONTESTED, None)
                self._contested += 1

    def for_the_next(self) -> dict[bytes, RowDigest]:
        """Key -> digest of rows that lie in the lake once what was staged is committed.

        A row that came in two versions is left out: which one stays is not known here.
        """
        # Where all was read, what is known and did not come again may be gone.
        rows = {**self._known, **self._seen} if self._table.reads_by_window else self._seen
        newest = self._newest(rows)
        return dict(newest[: self._kept.number([_age(row) for row in newest], self._run_start)])

    def _is_to_be_staged(self, record: Record, at: int | None) -> bool:
        """Whether the lake may lack this version of a row, and note that it came."""
        key = self._key(record)
        if key is None:
            return True
        known, seen = self._known.get(key), self._seen.get(key)
        if known is None and seen is None and _second(at) < self._gone:
            return True
        digest = _digest(text_of(record))
        as_known = known is not None and known.digest == digest
        if seen is None:
            self._seen[key] = RowDigest(digest, at)
        if seen is None or seen.digest == digest:
            return not as_known
        # The row came in another version before. If that one was left out, since the lake has it, this one is staged
        # only if it is not older. Among versions of one run their own time decides, but the lake's version counts as
        # read earlier, so that any staged one would win the merge.
        was_left_out = seen.digest == _CONTESTED or (known is not None and known.digest == seen.digest)
        left_out = seen.version if was_left_out else None
        self._contested += seen.digest != _CONTESTED
        self._seen[key] = RowDigest(_CONTESTED, left_out)
        return left_out is None or (at is not None and at >= left_out)

    def _let_go(self) -> None:
        """Drop all but the rows that changed last, the contested ones, and those that are known.

        A known row may have come in a new version, which was staged: that must not be forgotten.
        """
        stay = {key: row for key, row in self._seen.items() if row.digest == _CONTESTED or key in self._known}
        rows = {key: row for key, row in self._seen.items() if key not in stay}
        newest = self._newest(rows)
        kept = self._kept.number([_age(row) for row in newest], self._run_start)
        if kept < len(newest):
            self._gone = max(self._gone, _age(newest[kept]))
        self._seen = {**stay, **dict(newest[:kept])}
        self._room = max(self._kept.fewest, len(self._seen) - self._contested)

    def _newest(self, rows: Mapping[bytes, RowDigest]) -> list[tuple[bytes, RowDigest]]:
        """The rows without contested ones, the newest first."""
        return sorted((one for one in rows.items() if one[1].digest != _CONTESTED), key=_age, reverse=True)

    def _key(self, record: Record) -> bytes | None:
        values = [bytes(record.get(name, b"null")).strip(b'"') for name in self._table.primary_key]
        return None if b"null" in values else b"\0".join(values)


def _age(item: tuple[bytes, RowDigest]) -> int:
    return _second(item[1].version)


def _second(version: int | None) -> int:
    return -1 if version is None else version


def _digest(text: Raw | bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()
