"""Leaves out rows that the lake has exactly as they are sent: none of them has to be staged, read back or compared.

A run reads rows again that an earlier one has merged: those of the lookback, and the whole table where there is no date
filter. It knows them by a digest of their text. Texts that are equal make equal rows, under the same rules; of a text
that differs nothing is said, and the row is merged like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from threading import Lock
from typing import Final

from msgspec import Raw

from intercom.extract.pages import Page
from intercom.lake.row_digests import RowDigest
from intercom.normalise.records import Record, text_of
from intercom.tables.table import Table

NEWEST_KEPT: Final = 10_000
"""Rows of a table that are kept, those that changed last, where a run reads what has changed."""
WHOLE_KEPT: Final = 50_000
"""The same where every run reads the whole table; some 250 bytes each in memory."""

_CONTESTED: Final = b""


class UnchangedRows:
    """What a run knows of the rows before it, and learns for the next one. Pages may come from several threads.

    `known` maps keys to digests of rows that lie in the lake; none when this run is to stage everything.
    `left_out` counts the rows that were not staged.
    """

    def __init__(self, table: Table, known: Mapping[bytes, RowDigest] | None = None, most: int | None = None) -> None:
        self.left_out = 0
        self._table, self._known = table, known or {}
        self._version = table.version_field or table.cursor_field
        self._most = most or (WHOLE_KEPT if table.read_whole else NEWEST_KEPT)
        self._seen: dict[bytes, RowDigest] = {}
        self._contested = 0
        self._gone = -2
        """The newest version of the rows that were let go; older ones are not noted any more."""
        self._lock = Lock()

    def without(self, page: Page) -> Page:
        """The page without rows that are known to be in the lake as they are; it has read as far as before."""
        with self._lock:
            versions = page.seconds(self._version) if self._version else [None] * len(page.records)
            staged = [
                record for record, at in zip(page.records, versions, strict=True) if self._is_to_be_staged(record, at)
            ]
            self.left_out += len(page.records) - len(staged)
            if len(self._seen) - self._contested > self._most + self._most // 4:
                self._let_go()
        return page if len(staged) == len(page.records) else replace(page, records=staged)

    def forget(self, record: bytes) -> None:
        """A record's text was not made a row after all."""
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
        rows = self._seen if self._table.read_whole else {**self._known, **self._seen}
        sure = {key: row for key, row in rows.items() if row.digest != _CONTESTED}
        return dict(sorted(sure.items(), key=_age, reverse=True)[: self._most])

    def _is_to_be_staged(self, record: Record, at: int | None) -> bool:
        """Whether the lake may lack this version of a row, and note that it came."""
        key = self._key(record)
        if key is None:
            return True
        known, seen = self._known.get(key), self._seen.get(key)
        if known is None and seen is None and (-1 if at is None else at) < self._gone:
            return True
        digest = _digest(text_of(record))
        as_known = known is not None and known.digest == digest
        if seen is None:
            self._seen[key] = RowDigest(digest, at)
        if seen is None or seen.digest == digest:
            return not as_known
        # It came in another version before. If that one was left out, an older one is beaten by it: among versions that
        # one run has read their own time decides, and as a staged row this one would count as read later.
        was_left_out = seen.digest == _CONTESTED or (known is not None and known.digest == seen.digest)
        left_out = seen.version if was_left_out else None
        self._contested += seen.digest != _CONTESTED
        self._seen[key] = RowDigest(_CONTESTED, left_out)
        return left_out is None or (at is not None and at >= left_out)

    def _let_go(self) -> None:
        """Keep the rows that changed last, and all contested ones."""
        contested = {key: row for key, row in self._seen.items() if row.digest == _CONTESTED}
        sure = sorted(((key, row) for key, row in self._seen.items() if key not in contested), key=_age, reverse=True)
        self._gone = max([self._gone, *map(_age, sure[self._most : self._most + 1])])
        self._seen = {**contested, **dict(sure[: self._most])}

    def _key(self, record: Record) -> bytes | None:
        values = [bytes(record.get(name, b"null")).strip(b'"') for name in self._table.primary_key]
        return None if b"null" in values else b"\0".join(values)


def _age(item: tuple[bytes, RowDigest]) -> int:
    return -1 if item[1].version is None else item[1].version


def _digest(text: Raw | bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()
