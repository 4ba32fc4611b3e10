"""What is counted slice by slice is what is counted at once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from statistics import median

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as some

from intercom.report.tallies import Freshness, ListedTexts, NewAndChanged, WeeklyMedians
from intercom.tables.schema import EXTRA

TIME = pa.timestamp("us", tz="UTC")
times = some.datetimes(datetime(2025, 12, 20), datetime(2026, 3, 10), timezones=some.just(UTC))
values = some.one_of(some.none(), some.floats(0, 1e7, allow_nan=False))


@given(some.lists(some.tuples(times, values), max_size=40), some.integers(1, 5))
def test_medians_of_weeks_are_those_of_all_rows_wherever_months_and_slices_end(
    rows: list[tuple[datetime, float | None]], size: int
) -> None:
    tally = WeeklyMedians("created_at", "seconds")
    by_month: dict[str, list[tuple[datetime, float | None]]] = {}
    for row in rows:
        by_month.setdefault(f"{row[0]:%Y-%m}", []).append(row)
    by_month["unknown"] = []
    for month in sorted(by_month):
        for first in range(0, len(by_month[month]), size):
            part = by_month[month][first : first + size]
            tally.add(
                pa.table({"created_at": pa.array([at for at, _ in part], TIME), "seconds": [one for _, one in part]}),
                month,
            )
    tally.finish()
    weeks: dict[date, list[float]] = {}
    for at, value in rows:
        if value is not None:
            weeks.setdefault(at.date() - timedelta(days=at.weekday()), []).append(value)
    assert tally.rows == Counter(at.date() - timedelta(days=at.weekday()) for at, _ in rows)
    assert tally.counts["seconds"] == {week: len(found) for week, found in weeks.items()}
    assert {week: round(value, 6) for week, value in tally.medians["seconds"].items()} == {
        week: round(median(found), 6) for week, found in weeks.items()
    }


def test_only_values_of_the_month_at_hand_are_held() -> None:
    tally = WeeklyMedians("created_at", "seconds")
    for month in range(1, 13):
        days = pa.array([datetime(2026, month, day, tzinfo=UTC) for day in range(1, 29)] * 100, TIME)
        tally.add(pa.table({"created_at": days, "seconds": pa.array([1.0] * len(days))}), f"2026-{month:02d}")
        assert sum(part.num_rows for part in tally._held["seconds"]) <= 35 * 100


def test_a_tag_that_a_row_has_twice_counts_once_and_what_is_no_list_of_texts_not_at_all() -> None:
    tally = ListedTexts("tags")
    lists = ['["a","a","b"]', '["a"]', '["a"]', None, "[]", "[1,null]", "{}", "nonsense", '["\\ud800"]']
    tally.add(pa.table({"tags": lists}), "2026-01")
    assert tally.counts == {"a": 3, "b": 1, "\ud800": 1}


def test_fields_beside_the_columns_are_counted_one_by_one_up_to_a_thousand() -> None:
    tally = Freshness(None)
    texts = [None, '{"plan":1,"odd":[{"x":2}]}', *[f'{{"field {number}":0}}' for number in range(1_200)]]
    tally.add(pa.table({EXTRA: texts}), "")
    assert tally.extra_rows == 1_201
    assert (tally.extra["plan"], tally.extra["odd"], tally.extra["field 7"]) == (1, 1, 1)
    assert tally.extra.total() == 1_202
    assert len(tally.extra) == 1_001


def test_a_row_is_changed_on_a_later_day_than_that_of_its_creation_or_without_one() -> None:
    tally = NewAndChanged("created_at", "updated_at")
    first = datetime(2026, 1, 1, 23, 59, tzinfo=UTC)
    created = [first, first, first, None, None]
    updated = [first, first + timedelta(minutes=1), None, first, None]
    tally.add(pa.table({"created_at": pa.array(created, TIME), "updated_at": pa.array(updated, TIME)}), "2026-01")
    assert tally.new == {date(2026, 1, 1): 3}
    assert tally.changed == {date(2026, 1, 2): 1, date(2026, 1, 1): 1}
