"""Parents of a child table whose children the lake has in their present version, so that none is asked for again.

A run reads the parents of the lookback again, and each would cost a request. It recognises those that were read by a
digest of their version. As with `UnchangedRows`, only those that changed last are kept for the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock

from intercom.extract.windows import Window
from intercom.lake.row_digests import RowDigest
from intercom.sync.unchanged import Kept
from intercom.tables.table import Table


class KnownParents:
    """What a run knows of parents that were read before it, and learns for the next one. Safe for any thread.

    `known` maps keys to digests of parents whose children lie in the lake; none when this run is to read everything.
    `run_start` is the run's time in unix seconds, `kept` how many are kept for the next run. `left_out` says of a key
    whether the lake is to have no children of this parent, and to know nothing of it.
    """

    def __init__(
        self,
        table: Table,
        known: Mapping[bytes, RowDigest],
        kept: Kept | None = None,
        *,
        run_start: int,
        left_out: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._left_out = left_out
        self._whole, self._kept, self._run_start = not table.reads_by_window, kept or Kept.of(table), run_start
        self._known, self._read = dict(known), dict[bytes, RowDigest]()
        self._lock = Lock()

    def is_to_be_read(self, key: str, digest: bytes) -> bool:
        """Whether the lake may lack children of this version of a parent; if so, nothing is known of it any more."""
        if self._left_out(key):
            return False
        with self._lock:
            known = self._known.pop(key.encode(), None)
            if known is None or known.digest != digest:
                return True
            self._note(key, known)
            return False

    def was_read(self, key: str, digest: bytes, at: int | None) -> None:
        """All children of this version were delivered, as far as Intercom gives them.

        One that has changed since the run began may change again in the same second, and look the same.
        """
        if at is not None and at >= self._run_start:
            return
        with self._lock:
            self._note(key, RowDigest(digest, at))

    def number_in(self, window: Window) -> int:
        """How many known parents have a cursor value in this window."""
        with self._lock:
            return sum(window.holds(known.version) for known in self._known.values())

    @property
    def newest(self) -> int | None:
        """The greatest cursor value of the known parents."""
        with self._lock:
            return max((known.version for known in self._known.values() if known.version is not None), default=None)

    def for_the_next(self) -> dict[bytes, RowDigest]:
        """Key -> digest of parents whose children lie in the lake once what was staged is committed."""
        with self._lock:
            # Where all parents were read, one that is known and did not come again may be gone.
            return self._newest(self._read if self._whole else {**self._known, **self._read})

    def _note(self, key: str, read: RowDigest) -> None:
        self._read[key.encode()] = read
        if len(self._read) > self._kept.most + self._kept.most // 4:
            self._read = self._newest(self._read)

    def _newest(self, parents: Mapping[bytes, RowDigest]) -> dict[bytes, RowDigest]:
        newest = sorted(parents.items(), key=lambda one: _second(one[1]), reverse=True)
        return dict(newest[: self._kept.number([_second(read) for _, read in newest], self._run_start)])


def _second(read: RowDigest) -> int:
    return -1 if read.version is None else read.version
