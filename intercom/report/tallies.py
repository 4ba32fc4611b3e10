"""What is counted of a table's rows, slice by slice: days, months, weeks, values, elements of lists, medians.

Memory is that of the results: it grows with the number of different values, and not with the number of rows.
`WeeklyMedians` holds a month of numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.tables.schema import EXTRA

_MOST_NAMES: Final = 1_000
"""Different names of fields in `EXTRA` that are counted one by one."""
_LIST: Final = msgspec.json.Decoder(list[Any])
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Freshness:
    """Rows by month of the partition, the newest time of change, and what is in `EXTRA`.

    `changed` is the column with the time of the last change, None if the table has none. `extra` counts names of
    fields, `extra_rows` the rows that have any.
    """

    def __init__(self, changed: str | None) -> None:
        self.columns = (EXTRA, *([changed] if changed else []))
        self.by_month: Counter[str] = Counter()
        self.newest_change: datetime | None = None
        self.extra_rows = 0
        self.extra: Counter[str] = Counter()
        self._changed = changed

    def add(self, rows: pa.Table, month: str) -> None:
        """As `Tally.add`."""
        self.by_month[month] += rows.num_rows
        if self._changed is not None:
            self.newest_change = _later(self.newest_change, rows.column(self._changed))
        kept = flat(rows.column(EXTRA)).drop_null()
        self.extra_rows += len(kept)
        for text in kept.to_pylist():
            with suppress(msgspec.DecodeError):
                for name in _OBJECT.decode(text or ""):
                    known = name in self.extra or len(self.extra) < _MOST_NAMES
                    self.extra[name if known else "(fields of other names)"] += 1


class NewAndChanged:
    """Rows by the day (UTC) on which they were created, and by that of their last change if they were created before.

    `changed` is None for a table whose rows have no time of change.
    """

    def __init__(self, created: str, changed: str | None) -> None:
        self.columns = (created, *([changed] if changed else []))
        self.new: Counter[date] = Counter()
        self.changed: Counter[date] = Counter()
        self._created, self._changed = created, changed

    def add(self, rows: pa.Table, month: str) -> None:
        """As `Tally.add`."""
        del month
        created = _floor(rows.column(self._created), "day")
        self.new.update(_dates(created))
        if self._changed is not None:
            changed = _floor(rows.column(self._changed), "day")
            # Also rows without a time of creation.
            later: Any = pc.fill_null(pc.greater(changed, created), pa.scalar(True))
            self.changed.update(_dates(changed.filter(later)))


class Values:
    """How many rows have which values in some columns: a counter of tuples."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def add(self, rows: pa.Table, month: str) -> None:
        """As `Tally.add`."""
        del month
        found = rows.select(list(self.columns)).group_by(list(self.columns)).aggregate([([], "count_all")])
        values = zip(*(found.column(name).to_pylist() for name in self.columns), strict=True)
        for value, count in zip(values, found.column("count_all").to_pylist(), strict=True):
            self.counts[value] += count or 0


class ListedTexts:
    """How many rows have a text in a column of JSON lists; a row that has it twice counts once."""

    def __init__(self, column: str) -> None:
        self.columns = (column,)
        self.counts: Counter[str] = Counter()

    def add(self, rows: pa.Table, month: str) -> None:
        """As `Tally.add`."""
        del month
        for text, count in _counted(flat(rows.column(self.columns[0])).drop_null()):
            for element in {one for one in _elements(text) if isinstance(one, str)}:
                self.counts[element] += count


class Names:
    """Id -> name of a small table's rows."""

    def __init__(self, key: str, name: str) -> None:
        self.columns = (key, name)
        self.by_id: dict[str, str] = {}

    def add(self, rows: pa.Table, month: str) -> None:
        """As `Tally.add`."""
        del month
        named = zip(*(rows.column(column).to_pylist() for column in self.columns), strict=True)
        self.by_id.update({key: name for key, name in named if key is not None and name is not None})


class WeeklyMedians:
    """Rows and medians by the week (from Monday, UTC) in which a row was created.

    `rows` counts all rows. `medians[column][week]` is of the rows that have a value there, whose number is
    `counts[column][week]`: the middle value, or the mean of the two middle ones. Exact if rows lie in their months,
    because a week is finished once a month begins that has no day of it; until then its values are held.
    """

    def __init__(self, created: str, *values: str) -> None:
        self.columns = (created, *values)
        self.rows: Counter[date] = Counter()
        self.medians: dict[str, dict[date, float]] = {name: {} for name in values}
        self.counts: dict[str, dict[date, int]] = {name: {} for name in values}
        self._created, self._values = created, values
        self._month = ""
        self._held: dict[str, list[pa.Table]] = {name: [] for name in values}

    def add(self, rows: pa.Table, month: str) -> None:
        """As `Tally.add`."""
        if month != self._month:
            self._month = month
            first = month_start(month)
            if first is not None:
                self._finish(first - timedelta(days=first.weekday()))
        weeks = _floor(rows.column(self._created), "week")
        self.rows.update(_dates(weeks))
        for name in self._values:
            held = pa.table({"week": weeks, "value": flat(rows.column(name)).cast(pa.float64())})
            self._held[name].append(held.filter(pc.and_(pc.is_valid(held["week"]), pc.is_valid(held["value"]))))

    def finish(self) -> None:
        """Finish the last weeks. To be called once, after all rows."""
        self._finish(None)

    def _finish(self, before: date | None) -> None:
        """Medians of the weeks that begin before that day."""
        for name, held in self._held.items():
            if not held:
                continue
            rows = pa.concat_tables(held)
            self._held[name] = []
            if before is not None:
                bound = pa.scalar(datetime(before.year, before.month, before.day), rows.schema.field("week").type)
                self._held[name] = [rows.filter(pc.greater_equal(rows["week"], bound))]
                rows = rows.filter(pc.less(rows["week"], bound))
            ordered = rows.sort_by([("week", "ascending"), ("value", "ascending")])
            values, start = flat(ordered["value"]), 0
            for week, count in sorted(_dates(flat(ordered["week"])).items()):
                self.counts[name][week] = count
                low, high = (values[start + place].as_py() for place in ((count - 1) // 2, count // 2))
                self.medians[name][week] = low + (high - low) * 0.5
                start += count


def month_start(month: str) -> date | None:
    """The first day of ``2026-01``; None for rows without a month, and for tables that have none."""
    with suppress(ValueError):
        return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).date()
    return None


def _later(known: datetime | None, times: pa.ChunkedArray) -> datetime | None:
    newest: datetime | None = pc.max(times).as_py()
    return max((one for one in (known, newest) if one is not None), default=None)


def _floor(times: pa.ChunkedArray, unit: Literal["day", "week"]) -> pa.Array:
    """Times in UTC without a zone, rounded down; weeks begin on Monday."""
    floor: pa.Array = pc.floor_temporal(flat(times).cast(pa.timestamp("us")), unit=unit)
    return floor


def _dates(times: pa.Array) -> Counter[date]:
    return Counter({at.date(): count for at, count in _counted(times.drop_null())})


def _counted(values: pa.Array) -> Sequence[tuple[Any, int]]:
    found: Any = pc.value_counts(values)
    pairs: list[Any] = found.to_pylist()
    return [(one["values"], one["counts"]) for one in pairs]


def _elements(text: str) -> list[Any]:
    """Elements of a JSON list; none of another text. `json` also takes what is no valid Unicode."""
    try:
        return _LIST.decode(text)
    except msgspec.DecodeError:
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
            return found if isinstance(found, list) else []
    return []
