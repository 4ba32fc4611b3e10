"""Counts the distinct keys that the pages of one read have given, and notices when no new ones come.

Each key is counted once: when pages overlap, the number of rows may reach Intercom's count although some rows are
missing. A read that brings no new key is ended with an error, else it could go on for ever and hold the table's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from hashlib import blake2b

from intercom.errors import RetriableApiError
from intercom.extract.pages import Page
from intercom.normalise.records import Record, text_of

STILL_PAGES = 5
"""Pages in a row without a new row that end a read. Empty pages in the middle of a search occur, but not so many."""
SPARE_ROWS = 1_500
"""Rows that may come beyond twice those counted: about ten full pages."""
_DIGEST_BYTES = 16


class DistinctKeys:
    """The distinct rows of one read, in the order of its pages. Not for several threads at once.

    A row is known by its raw ``id``, and by its text where it has none. A record that cannot be a row counts as found;
    null elements count as nothing. ``what`` names table and window in messages.
    """

    def __init__(self, what: str, counted: int | None = None) -> None:
        self.what = what
        self.counted = counted
        self.rows = 0
        self._keys: set[bytes] = set()
        self._still = 0

    @property
    def found(self) -> int:
        """Distinct rows until now."""
        return len(self._keys)

    def expect(self, counted: int | None) -> None:
        """Learn a count of these rows; the largest of all holds. None says nothing."""
        if counted is not None:
            self.counted = counted if self.counted is None else max(self.counted, counted)

    def add(self, page: Page) -> list[bytes]:
        """Take in a page; the keys of its rows, those that came before included.

        Raises RetriableApiError when several pages in a row, with or without records, have brought no new row, or
        when far more rows have come than are counted.
        """
        keys = row_keys(page)
        self.note(keys, page.number, page.request_id)
        return keys

    def note(self, keys: Collection[bytes], number: int, request_id: str | None) -> None:
        """Take in a page of which only these keys, its number and its request are at hand; raises as `add` does."""
        before = len(self._keys)
        self._keys.update(keys)
        self.rows += len(keys)
        self._still = 0 if len(self._keys) > before else self._still + 1
        if self._still >= STILL_PAGES:
            raise self._no_progress(
                number, request_id, f"{self._still} pages in a row brought no row that had not come before"
            )
        if self.counted is not None and self.rows > 2 * self.counted + SPARE_ROWS:
            raise self._no_progress(number, request_id, f"{self.rows} rows came where {self.counted} are counted")

    def _no_progress(self, number: int, request_id: str | None, why: str) -> RetriableApiError:
        return RetriableApiError(
            f"{self.what}: no progress up to page {number}, request {request_id or 'without id'}: {why}. Run again "
            "later; nothing was committed and the watermark has not moved.",
            request_id=request_id,
        )


def row_keys(page: Page) -> list[bytes]:
    """Keys of a page's records, in their order, followed by the keys of those that cannot be rows."""
    times: Counter[bytes] = Counter()
    odd = []
    for rejected in page.rejected:  # the same text twice on a page is two records
        odd.append(_digest(b"%d %b" % (times[rejected.text], rejected.text)))
        times[rejected.text] += 1
    return [_key(record) for record in page.records] + odd


def _key(record: Record) -> bytes:
    key = bytes(record.get("id", b""))
    return key if key and key != b"null" else _digest(bytes(text_of(record)))


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=_DIGEST_BYTES).digest()
