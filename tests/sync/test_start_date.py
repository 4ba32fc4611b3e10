"""Start dates over many runs: what a table remembers, what is read again, what is refused and what is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from intercom.compaction.policy import CompactionMode
from intercom.errors import ConfigurationError
from intercom.lake.state import TableState
from intercom.lake.state_json import state_to_json
from intercom.sync.ingested import Ingested
from tests.conftest import NOW
from tests.support.effort import effort
from tests.support.rig import Rig, in_both_formats, is_page

DAY = 86_400
MIDNIGHT = NOW - NOW % DAY
LATE, MIDDLE, EARLY = (MIDNIGHT - days * DAY for days in (10, 20, 40))
MERGED = ("contacts", "companies", "conversations", "articles")
SOME = effort(("contacts", "companies"), MERGED)
"""One table that is searched from a date on, and one that is read whole; `make soak` takes all."""
SMALL: dict[str, Any] = {"contacts": 60, "companies": 20, "conversations": 40, "articles": 20}


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Rows of each table were last changed on days from now to 60 days ago, the same number on each."""
    rig = make_rig(**SMALL)
    for table in MERGED:
        rows = rig.workspace.rows(table)
        for number, row in enumerate(rows):
            at = MIDNIGHT - 60 * DAY * (number + 1) // len(rows)
            rig.workspace.update(table, row["id"], updated_at=at, created_at=min(row["created_at"], at))
    return rig


def record(rig: Rig, table: str) -> TableState:
    found = rig.lake_table(table).state()
    assert found is not None
    return found


def day(second: int) -> str:
    return str(datetime.fromtimestamp(second, UTC).date())


def assert_holds(rig: Rig, table: str, start: int | None) -> None:
    """The lake has exactly the rows of the history, as they are now, and says so."""
    want = {row["id"]: row["updated_at"] for row in rig.workspace.rows(table)}
    have = rig.rows(table).select(["id", "updated_at"]).to_pylist()
    assert {row["id"]: int(row["updated_at"].timestamp()) for row in have} == {
        key: at for key, at in want.items() if start is None or at >= start
    }, table
    assert record(rig, table).history_from == start


def sync(rig: Rig, tables: tuple[str, ...] = MERGED, **options: Any) -> dict[str, Ingested]:
    """A run some minutes after the last, between which a row of the history and one from before it have changed."""
    for table in tables:
        rows = sorted(rig.workspace.rows(table), key=lambda row: int(row["updated_at"]))
        for row in (rows[0], rows[-1]):
            rig.workspace.update(table, row["id"], updated_at=rig.workspace.now())
    rig.workspace.travel(300)
    rig.server.clear_log()
    return {table: ingested for table, (ingested, _) in rig.sync(tables, **options).items()}


def hints(found: dict[str, Ingested]) -> dict[str, str]:
    """What is said of each table's history."""
    said = {
        table: [hint for hint in one.hints if "history" in hint or "complete" in hint] for table, one in found.items()
    }
    assert all(len(lines) < 2 for lines in said.values())
    return {table: lines[0] for table, lines in said.items() if lines}


def test_a_history_is_remembered_and_widened_and_never_shortened(rig: Rig) -> None:
    first = sync(rig, history_from=MIDDLE)
    assert hints(first) == {}
    for table in MERGED:
        assert_holds(rig, table, MIDDLE)

    later = sync(rig)
    assert hints(later) == {}
    assert {one.reason for one in later.values()} == {"incremental"}
    assert sum(is_page(request) for request in rig.server.requests("/contacts/search")) == 1
    for table in MERGED:
        assert_holds(rig, table, MIDDLE)

    same = sync(rig, history_from=MIDDLE)
    assert hints(same) == {
        table: f"{table}: start date {day(MIDDLE)} changes nothing, the history begins there already"
        for table in MERGED
    }
    assert {one.reason for one in same.values()} == {"incremental"}

    wider = sync(rig, history_from=EARLY)
    for table in MERGED:
        assert_holds(rig, table, EARLY)
        rows = len(rig.rows(table))
        assert hints(wider)[table] == (
            f"{table}: was complete from {day(MIDDLE)} on and is now complete from {day(EARLY)} on; everything since "
            f"then was read again, {rows:,} rows"
        )
        assert wider[table].rows == rows
        assert wider[table].watermark_after is not None

    for asked in (MIDDLE, LATE):
        marks = {key: mark.value for key, mark in rig.store.kept.items()}
        for table in MERGED:
            rig.server.clear_log()
            with pytest.raises(ConfigurationError) as refused:
                rig.sync([table], history_from=asked)
            assert day(asked) in str(refused.value)
            assert day(EARLY) in str(refused.value)
            assert "Leave out --start-date" in str(refused.value)
            assert f"data/acme/{table}" in str(refused.value)
            assert [request.path for request in rig.server.log] == ["/me"]
            assert state_to_json(record(rig, table))["history_from"] == f"{day(EARLY)}T00:00:00Z"
        assert {key: mark.value for key, mark in rig.store.kept.items()} == marks

    whole = sync(rig, history_from="all")
    rig.check(MERGED)
    for table in MERGED:
        assert_holds(rig, table, None)
        assert f"from {day(EARLY)} on and is now complete from the beginning" in hints(whole)[table]
    assert hints(sync(rig)) == {}
    again = sync(rig, history_from="all")
    assert hints(again)["contacts"] == "contacts: start date all changes nothing, the history has no limit"
    assert {one.reason for one in again.values()} == {"incremental"}
    with pytest.raises(ConfigurationError, match="complete from the beginning"):
        rig.sync(["contacts"], history_from=EARLY)
    rig.check(MERGED)


@pytest.mark.parametrize(("asked", "begins"), [(None, MIDDLE), (MIDDLE, MIDDLE), (EARLY, EARLY), ("all", None)])
def test_a_full_refresh_keeps_the_history_or_widens_it(rig: Rig, asked: Any, begins: int | None) -> None:
    sync(rig, SOME, history_from=MIDDLE)
    for table in SOME:
        row = max(rig.workspace.rows(table), key=lambda row: int(row["updated_at"]))
        rig.workspace.delete(table, row["id"])
    found = sync(rig, SOME, full_refresh=True, history_from=asked)
    for table in SOME:
        assert_holds(rig, table, begins)
    expected = {
        None: f"the full refresh has kept the history from {day(MIDDLE)} on",
        MIDDLE: "changes nothing",
        EARLY: f"is now complete from {day(EARLY)} on",
        "all": "is now complete from the beginning",
    }[asked]
    for table in SOME:
        assert expected in hints(found)[table]
    with pytest.raises(ConfigurationError, match="later than the history"):
        rig.sync(["contacts"], full_refresh=True, history_from=LATE)


def test_a_full_refresh_of_a_whole_table_says_nothing_of_its_history(rig: Rig) -> None:
    sync(rig)
    assert hints(sync(rig, full_refresh=True)) == {}
    rig.check(MERGED)


def test_a_new_table_beside_old_ones_takes_the_date(rig: Rig) -> None:
    sync(rig, ("contacts",), history_from=MIDDLE)
    sync(rig, ("articles",), history_from=LATE)
    assert_holds(rig, "contacts", MIDDLE)
    assert_holds(rig, "articles", LATE)


def test_lists_have_no_history(rig: Rig) -> None:
    for asked in (MIDDLE, LATE, None, EARLY, "all"):
        found = rig.sync(["tags"], history_from=asked)["tags"][0]
        assert found.hints == ()
        assert record(rig, "tags").history_from is None
    rig.check(["tags"])


@pytest.mark.parametrize("full_refresh", [False, True])
def test_a_read_that_is_short_never_counts_as_more_history(rig: Rig, full_refresh: bool) -> None:
    """A widening that was short is repeated; a full refresh that was short leaves the table as it was."""
    sync(rig, ("contacts",), history_from=MIDDLE)
    before = record(rig, "contacts")
    rig.serve_short(times=100)
    found = sync(rig, ("contacts",), history_from=EARLY, full_refresh=full_refresh)["contacts"]
    assert not found.complete
    after = record(rig, "contacts")
    if full_refresh:
        assert (after.history_from, after.watermark) == (MIDDLE, before.watermark)
        assert f"still complete from {day(MIDDLE)} on" in hints({"contacts": found})["contacts"]
    else:
        assert (after.history_from, after.watermark) == (EARLY, None)
        assert "the next run reads it once more" in hints({"contacts": found})["contacts"]
    rig.server.clear_faults()
    sync(rig, ("contacts",))
    assert_holds(rig, "contacts", MIDDLE if full_refresh else EARLY)
    assert record(rig, "contacts").watermark is not None


def test_a_first_full_refresh_that_is_short_remembers_its_date(rig: Rig) -> None:
    rig.serve_short(times=100)
    sync(rig, ("contacts",), history_from=MIDDLE, full_refresh=True)
    assert record(rig, "contacts").history_from == MIDDLE
    rig.server.clear_faults()
    sync(rig, ("contacts",))
    assert_holds(rig, "contacts", MIDDLE)


@pytest.mark.parametrize(("asked", "begins"), [(None, None), ("all", None), (LATE, LATE), (EARLY, EARLY)])
def test_a_backfill_begins_no_history(rig: Rig, asked: Any, begins: int | None) -> None:
    """Whatever range was copied first, the first run without an end says where the history begins."""
    for table in SOME:
        rig.sync([table], history_from=EARLY, until=MIDDLE)
        assert (record(rig, table).watermark, record(rig, table).backfills_only) == (None, True)
    found = sync(rig, SOME, history_from=asked)
    assert {one.reason for one in found.values()} == {"only runs with an end date have read the table"}
    assert hints(found) == {}
    for table in SOME:
        assert found[table].complete
        after = record(rig, table)
        assert (after.history_from, after.backfills_only) == (begins, False)
        assert after.watermark is not None
    assert {one.reason for one in sync(rig, SOME).values()} == {"incremental"}
    have = set(rig.rows("contacts").column("id").to_pylist())
    want = [row for row in rig.workspace.rows("contacts") if begins is None or row["updated_at"] >= begins]
    assert {row["id"] for row in want} <= have


def test_a_backfill_with_all_reads_from_the_beginning_and_leaves_the_history(rig: Rig) -> None:
    sync(rig, SOME, history_from=MIDDLE)
    marks = {table: record(rig, table).watermark for table in SOME}
    found = sync(rig, SOME, history_from="all", until=MIDDLE)
    assert hints(found) == {}
    for table in SOME:
        assert (record(rig, table).history_from, record(rig, table).watermark) == (MIDDLE, marks[table])
    sync(rig, SOME)
    rig.check(SOME)


@pytest.mark.parametrize("again", [None, LATE], ids=["no date", "the same date"])
def test_a_full_refresh_reads_from_where_a_backfill_has_begun(rig: Rig, again: int | None) -> None:
    """Rows that a backfill has copied are not lost by it; the history is complete from there on afterwards."""
    sync(rig, SOME, history_from=LATE)
    rig.sync(SOME, history_from=MIDDLE, until=MIDDLE + 5 * DAY)
    copied = {table: len(rig.rows(table)) for table in SOME}
    found = sync(rig, SOME, full_refresh=True, history_from=again)
    for table in SOME:
        assert len(rig.rows(table)) >= copied[table]
        assert_holds(rig, table, MIDDLE)
        assert "is now complete from" in hints(found)[table]
    sync(rig, SOME, full_refresh=True)
    for table in SOME:
        assert_holds(rig, table, MIDDLE)


def test_a_file_that_is_gone_is_made_up_for_with_what_a_backfill_had_copied(rig: Rig) -> None:
    sync(rig, ("conversations",), history_from=LATE)
    rig.sync(["conversations"], history_from=MIDDLE, until=LATE)
    copied = set(rig.rows("conversations").column("id").to_pylist())
    for file in (rig.lake_folder / "data" / rig.connection / "conversations").rglob("*.parquet"):
        file.unlink()
    sync(rig, ("conversations",))
    assert copied <= set(rig.rows("conversations").column("id").to_pylist())
    assert_holds(rig, "conversations", MIDDLE)


def test_other_columns_that_need_a_new_read_lose_nothing_that_a_backfill_had_copied(rig: Rig) -> None:
    sync(rig, ("conversations",), history_from=LATE)
    rig.sync(["conversations"], history_from=MIDDLE, until=LATE)
    state = rig.lake_folder / "_state" / rig.connection / "conversations.json"
    written = json.loads(state.read_text())
    written.pop("checksum")  # as a version wrote it that had none
    state.write_text(json.dumps(written | {"columns": None, "fingerprint": "of another declaration"}))
    found = sync(rig, ("conversations",))
    assert "columns have changed" in found["conversations"].reason
    assert_holds(rig, "conversations", MIDDLE)


def test_a_full_refresh_over_a_record_of_before_reads_everything_that_backfills_may_have_copied(rig: Rig) -> None:
    sync(rig, ("conversations",), history_from=LATE)
    rig.sync(["conversations"], history_from=MIDDLE, until=LATE)
    state = rig.lake_folder / "_state" / rig.connection / "conversations.json"
    written = json.loads(state.read_text())
    del written["backfilled_from"]
    state.write_text(json.dumps(written))
    sync(rig, ("conversations",), full_refresh=True)
    rig.check(["conversations"])


def test_a_history_is_widened_beside_a_large_backfill(make_rig: Callable[..., Rig]) -> None:
    """The read has fewer rows than the table, since it begins after the range that was copied; that is no doubt."""
    rig = make_rig(contacts=300)
    for number, row in enumerate(rig.workspace.rows("contacts")):
        back = 60 if number < 200 else 15 if number < 220 else 5
        rig.workspace.update("contacts", row["id"], updated_at=MIDNIGHT - back * DAY)
    rig.sync(["contacts"], history_from=LATE)
    rig.sync(["contacts"], history_from=MIDNIGHT - 70 * DAY, until=MIDNIGHT - 50 * DAY)
    found, _ = rig.sync(["contacts"], history_from=MIDDLE)["contacts"]
    assert (found.complete, found.notes, found.rows) == (True, (), 100)
    assert found.watermark_after is not None
    assert record(rig, "contacts").history_from == MIDDLE
    rig.check(["contacts"])


@in_both_formats
@pytest.mark.parametrize("waiting", [False, True])
def test_a_shorter_history_is_to_be_had_as_the_error_says(rig: Rig, waiting: bool) -> None:
    sync(rig, ("contacts",), history_from=EARLY)
    if waiting:
        sync(rig, ("contacts",), when=CompactionMode.NEVER)
    with pytest.raises(ConfigurationError) as refused:
        rig.sync(["contacts"], history_from=LATE)
    folders = [word for word in str(refused.value).split() if "/acme/contacts" in word]
    assert len(folders) == 2
    for folder in folders:
        shutil.rmtree(rig.lake_folder / folder, ignore_errors=True)
    found = sync(rig, ("contacts",), history_from=LATE)
    assert_holds(rig, "contacts", LATE)
    assert found["contacts"].complete
    assert hints(found)["contacts"] == (
        f"contacts: had no rows in the lake, so its history is now from {day(LATE)} on, and no longer from "
        f"{day(EARLY)} on"
    )
    assert sync(rig, ("contacts",))["contacts"].reason == "incremental"
    assert_holds(rig, "contacts", LATE)


def test_a_table_whose_files_are_gone_is_read_for_all_of_its_history(rig: Rig) -> None:
    sync(rig, ("contacts",), history_from=EARLY)
    shutil.rmtree(rig.lake_folder / "data/acme/contacts")
    sync(rig, ("contacts",))
    assert_holds(rig, "contacts", EARLY)


def test_the_log_says_from_where_the_history_was_and_is_complete(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        sync(rig, ("contacts",), history_from=MIDDLE)
        sync(rig, ("contacts",), history_from="all")
    assert f"contacts: reading everything from {day(MIDDLE)} on, because the lake has no record" in caplog.text
    assert (
        f"contacts: reading from the beginning, because the table was complete from {day(MIDDLE)} on and is asked for "
        "from the beginning"
    ) in caplog.text
