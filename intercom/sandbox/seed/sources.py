"""Random numbers, ids, times, and ids of the records made so far, for all makers of records."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from random import Random
from typing import Any, TypeVar

from intercom.sandbox.search.days import day_span, day_start, local_date
from intercom.sandbox.seed.words import FIRST_NAMES, LAST_NAMES, SENTENCES

DAY = 86_400
OLDEST_DAYS = 5 * 365
PLURALS = {"tag": "tags", "note": "notes", "company": "companies"}

T = TypeVar("T")


class Sources:
    """Random values for one workspace, all from one seeded generator."""

    def __init__(
        self,
        random: Random,
        *,
        now: int,
        timezone: str,
        app_id: str,
        history_days: int = OLDEST_DAYS,
        one_day: bool = False,
    ) -> None:
        self.random = random
        self.now = now
        self.timezone = timezone
        self.app_id = app_id
        self.made: dict[str, list[str]] = {}
        self._history_days = history_days
        self._only_day = day_span(now - DAY, timezone, timezone) if one_day else None
        self._busy_second = now - min(200, history_days // 2) * DAY - 4_321

    def beside(self, random: Random) -> Sources:
        """The same workspace with other random numbers; records made by one are remembered by both."""
        other = copy(self)
        other.random = random
        return other

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def choice(self, options: Sequence[T]) -> T:
        return options[int(self.random.random() * len(options))]

    def number(self, low: int, high: int) -> int:
        """A whole number, ends included."""
        return low + int(self.random.random() * (high - low + 1))

    def hex_id(self, created_at: int) -> str:
        """24 hex digits that begin with the creation time, as ids of contacts and companies do."""
        return f"{created_at & 0xFFFFFFFF:08x}{self.random.getrandbits(64):016x}"

    def numeric_id(self, table: str, first: int) -> str:
        """The next id of a table with numeric ids, which have gaps."""
        made = self.made.get(table)
        return str(int(made[-1]) + self.number(1, 9) if made else first)

    def remember(self, table: str, key: str) -> None:
        """Let later records refer to this one."""
        self.made.setdefault(table, []).append(key)

    def some(self, table: str, most: int) -> list[str]:
        """Up to ``most`` different ids of a table, in the order they were made."""
        made = self.made.get(table, [])
        count = min(len(made), self.number(0, most))
        if count == 0:
            return []
        first = self.number(0, len(made) - 1)
        return [made[(first + step) % len(made)] for step in range(count)]

    def one(self, table: str) -> str | None:
        """An id of a table, or None while it is empty."""
        made = self.made.get(table)
        return self.choice(made) if made else None

    def times(self) -> tuple[int, int]:
        """created_at and updated_at, in unix seconds.

        They are within the last ``history_days``, more of them recently. Some records have the same second, like an
        import; some were updated at the edge of a local day. With ``one_day``, all times are within yesterday's local
        date.
        """
        if self._only_day is not None:
            start, end = self._only_day
            created = self.number(start, end - 1)
            return created, self.number(created, end - 1)
        draw = self.random.random()
        if draw < 0.08:
            created = self._busy_second
        else:
            created = self.now - DAY - int(self._history_days * DAY * self.random.random() ** 2)
        if draw < 0.04:
            return created, created
        updated = self.now - 1 - int((self.now - 1 - created) * self.random.random() ** 2)
        if draw > 0.95:
            midnight = day_start(local_date(updated, self.timezone), self.timezone)
            updated = max(created, midnight - self.number(0, 1))
        return created, updated

    def past(self, since: int) -> int:
        """A time between ``since`` and now, in unix seconds."""
        return since + int((self.now - since) * self.random.random())

    def maybe(self, share: float, value: T) -> T | None:
        return value if self.random.random() < share else None

    def person(self) -> str:
        return f"{self.choice(FIRST_NAMES)} {self.choice(LAST_NAMES)}"

    def text(self, sentences: int) -> str:
        return " ".join(self.choice(SENTENCES) for _ in range(sentences))

    def html(self, paragraphs: int) -> str:
        return "".join(f'<p class="no-margin">{self.text(2)}</p>\n' for _ in range(paragraphs))


def addressable_list(kind: str, ids: Sequence[str], url: str, total: int | None = None) -> dict[str, Any]:
    """A list of references with at most ten elements, whatever its total count (API reference, contact model)."""
    total = len(ids) if total is None else total
    data = [{"id": key, "type": kind, "url": f"/{PLURALS[kind]}/{key}"} for key in ids[:10]]
    return {"type": "list", "data": data, "url": url, "total_count": total, "has_more": total > len(data)}
