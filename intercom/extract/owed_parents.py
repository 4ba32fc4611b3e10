"""Parents without a usable answer while children are read: how many may be owed, and which are asked for once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from intercom.errors import RetriableApiError
from intercom.extract.child_answers import ParentRecord
from intercom.extract.extraction import Extraction
from intercom.tables.owed import MOST_OWED, OwedParent

_FEW: Final = 10
"""So many parents of one read may lack an answer, however few are read; beyond that one in a hundred."""


class OwedParents:
    """The owed parents of one read. Not safe for threads by itself."""

    def __init__(self, extraction: Extraction) -> None:
        self._extraction = extraction
        recalled = extraction.completeness.owed
        self._before = _only({**extraction.owed, **recalled})
        self._left = _only({**(extraction.owed if extraction.asks_owed else {}), **recalled})
        self._failed = set[str]()

    def was_owed(self, key: str) -> bool:
        """Whether a parent has had no usable answer already: then one try is enough, for it may fail for ever."""
        return self._owed(key) is not None

    def came(self, key: str) -> None:
        """A parent is asked for in the version that has come."""
        self._left.pop(key, None)

    def take_left(self) -> list[ParentRecord]:
        """Owed parents that have not come, as they were when they were asked for last."""
        left, self._left = self._left, {}
        return [ParentRecord.of_owed(one) for one in left.values()]

    def owe(self, parent: ParentRecord, error: RetriableApiError) -> OwedParent:
        """A parent without a usable answer is owed; raises the error where many are, since then it is the server."""
        self._failed.add(parent.key)
        new = len(self._failed - self._before.keys())
        total = len(self._failed | _only({**self._before, **self._extraction.completeness.owed}).keys())
        if new > max(_FEW, self._extraction.tally.asked // 100) or total > MOST_OWED:
            declared = self._extraction.table.parent
            assert declared is not None
            raise RetriableApiError(
                f"{self._extraction.table.name}: {total:,} of the {declared.table.name} gave no usable answer, too "
                f"many to go on without them. The last one: {error}",
                status=error.status,
                code=error.code,
                request_id=error.request_id,
                server_time=error.server_time,
            ) from error
        return self.owe_again(parent)

    def owe_again(self, parent: ParentRecord) -> OwedParent:
        """A parent is owed, since when it was first."""
        before = self._owed(parent.key)
        return parent.owed(self._extraction.run_start if before is None else before.since)

    def told(self, key: str, owed: OwedParent | None) -> dict[str, OwedParent | None]:
        """What is to be noted of a parent that was asked for; nothing of one that was not owed, and is not."""
        if owed is None:
            self._failed.discard(key)
        noted = owed is not None or key in self._before or key in self._extraction.completeness.owed
        return {key: owed} if noted else {}

    def _owed(self, key: str) -> OwedParent | None:
        return self._extraction.completeness.owed.get(key) or self._before.get(key)


def _only(parents: Mapping[str, OwedParent | None]) -> dict[str, OwedParent]:
    return {key: one for key, one in parents.items() if one is not None}
