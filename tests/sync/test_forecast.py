"""What a run is foretold to read, held against the run that follows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from intercom.errors import ApiError, IntercomLakeError, LakeError
from intercom.extract.limits import ReadLimits
from intercom.extract.read_forecast import Range
from intercom.lake.storage import Lake
from intercom.lake.watermark import Watermark
from intercom.sandbox import Paging
from intercom.sync.forecast import RunForecast, forecast_run
from intercom.sync.run import Run, asked_range
from intercom.sync.table_forecast import TableForecast
from intercom.tables.catalogue import TABLES
from tests.conftest import BUCKET, NOW
from tests.support.declarations import EARLIER, declared
from tests.support.effort import effort
from tests.support.foretold import are_known, foretell, held_against_the_run
from tests.support.rig import BY_DEFAULT, Rig, in_both_formats, in_four_months

LISTS = ("tags", "segments", "admins", "teams", "data_attributes")
COUNTED = ("contacts", "conversations", "articles", *LISTS)
"""Tables whose rows are known before they are read, as long as all of them are read."""
DAY = 86_400


def change(rig: Rig, table: str, *, every: int = 5) -> None:
    """Edit some rows of the table, and add one."""
    for row in rig.workspace.rows(table)[::every]:
        rig.workspace.update(table, row["id"], **{"title" if table in ("conversations", "articles") else "name": "new"})
    rig.workspace.create(table)


# -- what is counted exactly --------------------------------------------------------------------------------------


def test_a_first_load_is_foretold(rig: Rig) -> None:
    found = held_against_the_run(rig)
    assert are_known(found, COUNTED)
    assert {table.reason for table in found.values()} == {"the lake has no record of this table"}
    assert all(table.received.least > table.parquet.least > 0 for table in found.values() if table.rows.most)


def test_a_first_load_of_an_empty_workspace_is_foretold(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=0, companies=0, conversations=0, articles=0, tags=0, segments=0)
    assert are_known(held_against_the_run(rig), COUNTED)


SEARCHED = ("contacts", "conversations")
COPIED = (*SEARCHED, "companies", "articles", "tags")
"""Each way to read."""


@pytest.mark.parametrize(
    ("hour", "tables"), effort([(11, SEARCHED), (14, COPIED)], [(hour, BY_DEFAULT) for hour in (2, 11, 14, 23)])
)
def test_increments_and_full_refreshes_are_foretold(
    make_rig: Callable[..., Rig], hour: int, tables: tuple[str, ...]
) -> None:
    """The check of how search compares dates takes a request more if the newest row is of an afternoon."""
    rig = make_rig(now=NOW - 12 * 3600 + hour * 3600, conversations=170, history_days=32)
    rig.load(tables)
    for pause, options in ((600, {}), (DAY, {}), (DAY, {"full_refresh": True}), (60, {"full_refresh": True})):
        rig.workspace.travel(pause)
        for table in ("contacts", "conversations", "articles", "companies"):
            change(rig, table)
        rig.workspace.travel(5)
        found = held_against_the_run(rig, tables, **options)
        assert are_known(found, [name for name in COUNTED if name in tables])
        assert found["conversations"].replaces is bool(options)


def test_long_searches_in_slices_are_foretold(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=900, conversations=800, timezone="America/Los_Angeles", history_days=32)
    rig.per_page, rig.limits = 20, ReadLimits(smallest_slice=34 * 20)  # as many pages as a long search really has
    rig.in_flight = 1  # so that slices have one size, however slow this machine is
    assert are_known(held_against_the_run(rig, SEARCHED), SEARCHED)
    assert are_known(held_against_the_run(rig, SEARCHED, full_refresh=True), SEARCHED)


def test_a_start_date_of_long_ago_is_foretold(rig: Rig) -> None:
    found = held_against_the_run(rig, history_from=NOW - 40 * DAY)
    assert are_known(found, ("conversations", *LISTS))
    assert found["conversations"].read_from == NOW - 40 * DAY
    held_against_the_run(rig, history_from=NOW - 40 * DAY, full_refresh=True)


def test_a_backfill_with_both_ends_is_foretold(rig: Rig) -> None:
    rig.load()
    history_from, until = asked_range(date(2026, 9, 20), date(2026, 10, 10), full_refresh=False)
    found = held_against_the_run(rig, history_from=history_from, until=until)
    assert are_known(found, ("conversations", *LISTS))
    assert (found["contacts"].read_from, found["contacts"].read_until) == (history_from, until)
    assert found["contacts"].backfill


def test_a_refused_order_is_foretold(rig: Rig) -> None:
    rig.workspace.options.sortable_fields = {"updated_at"}
    assert are_known(held_against_the_run(rig, ["contacts", "conversations"]), ["contacts", "conversations"])


# -- bounds -------------------------------------------------------------------------------------------------------

ZONES = ["UTC", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago"]
SOME = [("America/Los_Angeles", None), ("Pacific/Kiritimati", "UTC")]
"""Each side of UTC: with days of its own, and with days of UTC."""


@pytest.mark.parametrize(
    ("zone", "index_zone"), effort(SOME, [(zone, index) for zone in ZONES for index in (None, "UTC")])
)
def test_contacts_changes_lie_between_counts_of_whole_days(
    make_rig: Callable[..., Rig], zone: str, index_zone: str | None
) -> None:
    rig = make_rig(timezone=zone, contacts=420, history_days=32)
    rig.workspace.options.index_timezone = index_zone
    rig.per_page = 40
    rig.sync(["contacts"])
    chance = random.Random(f"{zone} {index_zone}")
    sure = []
    for days in effort((0.05, 0.6, 1.5, 4.0), (0.02, 0.3, 0.6, 0.9, 1.2, 1.5, 2.2, 3.1, 4.0, 6.5)):
        began = rig.workspace.now()
        rig.workspace.travel(days * DAY)
        for row in rig.workspace.rows("contacts")[:: chance.choice((2, 3, 20))]:
            at = began + 1 + int(chance.random() * days * DAY)
            rig.workspace.update("contacts", row["id"], updated_at=at, name=f"new {at}")
        rig.workspace.travel(3)
        found = held_against_the_run(rig, ["contacts"])["contacts"]
        assert found.rows.most is not None
        sure.append(found.rows.exact)
        rig.check(["contacts"])
    assert not all(sure)


def test_few_changes_of_contacts_are_counted_on_the_first_page(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.workspace.travel(7200)
    change(rig, "contacts", every=40)
    found = held_against_the_run(rig, ["contacts"])["contacts"]
    assert (found.rows, found.requests) == (Range.exactly(found.rows.least), Range.exactly(2))
    assert found.rows.least < 30


def test_changes_that_turn_out_to_be_many_are_within_the_bounds(make_rig: Callable[..., Rig]) -> None:
    """The run begins newest first, and turns to slices: what it has read until then comes twice."""
    rig = make_rig(contacts=900, history_days=32)
    rig.per_page, rig.limits = 10, ReadLimits(smallest_slice=200)
    rig.load(["contacts"])
    began = rig.workspace.now()
    rig.workspace.travel(3 * DAY)
    for number, row in enumerate(rig.workspace.rows("contacts")[:700]):
        rig.workspace.update("contacts", row["id"], updated_at=began + 300 * number, name="new")
    found = held_against_the_run(rig, ["contacts"])["contacts"]
    assert not found.rows.exact
    assert found.why


@pytest.mark.parametrize("without_users", [0, 30])
def test_companies_lie_between_bounds_and_their_scroll_is_left_alone(rig: Rig, without_users: int) -> None:
    for _ in range(without_users):
        rig.workspace.create("companies", user_count=0)
    found = foretell(rig, ["companies"])
    assert [request.path for request in rig.server.requests()] == ["/me", "/companies"]
    (companies,) = found.tables
    assert companies.why
    assert 0 < companies.rows.least < (companies.rows.most or 0)
    held_against_the_run(rig, ["companies"])
    held_against_the_run(rig, ["companies"])
    for row in rig.workspace.rows("companies")[:20]:
        rig.workspace.delete("companies", row["id"])
    held_against_the_run(rig, ["companies"], full_refresh=True)


def test_companies_that_the_lake_has_and_the_list_does_not_count_are_within_the_bounds(rig: Rig) -> None:
    for row in rig.workspace.rows("companies")[::2]:
        rig.workspace.update("companies", row["id"], user_count=0)
    for _ in range(300):
        rig.workspace.create("companies", user_count=0)
    rig.sync(["companies"])
    held_against_the_run(rig, ["companies"])


@pytest.mark.parametrize(
    ("paging", "known"),
    [
        (Paging(most=10), True),
        (Paging(most=60, over_most="refuse"), True),
        (Paging(totals=False, most=10), False),
        (Paging(totals=False), True),
        (Paging(totals=False, following="absent"), False),
    ],
)
def test_articles_are_foretold_whatever_the_list_tells(rig: Rig, paging: Paging, known: bool) -> None:
    rig.workspace.options.paging["articles"] = paging
    assert are_known(held_against_the_run(rig, ["articles"]), ["articles"]) is known


def test_articles_since_a_day_lie_between_bounds(rig: Rig) -> None:
    rig.workspace.options.paging["articles"] = Paging(most=10)
    found = held_against_the_run(rig, ["articles"], history_from=NOW - 30 * DAY)["articles"]
    assert not found.rows.exact
    assert found.requests.exact


@pytest.mark.parametrize("table", ["contacts", "conversations", "articles"])
def test_a_full_refresh_that_lacks_much_of_the_table_reads_it_twice(rig: Rig, table: str) -> None:
    rig.load([table])
    for row in rig.workspace.rows(table)[::3]:
        rig.workspace.delete(table, row["id"])
    rig.workspace.travel(60)
    found = held_against_the_run(rig, [table], full_refresh=True, allow_mass_removal=True)[table]
    assert found.rows == Range.exactly(2 * len(rig.workspace.rows(table)))


def test_a_list_that_has_lost_a_row_may_be_read_twice(rig: Rig) -> None:
    rig.load(["tags"])
    rig.workspace.delete("tags", rig.workspace.rows("tags")[0]["id"])
    assert held_against_the_run(rig, ["tags"])["tags"].requests == Range(1, 2)


@pytest.mark.parametrize("option", ["contacts_by_second", "conversations_by_day"])
def test_a_search_that_compares_dates_in_another_way_is_foretold_once_that_is_known(rig: Rig, option: str) -> None:
    setattr(rig.workspace.options, option, True)
    table = option.split("_")[0]
    rig.sync([table])
    for pause in (600, DAY):
        rig.workspace.travel(pause)
        change(rig, table)
        rig.workspace.travel(3)
        held_against_the_run(rig, [table])


# -- the same decision --------------------------------------------------------------------------------------------


@in_four_months
def test_a_deleted_file_is_a_reason_to_read_everything(rig: Rig) -> None:
    rig.load()
    rig.lake().delete(["data/acme/contacts/created_month=2026-09/data.parquet"])
    found = held_against_the_run(rig)
    assert found["contacts"].reason.startswith("1 published file of the table is gone")
    assert are_known(found, COUNTED)
    assert found["conversations"].reason == "incremental"
    rig.check(["contacts"])


def test_the_older_watermark_counts_if_prefects_block_has_one(rig: Rig) -> None:
    rig.load(["conversations"])
    ((place, mark),) = rig.store.kept.items()
    assert mark.value is not None
    rig.store.kept[place] = replace(mark, value=mark.value - 20 * DAY)
    found = held_against_the_run(rig, ["conversations"])["conversations"]
    assert found.read_from == mark.value - 20 * DAY - 3_600


def test_a_change_of_columns_is_told_and_not_made(rig: Rig) -> None:
    with declared(contacts=EARLIER["all of it"]):
        rig.sync(["contacts"])
    rig.workspace.travel(60)
    found = held_against_the_run(rig, ["contacts"])["contacts"]
    assert found.reason == "incremental"
    assert "rewritten to the declared columns" in found.notes[0]


@in_four_months
def test_staged_rows_and_an_unfinished_run_are_told(rig: Rig) -> None:
    rig.sync(["tags", "contacts"], when="never")
    table = rig.lake_table("contacts")
    (part,) = table.parts()
    with rig.lake().fetch(part.path) as path:
        copy = path.read_bytes()
    rig.lake().write_bytes(part.path.replace("run-", "dead-"), copy)
    found = {one.table: one for one in foretell(rig, ["tags", "contacts"]).tables}
    assert found["contacts"].notes == (
        "300 staged rows of earlier runs wait to be merged",
        "an unfinished run has staged rows; only a retry of that very run goes on with them",
    )


def test_another_workspace_or_a_missing_permission_fails_as_in_the_run(rig: Rig) -> None:
    rig.load(["tags", "articles"])
    rig.workspace.options.app_id = "another1"
    (tags,) = foretell(rig, ["tags"]).tables
    with pytest.raises(IntercomLakeError) as refused:
        rig.sync(["tags"])
    assert tags.failure == str(refused.value)
    rig.workspace.options.app_id = "sbx7k2qd"
    rig.server.fail("/articles", status=403, times=2, body={"type": "error.list", "errors": [{"code": "forbidden"}]})
    tags, articles = sorted(foretell(rig, ["tags", "articles"]).tables, key=lambda table: table.table, reverse=True)
    assert tags.failure is None
    assert "articles" in str(articles.failure)
    assert "read and list articles" in str(articles.failure)


def test_a_token_that_is_none_ends_it_at_once(rig: Rig) -> None:
    rig.server.token = "another"
    client = rig.client()
    rig.server.token = "this one"
    with pytest.raises(ApiError) as told:
        forecast_run([TABLES["tags"]], client, rig.lake(), rig.table_format, None, rig.store, never)
    client.close()
    assert told.value.status == 401
    assert [request.path for request in rig.server.requests()] == ["/me"]


def never(*_: object) -> Run:
    raise AssertionError("no run begins")


# -- nothing is written -------------------------------------------------------------------------------------------


@in_both_formats
def test_a_local_lake_stays_as_it_is(rig: Rig) -> None:
    foretell(rig)
    assert not rig.lake_folder.exists()
    rig.sync(["contacts", "tags"])
    foretell(rig)
    foretell(rig, full_refresh=True)


@in_both_formats
def test_a_lake_in_a_bucket_stays_as_it_is(make_rig: Callable[..., Rig], s3_storage: dict[str, Any]) -> None:
    rig = make_rig(lake=f"s3://{BUCKET}/lake")
    rig.storage = s3_storage
    assert {table.failure for table in foretell(rig, ["contacts", "companies", "tags"]).tables} == {None}
    assert rig.lake().list("") == {}
    rig.sync(["contacts", "tags"])
    found = {table.table: table for table in foretell(rig, ["contacts", "tags"]).tables}
    assert found["contacts"].reason == "incremental"


def test_a_bucket_that_is_not_there_is_an_error_and_no_first_load(s3_storage: dict[str, Any]) -> None:
    with pytest.raises(LakeError, match="there is no bucket nobody-has-it"):
        Lake("s3://nobody-has-it/lake", s3_storage).known_identity()
    assert Lake(f"s3://{BUCKET}/lake", s3_storage).known_identity() is None


# -- how long it takes --------------------------------------------------------------------------------------------


def test_requests_of_others_leave_less_of_the_limit(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(server={"rate_limit": 200})
    alone = foretell(rig, ["tags"])
    rig.workspace.travel(10)
    rig.server.other_usage(60)
    beside = foretell(rig, ["tags"])
    assert (alone.limit, alone.others) == (200, 0)
    assert beside.others >= 60
    assert (beside.seconds[1] or 0) >= (alone.seconds[1] or 0)


def test_seconds_are_those_of_the_rate_or_of_the_longest_chain() -> None:
    many = TableForecast("articles", requests=Range(100, 400), chain=Range(1, 1), page_seconds=0.5)
    chain = TableForecast("contacts", requests=Range(34, 34), chain=Range(34, 34), page_seconds=2.0)
    assert RunForecast((many,), 100, 0, 1).seconds == (10.0, 40.0)
    assert RunForecast((many,), 100, 50, 1).seconds == (20.0, 80.0)
    assert RunForecast((many, chain), 100, 0, 1).seconds == (68.0, 68.0)
    assert RunForecast((replace(many, requests=Range(5, None)),), 100, 0, 1).seconds == (0.5, None)
    assert RunForecast((TableForecast("tags", failure="why"),), 100, 0, 1).seconds == (0.0, 0.0)


def test_a_watermark_is_never_saved(rig: Rig) -> None:
    rig.load(["contacts"])
    kept: dict[tuple[str, str, str], Watermark] = dict(rig.store.kept)
    foretell(rig)
    assert rig.store.kept == kept


def test_the_sample_is_written_outside_the_lake(rig: Rig, tmp_path: Path) -> None:
    foretell(rig, ["contacts"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [0, 15, 130, 1_500])
def test_a_log_is_foretold(make_rig: Callable[..., Rig], rows: int) -> None:
    rig = make_rig(contacts=0, companies=0, conversations=0, articles=0, activity_logs=rows, history_days=200)
    found = held_against_the_run(rig, ["activity_logs"])
    assert found["activity_logs"].rows.exact
    assert found["activity_logs"].requests.exact is (rows < 700)  # a longer one is read in slices
    rig.workspace.travel(600)
    for _ in range(30):
        rig.workspace.create("activity_logs")
    held_against_the_run(rig, ["activity_logs"])
    rig.workspace.options.log.totals = False
    assert not are_known(held_against_the_run(rig, ["activity_logs"], full_refresh=True), ["activity_logs"])
