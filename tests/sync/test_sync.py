"""First loads and increments over real HTTP, each compared row by row with what the workspace serves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.tables.catalogue import TABLES
from tests.conftest import NOW
from tests.support.rig import IN_SLICES, Rig


@pytest.fixture(params=[DEFAULT_LIMITS, IN_SLICES], ids=["one chain", "slices"])
def limits(request: pytest.FixtureRequest) -> ReadLimits:
    """Each test reads its searches in both ways."""
    found: ReadLimits = request.param
    return found


MERGED = ("contacts", "companies", "conversations", "articles")
ZONES = {"UTC": MERGED, "America/Los_Angeles": MERGED, "Pacific/Auckland": ["contacts"], "Asia/Kolkata": ["contacts"]}
"""With the tables to look at there: only contacts are searched by days."""
SMALL: dict[str, Any] = {"contacts": 90, "companies": 15, "conversations": 60, "articles": 10, "history_days": 40}
"""Many runs over few files, of two or three months."""


def change_some(rig: Rig, *, every: int = 7) -> None:
    """Edit some rows of each merge table, and add one."""
    for table in MERGED:
        for row in rig.workspace.rows(table)[::every]:
            rig.workspace.update(
                table, row["id"], **{"title" if table in ("conversations", "articles") else "name": "new"}
            )
        rig.workspace.create(table)


def test_first_load_holds_every_row_of_nine_tables(rig: Rig) -> None:
    rig.sync()
    rig.check()


def test_second_run_without_changes_writes_nothing(rig: Rig) -> None:
    rig.sync()
    before = {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list("data")}
    results = rig.sync()
    rig.check()
    assert {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list("data")} == before
    assert all(compacted.files == 0 for _, compacted in results.values())


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("index_zone", [None, "UTC"])
def test_three_increments_on_one_day_are_exact(make_rig: Callable[..., Rig], zone: str, index_zone: str | None) -> None:
    rig = make_rig(timezone=zone, **SMALL)
    rig.workspace.options.index_timezone = index_zone
    tables = ZONES[zone] if index_zone else ["contacts"]
    rig.sync(tables)
    for _ in range(3):
        rig.workspace.travel(120)
        change_some(rig)
        rig.workspace.travel(3)
        rig.sync(tables)
        rig.check(tables)


@pytest.mark.parametrize("zone", ZONES)
def test_changes_around_local_midnight_are_not_lost(make_rig: Callable[..., Rig], zone: str) -> None:
    midnight = (datetime.fromtimestamp(NOW, ZoneInfo(zone)) + timedelta(days=1)).replace(hour=0, minute=0, second=0)
    rig = make_rig(timezone=zone, now=midnight.timestamp() - 3 * 3600, **SMALL)
    tables = ZONES[zone]
    rig.sync(tables)
    for seconds in (-1, 0, 1, 86_399, 86_401):
        rig.workspace.travel_to(midnight.timestamp() + seconds)
        change_some(rig, every=11)
        rig.workspace.travel(2)
        rig.sync(tables)
        rig.check(tables)


def test_changes_that_fill_several_pages_just_after_the_watermark_are_all_read(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=700, history_days=40)
    rig.sync(["contacts"])
    (mark,) = [mark.value for mark in rig.store.kept.values()]
    for number, row in enumerate(rig.workspace.rows("contacts")[:500]):
        rig.workspace.update("contacts", row["id"], updated_at=mark + 1 + number // 2, name="changed")
    rig.workspace.travel(7200)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_the_25_hour_day_loses_nothing(make_rig: Callable[..., Rig]) -> None:
    clocks_change = datetime(2026, 11, 1, 9, 0, tzinfo=UTC).timestamp()  # 2 am in Los Angeles becomes 1 am
    rig = make_rig(timezone="America/Los_Angeles", now=clocks_change - 21 * 3600, **SMALL)
    rig.sync(["contacts"])
    for _ in range(14):
        rig.workspace.travel(3 * 3600)
        change_some(rig, every=13)
        rig.workspace.travel(1)
        rig.sync(["contacts"])
        rig.check(["contacts"])


@pytest.mark.parametrize("seconds", [False, True])
@pytest.mark.parametrize("inclusive", [False, True])
def test_both_readings_of_the_comparison_operators_are_exact(
    make_rig: Callable[..., Rig], seconds: bool, inclusive: bool
) -> None:
    rig = make_rig(**SMALL)
    rig.workspace.options.contacts_by_second = seconds
    rig.workspace.options.inclusive_bounds = inclusive
    rig.sync(MERGED)
    for _ in range(2):
        rig.workspace.travel(60)
        change_some(rig)
        rig.workspace.travel(1)
        rig.sync(MERGED)
        rig.check(MERGED)


def test_a_renamed_and_a_deleted_tag_are_followed(rig: Rig) -> None:
    rig.sync(["tags"])
    first, second, *_ = rig.workspace.rows("tags")
    rig.workspace.update("tags", first["id"], name="renamed")
    rig.workspace.delete("tags", second["id"])
    results = rig.sync(["tags"])
    rig.check(["tags"])
    assert (results["tags"][1].changed, results["tags"][1].removed) == (1, 1)


def test_an_empty_list_is_a_legal_empty_table(rig: Rig) -> None:
    rig.sync(["tags"])
    for tag in rig.workspace.rows("tags"):
        rig.workspace.delete("tags", tag["id"])
    rig.sync(["tags"])
    assert rig.rows("tags").num_rows == 0
    rig.check(["tags"])


def test_attributes_of_one_name_in_two_models_are_both_kept(rig: Rig) -> None:
    rig.sync(["data_attributes"])
    rig.check(["data_attributes"])
    names = rig.rows("data_attributes").column("name").to_pylist()
    assert len(names) > len(set(names))


def test_changes_without_a_new_cursor_value_are_found_where_tables_are_read_whole(rig: Rig) -> None:
    rig.sync(["companies", "articles"])
    company, article = rig.workspace.rows("companies")[0], rig.workspace.rows("articles")[0]
    rig.workspace.update("companies", company["id"], touch=False, user_count=4711)
    rig.workspace.update("articles", article["id"], touch=False, translated_content={"de": {"title": "neu"}})
    results = rig.sync(["companies", "articles"])
    rig.check(["companies", "articles"])
    assert [compacted.changed for _, compacted in results.values()] == [1, 1]


def test_a_full_refresh_removes_what_intercom_has_deleted(rig: Rig) -> None:
    rig.sync(MERGED)
    for table in MERGED:
        for row in rig.workspace.rows(table)[::6]:
            rig.workspace.delete(table, row["id"])
    rig.sync(MERGED, full_refresh=True)
    rig.check(MERGED)


def test_the_watermark_is_the_newest_value_seen_and_never_later_than_the_start(rig: Rig) -> None:
    future = int(rig.workspace.time()) + 86_400
    contact = rig.workspace.rows("contacts")[0]
    rig.sync(["contacts"])
    newest = max(row["updated_at"] for row in rig.workspace.rows("contacts"))
    assert [mark.value for mark in rig.store.kept.values()] == [newest]
    rig.workspace.update("contacts", contact["id"], updated_at=future)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.watermark_before == newest
    assert newest <= ingested.watermark_after <= rig.workspace.now()


def test_a_start_date_limits_a_first_load_and_an_earlier_one_is_made_up_for(rig: Rig) -> None:
    times = sorted(row["updated_at"] for row in rig.workspace.rows("contacts"))
    start = times[len(times) // 2]
    rig.sync(MERGED, history_from=start)
    for table in MERGED:
        expected = {row["id"] for row in rig.workspace.rows(table) if row["updated_at"] >= start}
        assert set(rig.rows(table).column("id").to_pylist()) == expected, table
    rig.workspace.travel(60)
    rig.sync(MERGED, history_from=times[10])
    for table in MERGED:
        expected = {row["id"] for row in rig.workspace.rows(table) if row["updated_at"] >= times[10]}
        assert set(rig.rows(table).column("id").to_pylist()) == expected, table
    rig.sync(MERGED)
    rig.check(MERGED)


def test_a_backfill_reads_its_range_and_leaves_the_watermark(rig: Rig) -> None:
    rig.sync(MERGED)
    marks = dict(rig.store.kept)
    old = rig.workspace.rows("contacts")[0]
    rig.workspace.update("contacts", old["id"], touch=False, name="changed behind the cursor")
    rig.sync(MERGED, history_from=old["updated_at"] - 86_400, until=old["updated_at"] + 86_400)
    rig.sync(["contacts"], full_refresh=False)
    assert {key: mark.value for key, mark in rig.store.kept.items()} == {key: m.value for key, m in marks.items()}
    stored = rig.rows("contacts")
    assert dict(zip(stored.column("id").to_pylist(), stored.column("name").to_pylist(), strict=True))[old["id"]] == (
        "changed behind the cursor"
    )


def test_every_table_of_the_catalogue_is_served(rig: Rig) -> None:
    assert all(rig.workspace.rows(table) for table in TABLES)
