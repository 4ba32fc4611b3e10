"""First loads and increments over real HTTP, each compared row by row with what the workspace serves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from tests.conftest import NOW
from tests.support.effort import effort
from tests.support.rig import BY_DEFAULT, IN_SLICES, Rig


def in_words(value: object) -> str | None:
    """How a case is called; None for pytest's own name of it."""
    return ("slices" if value is IN_SLICES else "one chain") if isinstance(value, ReadLimits) else None


@pytest.fixture(params=[DEFAULT_LIMITS, IN_SLICES], ids=in_words)
def limits(request: pytest.FixtureRequest) -> ReadLimits:
    """Each test reads its searches in both ways."""
    found: ReadLimits = request.param
    return found


MERGED = ("contacts", "companies", "conversations", "articles")


@pytest.fixture
def merged(limits: ReadLimits) -> tuple[str, ...]:
    """The tables to look at: others than these are not searched, and so read in one way."""
    return ("contacts", "conversations") if limits is IN_SLICES else MERGED


ZONES = ["UTC", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata"]
EVERY_TABLE = effort(ZONES[1:2], ZONES[:2])
"""Zones in which all tables are looked at: only contacts are searched by days."""
SMALL: dict[str, Any] = {"contacts": 90, "companies": 15, "conversations": 60, "articles": 10, "history_days": 32}
"""Many runs over few files, of two or three months."""


def change_some(rig: Rig, tables: Iterable[str] = MERGED, *, every: int = 7) -> None:
    """Edit some rows of each of these tables, and add one."""
    for table in tables:
        for row in rig.workspace.rows(table)[::every]:
            rig.workspace.update(
                table, row["id"], **{"title" if table in ("conversations", "articles") else "name": "new"}
            )
        rig.workspace.create(table)


def test_first_load_holds_every_row_of_nine_tables(rig: Rig, limits: ReadLimits, merged: tuple[str, ...]) -> None:
    tables = merged if limits is IN_SLICES else BY_DEFAULT
    rig.sync(tables)
    rig.check(tables)


def test_second_run_without_changes_writes_nothing(rig: Rig, limits: ReadLimits, merged: tuple[str, ...]) -> None:
    tables = merged if limits is IN_SLICES else BY_DEFAULT
    rig.load(tables)
    before = {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list("data")}
    results = rig.sync(tables)
    rig.check(tables)
    assert {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list("data")} == before
    assert all(compacted.files == 0 for _, compacted in results.values())


@pytest.mark.parametrize(
    ("limits", "zone", "index_zone"),
    effort(
        [
            *[(DEFAULT_LIMITS, zone, None) for zone in ZONES[2:]],
            (DEFAULT_LIMITS, ZONES[1], "UTC"),
            (IN_SLICES, ZONES[1], "UTC"),
        ],
        list(product((DEFAULT_LIMITS, IN_SLICES), ZONES, (None, "UTC"))),
    ),
    ids=in_words,
    indirect=["limits"],
)
def test_three_increments_on_one_day_are_exact(
    make_rig: Callable[..., Rig], merged: tuple[str, ...], zone: str, index_zone: str | None
) -> None:
    rig = make_rig(timezone=zone, **SMALL)
    rig.workspace.options.index_timezone = index_zone
    tables = merged if index_zone and zone in EVERY_TABLE else ("contacts",)
    rig.sync(tables)
    for _ in range(3):
        rig.workspace.travel(120)
        change_some(rig, tables)
        rig.workspace.travel(3)
        rig.sync(tables)
        rig.check(tables)


@pytest.mark.parametrize(
    ("limits", "zone"),
    effort(
        [(DEFAULT_LIMITS, ZONES[1]), (DEFAULT_LIMITS, ZONES[2]), (IN_SLICES, ZONES[1])],
        list(product((DEFAULT_LIMITS, IN_SLICES), ZONES)),
    ),
    ids=in_words,
    indirect=["limits"],
)
def test_changes_around_local_midnight_are_not_lost(
    make_rig: Callable[..., Rig], merged: tuple[str, ...], zone: str
) -> None:
    midnight = (datetime.fromtimestamp(NOW, ZoneInfo(zone)) + timedelta(days=1)).replace(hour=0, minute=0, second=0)
    rig = make_rig(timezone=zone, now=midnight.timestamp() - 3 * 3600, **SMALL)
    tables = merged if zone in EVERY_TABLE else ("contacts",)
    rig.load(tables)
    for seconds in (-1, 0, 1, 86_399, 86_401):
        rig.workspace.travel_to(midnight.timestamp() + seconds)
        change_some(rig, tables, every=11)
        rig.workspace.travel(2)
        rig.sync(tables)
        rig.check(tables)


def test_changes_that_fill_several_pages_just_after_the_watermark_are_all_read(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=700, history_days=32)
    rig.load(["contacts"])
    (mark,) = [mark.value for mark in rig.store.kept.values()]
    for number, row in enumerate(rig.workspace.rows("contacts")[:500]):
        rig.workspace.update("contacts", row["id"], updated_at=mark + 1 + number // 2, name="changed")
    rig.workspace.travel(7200)
    rig.sync(["contacts"])
    rig.check(["contacts"])


@pytest.mark.parametrize("limits", effort([DEFAULT_LIMITS], [DEFAULT_LIMITS, IN_SLICES]), ids=in_words, indirect=True)
def test_the_25_hour_day_loses_nothing(make_rig: Callable[..., Rig]) -> None:
    clocks_change = datetime(2026, 11, 1, 9, 0, tzinfo=UTC).timestamp()  # 2 am in Los Angeles becomes 1 am
    rig = make_rig(timezone="America/Los_Angeles", now=clocks_change - 21 * 3600, **SMALL)
    rig.load(["contacts"])
    hours = effort(6, 3)
    for _ in range(42 // hours):
        rig.workspace.travel(hours * 3600)
        change_some(rig, ["contacts"], every=13)
        rig.workspace.travel(1)
        rig.sync(["contacts"])
        rig.check(["contacts"])


@pytest.mark.parametrize(
    ("limits", "inclusive", "seconds"),
    effort(
        [*product((DEFAULT_LIMITS,), (False, True), (False, True)), (IN_SLICES, False, True), (IN_SLICES, True, False)],
        list(product((DEFAULT_LIMITS, IN_SLICES), (False, True), (False, True))),
    ),
    ids=in_words,
    indirect=["limits"],
)
def test_both_readings_of_the_comparison_operators_are_exact(
    make_rig: Callable[..., Rig], seconds: bool, inclusive: bool
) -> None:
    rig, merged = make_rig(**SMALL), ("contacts", "conversations")  # others are not searched
    rig.workspace.options.contacts_by_second = seconds
    rig.workspace.options.inclusive_bounds = inclusive
    rig.sync(merged)
    for _ in range(2):
        rig.workspace.travel(60)
        change_some(rig, merged)
        rig.workspace.travel(1)
        rig.sync(merged)
        rig.check(merged)


def test_a_full_refresh_removes_what_intercom_has_deleted(rig: Rig, merged: tuple[str, ...]) -> None:
    rig.load(merged)
    for table in merged:
        for row in rig.workspace.rows(table)[::6]:
            rig.workspace.delete(table, row["id"])
    rig.sync(merged, full_refresh=True)
    rig.check(merged)


def test_a_full_refresh_and_a_backfill_tell_the_watermark_before(rig: Rig, merged: tuple[str, ...]) -> None:
    rig.load(merged)
    newest = {table: max(row["updated_at"] for row in rig.workspace.rows(table)) for table in merged}
    for options in ({"full_refresh": True}, {"history_from": 0, "until": 86_400}):
        for table, (ingested, _) in rig.sync(merged, **options).items():
            assert (ingested.watermark_before, ingested.watermark_after) == (newest[table], newest[table])


@pytest.mark.parametrize("limits", effort([DEFAULT_LIMITS], [DEFAULT_LIMITS, IN_SLICES]), ids=in_words, indirect=True)
def test_the_log_says_what_is_read_and_what_of_it_is_new(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Companies and articles have no search: all of them are read each time."""
    caplog.set_level(logging.INFO, "intercom.sync.ingest")

    def said(**options: Any) -> list[str]:
        caplog.clear()
        rig.sync(["contacts", "companies", "tags"], **options)
        return [record.getMessage() for record in caplog.records if record.name == "intercom.sync.ingest"]

    tags = "tags: reading the whole table"
    first_day = int(datetime(2020, 2, 28, tzinfo=UTC).timestamp())
    no_record = "because the lake has no record of this table"
    assert said(history_from=first_day) == [
        f"contacts: reading everything from 2020-02-28 on, {no_record}",
        f"companies: reading all of it for what changed from 2020-02-28 on, {no_record}",
        tags,
    ]
    contacts, companies = (
        f"{datetime.fromtimestamp(max(row['updated_at'] for row in rig.workspace.rows(table)), UTC):%Y-%m-%d %H:%M:%S}"
        for table in ("contacts", "companies")
    )
    assert said(history_from=first_day) == [
        f"contacts: reading what changed since {contacts} UTC",
        f"companies: reading all of it for what changed since {companies} UTC",
        tags,
    ]
    assert said(full_refresh=True)[0] == (
        "contacts: reading everything from 2020-02-28 on, because a full refresh was asked for"
    )
    assert said(history_from=first_day, until=first_day + 2 * 86_400) == [
        "contacts: reading what changed on the days 2020-02-28 to 2020-02-29 (UTC)",
        "companies: reading all of it for what changed on the days 2020-02-28 to 2020-02-29 (UTC)",
        tags,
    ]
    assert said(until=first_day) == [
        "contacts: reading what changed until 2020-02-27 (UTC)",
        "companies: reading all of it for what changed until 2020-02-27 (UTC)",
        tags,
    ]
    assert said(full_refresh=True)[0] == (
        "contacts: reading from the beginning, because a full refresh was asked for"  # as the last backfill did
    )


def test_the_watermark_is_the_newest_value_seen_and_never_later_than_the_start(rig: Rig) -> None:
    future = int(rig.workspace.time()) + 86_400
    contact = rig.workspace.rows("contacts")[0]
    rig.load(["contacts"])
    newest = max(row["updated_at"] for row in rig.workspace.rows("contacts"))
    assert [mark.value for mark in rig.store.kept.values()] == [newest]
    rig.workspace.update("contacts", contact["id"], updated_at=future)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.watermark_before == newest
    assert newest <= ingested.watermark_after <= rig.workspace.now()


def test_a_start_date_limits_a_first_load_and_an_earlier_one_is_made_up_for(rig: Rig, merged: tuple[str, ...]) -> None:
    times = sorted(row["updated_at"] for row in rig.workspace.rows("contacts"))
    start = times[len(times) // 2]
    rig.sync(merged, history_from=start)
    for table in merged:
        expected = {row["id"] for row in rig.workspace.rows(table) if row["updated_at"] >= start}
        assert set(rig.rows(table).column("id").to_pylist()) == expected, table
    rig.workspace.travel(60)
    rig.sync(merged, history_from=times[10])
    for table in merged:
        expected = {row["id"] for row in rig.workspace.rows(table) if row["updated_at"] >= times[10]}
        assert set(rig.rows(table).column("id").to_pylist()) == expected, table
    rig.sync(merged, history_from="all")
    rig.check(merged)


def test_a_backfill_reads_its_range_and_leaves_the_watermark(rig: Rig, merged: tuple[str, ...]) -> None:
    rig.load(merged)
    marks = dict(rig.store.kept)
    old = rig.workspace.rows("contacts")[0]
    rig.workspace.update("contacts", old["id"], touch=False, name="changed behind the cursor")
    rig.sync(merged, history_from=old["updated_at"] - 86_400, until=old["updated_at"] + 86_400)
    rig.sync(["contacts"], full_refresh=False)
    assert {key: mark.value for key, mark in rig.store.kept.items()} == {key: m.value for key, m in marks.items()}
    stored = rig.rows("contacts")
    assert dict(zip(stored.column("id").to_pylist(), stored.column("name").to_pylist(), strict=True))[old["id"]] == (
        "changed behind the cursor"
    )
