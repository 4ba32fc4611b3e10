"""A read that is short of what Intercom counts, rows that are late or move while they are read, and runs that meet."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intercom.compaction.compact import compact_table
from intercom.errors import ConfigurationError, LakeError, RetriableApiError
from intercom.lake.layout import TablePaths
from intercom.lake.storage import ANY, Lake
from intercom.lake.store import FileStat
from intercom.sync.ingest import ingest_table
from intercom.sync.run import Run
from intercom.tables.catalogue import TABLES
from tests.support.rig import CONNECTION, Rig, in_four_months, is_of_everything, is_page

CONTACTS = TABLES["contacts"]
MERGED = ("contacts", "companies", "conversations", "articles")


def short_answer(rig: Rig, rows: int, counted: int) -> dict[str, Any]:
    """A search answer that ends early, as one from a partly recovered index would."""
    return {"type": "list", "data": rig.workspace.rows("contacts")[:rows], "total_count": counted, "pages": None}


def serve_short(rig: Rig, rows: int, counted: int, times: int) -> None:
    """So many reads of contacts end early; what is counted by itself is right."""
    body = short_answer(rig, rows, counted)
    rig.server.fail("/contacts/search", kind="status", status=200, body=body, times=times, where=is_page)


def count_more_than_there_is(rig: Rig, more: int) -> None:
    """Searches of contacts count records that are never served, however they are asked, until faults are cleared."""
    everything = len(rig.workspace.rows("contacts"))
    body = short_answer(rig, everything, everything + more)
    rig.server.fail("/contacts/search", kind="status", status=200, body=body, times=1000, where=is_of_everything)


def test_a_short_search_is_read_once_more(rig: Rig) -> None:
    serve_short(rig, 10, 300, times=1)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    rig.check(["contacts"])
    assert ingested.notes == ()


@in_four_months
def test_a_first_load_that_stays_short_is_reported_and_leaves_no_watermark(rig: Rig) -> None:
    serve_short(rig, 10, 300, times=2)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.watermark_after is None
    assert "300" in ingested.notes[0]
    rig.sync(["contacts"])
    rig.check(["contacts"])


@in_four_months
def test_a_few_rows_that_are_counted_but_never_served_do_not_stop_the_watermark(rig: Rig) -> None:
    count_more_than_there_is(rig, 2)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    rig.check(["contacts"])
    assert ingested.watermark_after is not None
    assert ingested.notes


@in_four_months
def test_a_run_that_is_tried_again_says_once_more_what_its_first_try_found_short(rig: Rig) -> None:
    count_more_than_there_is(rig, 2)
    first, _ = rig.sync(["contacts"], run_id="again")["contacts"]
    second, _ = rig.sync(["contacts"], run_id="again")["contacts"]
    rig.server.clear_faults()
    assert second.earlier_try
    assert second.notes == first.notes != ()
    later, _ = rig.sync(["contacts"])["contacts"]
    assert later.notes == ()


@in_four_months
def test_an_answer_without_a_count_does_not_hide_what_is_missing(rig: Rig) -> None:
    contacts = rig.workspace.rows("contacts")[:15]
    first = {"type": "list", "data": contacts[:10], "total_count": 20, "pages": {"next": {"starting_after": "x"}}}
    second = {"type": "list", "data": contacts[10:], "pages": None}
    for _ in range(2):
        rig.server.fail("/contacts/search", kind="status", status=200, body=first, times=1, where=is_page)
        rig.server.fail("/contacts/search", kind="status", status=200, body=second, times=1, where=is_page)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert "counts 300 rows, 15 were found" in ingested.notes[0]
    assert ingested.watermark_after is None


def test_a_full_refresh_that_stays_short_removes_nothing(rig: Rig) -> None:
    rig.load(["contacts", "articles"])
    serve_short(rig, 10, 300, times=2)
    results = rig.sync(["contacts"], full_refresh=True)
    rig.check(["contacts"])
    assert results["contacts"][1].removed == 0


def test_a_full_refresh_of_articles_that_stays_short_removes_nothing(rig: Rig) -> None:
    rig.load(["articles"])
    body = {"type": "list", "data": rig.workspace.rows("articles")[:5], "total_count": 40, "pages": {"total_pages": 1}}
    rig.server.fail("/articles", kind="status", status=200, body=body, times=3)
    results = rig.sync(["articles"], full_refresh=True)
    rig.check(["articles"])
    assert results["articles"][1].removed == 0


def test_an_article_deleted_behind_the_reader_does_not_hide_the_one_it_pushes_away(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(articles=320)
    deleted: list[str] = []

    def delete(request: Any) -> None:
        if request.params.get("page") == "2" and not deleted:
            newest = max(rig.workspace.rows("articles"), key=lambda row: (row["updated_at"], row["id"]))
            deleted.append(newest["id"])
            rig.workspace.delete("articles", newest["id"])

    rig.server.before_request(delete)
    rig.sync(["articles"])
    found = set(rig.rows("articles").column("id").to_pylist())
    assert found - set(deleted) == {row["id"] for row in rig.workspace.rows("articles")}


def test_a_row_that_becomes_searchable_twenty_minutes_late_is_found(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.workspace.travel(7200)
    late = rig.workspace.rows("contacts")[0]
    changed_at = rig.workspace.now()
    rig.workspace.travel(60)
    rig.workspace.create("contacts")
    rig.workspace.travel(1140)
    rig.sync(["contacts"])
    rig.workspace.update("contacts", late["id"], name="indexed late", updated_at=changed_at)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_cursor_that_goes_in_circles_is_an_error(rig: Rig) -> None:
    def page(cursor: str) -> dict[str, Any]:
        following = {"page": 2, "starting_after": cursor}
        return {
            "type": "list",
            "data": rig.workspace.rows("contacts")[:2],
            "total_count": 9,
            "pages": {"next": following},
        }

    for cursor in ("a", "b", "a"):
        rig.server.fail("/contacts/search", kind="status", status=200, body=page(cursor), times=1, where=is_page)
    with pytest.raises(RetriableApiError, match="repeats a cursor"):
        rig.sync(["contacts"])


def sync_while_a_folder_is_deleted(rig: Rig, folder: Path) -> None:
    """A run that loses a folder after it has decided where to start, and the next run."""

    def delete(request: Any) -> None:
        if request.path == "/contacts/search":
            shutil.rmtree(folder, ignore_errors=True)

    rig.server.before_request(delete)
    rig.sync(["contacts"])
    rig.server.clear_hooks()
    rig.workspace.travel(7200)
    rig.sync(["contacts"])


def test_a_folder_deleted_while_a_run_reads_is_filled_by_the_next(rig: Rig) -> None:
    rig.sync(["contacts"])
    rig.workspace.travel(7200)
    rig.workspace.create("contacts")
    sync_while_a_folder_is_deleted(rig, rig.lake_folder / "data" / CONNECTION / "contacts")
    rig.check(["contacts"])


def test_a_partition_deleted_while_a_run_adds_to_it_is_filled_by_the_next(rig: Rig) -> None:
    """The run publishes its few rows there, and nothing but the record could tell that there were more."""
    rig.sync(["contacts"])
    rig.workspace.travel(7200)
    row = rig.workspace.rows("contacts")[0]
    rig.workspace.update("contacts", row["id"], name="newer")
    month = f"created_month={_month(row['created_at'])}"
    sync_while_a_folder_is_deleted(rig, rig.lake_folder / "data" / CONNECTION / "contacts" / month)
    rig.check(["contacts"])


@in_four_months
def test_a_compaction_that_died_half_way_is_no_reason_to_read_everything(rig: Rig) -> None:
    class Killed(BaseException):
        pass

    class Dying(Lake):
        left = 2

        def publish(self, written: Path, path: str, *, rows: int, over: str | None = ANY, **more: Any) -> FileStat:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return super().publish(written, path, rows=rows, over=over, **more)

    rig.load(["contacts"])
    rig.workspace.travel(7200)
    for row in rig.workspace.rows("contacts"):
        rig.workspace.update("contacts", row["id"], name="newer")
    ingest(rig, "half")
    with pytest.raises(Killed):
        compact_table(CONTACTS, rig.lake_table("contacts", Dying(rig.lake_url)), rig.store)
    rig.workspace.travel(7200)
    results = rig.sync(["contacts"])
    rig.check(["contacts"])
    assert results["contacts"][0].reason == "incremental"


def test_a_damaged_file_is_written_anew(rig: Rig) -> None:
    rig.load(["contacts", "tags"])
    for table in ("contacts", "tags"):
        path = sorted((rig.lake_folder / "data" / CONNECTION / table).rglob("*.parquet"))[0]
        path.write_bytes(path.read_bytes()[:-20])
        rig.sync([table])
        rig.check([table])


def test_a_file_from_a_backup_of_the_same_size_is_noticed(rig: Rig, tmp_path: Path) -> None:
    rig.load(["contacts"])
    path = sorted((rig.lake_folder / "data" / CONNECTION / "contacts").rglob("*.parquet"))[0]
    shutil.copy2(path, tmp_path / "backup")
    month = path.parent.name.split("=")[1]
    row = next(r for r in rig.workspace.rows("contacts") if month == _month(r["created_at"]))
    rig.workspace.update("contacts", row["id"], name="newer")
    rig.workspace.travel(7200)
    rig.sync(["contacts"])
    shutil.copy2(tmp_path / "backup", path)
    with path.open("ab") as file:
        file.truncate(path.stat().st_size)  # same bytes, now with a time of its own
    rig.workspace.travel(7200)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_backup_restored_before_a_committed_run_is_compacted_is_noticed(rig: Rig, tmp_path: Path) -> None:
    rig.load(["contacts"])
    folder = rig.lake_folder / "data" / CONNECTION / "contacts"
    shutil.copytree(folder, tmp_path / "backup")
    for half in range(2):
        rig.workspace.travel(7200)
        for row in rig.workspace.rows("contacts")[::3]:
            rig.workspace.update("contacts", row["id"], name="newer")
        rig.workspace.travel(7200)
        ingest(rig, f"half-{half}")
        if half == 0:
            compact_table(CONTACTS, rig.lake_table("contacts"), rig.store)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    rig.workspace.travel(7200)
    rig.sync(["contacts"])
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_lake_moved_elsewhere_goes_on_from_its_watermark(rig: Rig, tmp_path: Path) -> None:
    rig.load()
    shutil.copytree(rig.lake_url, tmp_path / "moved")  # every file gets a new time
    moved = Rig(rig.server, str(tmp_path / "moved"))
    results = moved.sync()
    moved.check()
    assert results["contacts"][0].reason == "incremental"


def ingest(rig: Rig, run_id: str, **options: Any) -> None:
    """The first half of a run; then its process is gone."""
    client = rig.client()
    run = Run(run_id, CONNECTION, datetime.now(UTC), run_start=rig.workspace.now(), **options)
    ingest_table(CONTACTS, client.for_table("contacts"), rig.lake_table("contacts"), rig.store, run)
    client.close()


def test_the_same_run_again_after_its_commit_asks_for_nothing_and_loses_nothing(rig: Rig) -> None:
    ingest(rig, "rerun")
    rig.server.clear_log()
    ingest(rig, "rerun")
    assert rig.server.requests() == []
    compact_table(CONTACTS, rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


def test_another_run_before_the_rows_of_the_first_were_merged_loses_none(rig: Rig) -> None:
    ingest(rig, "first")
    rig.workspace.travel(7200)
    rig.workspace.create("contacts")
    ingest(rig, "second")
    compact_table(CONTACTS, rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


def test_parts_that_vanish_before_the_commit_stop_it(rig: Rig) -> None:
    class Thief(Lake):
        def list(self, folder: str) -> dict[str, int]:
            found = super().list(folder)
            if folder.startswith("_staging") and found:
                self.delete([next(iter(found))])
                return super().list(folder)
            return found

    with pytest.raises(LakeError, match="watermark has not moved"):
        rig.sync(["contacts"], lake=Thief(rig.lake_url))
    assert rig.store.kept == {}


def test_parts_that_vanish_before_they_are_merged_are_an_error_and_read_again(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.workspace.travel(7200)
    rig.workspace.create("contacts")
    ingest(rig, "robbed")
    lake = rig.lake()
    lake.delete([next(iter(lake.list(TablePaths(CONNECTION, "contacts").staging)))])
    with pytest.raises(LakeError, match="Run again"):
        compact_table(CONTACTS, rig.lake_table("contacts", lake), rig.store)
    rig.workspace.travel(7200)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_slower_run_that_overlaps_does_not_move_the_watermark_back(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.workspace.travel(3600)
    overtaken = False

    def overtake(request: Any) -> None:
        nonlocal overtaken
        if request.path == "/contacts/search" and not overtaken:
            overtaken = True
            rig.workspace.travel(7200)
            rig.workspace.create("contacts")
            rig.workspace.travel(5)
            rig.sync(["contacts"])

    rig.server.before_request(overtake)
    ingest(rig, "slow")
    rig.server.clear_hooks()
    newest = max(row["updated_at"] for row in rig.workspace.rows("contacts"))
    assert [mark.value for mark in rig.store.kept.values()] == [newest]


def test_a_record_that_vanishes_before_its_rows_are_merged_is_an_error_and_not_an_empty_table(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.workspace.travel(7200)
    rig.workspace.create("contacts")
    ingest(rig, "robbed")
    rig.lake().delete([TablePaths(CONNECTION, "contacts").state])
    with pytest.raises(LakeError, match=r"_state/acme/contacts\.json.*has gone.*run again: the whole table is read"):
        compact_table(CONTACTS, rig.lake_table("contacts"), rig.store, committed=True)
    assert compact_table(CONTACTS, rig.lake_table("contacts"), rig.store).rows == 0  # by the flow that only merges
    rig.sync(["contacts"])
    rig.check(["contacts"])


@pytest.mark.parametrize("ahead", [3 * 3600, -3 * 3600])
def test_a_wrong_clock_of_this_machine_leaves_no_row_stale_where_the_server_does_not_tell_its_own(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ahead: int
) -> None:
    """A row changes while a long load goes on, after it was read and long before the newest row of that load."""
    rig = make_rig(conversations=60)
    rig.per_page = 20
    monkeypatch.setattr("intercom.sandbox.server.formatdate", lambda *_, **__: "no date")
    monkeypatch.setattr("intercom.api.workspace.time", SimpleNamespace(time=lambda: rig.workspace.time() + ahead))
    first = min(rig.workspace.rows("conversations"), key=lambda row: row["created_at"])
    edits = iter([1])

    def edit(request: Any) -> None:
        paged = request.path == "/conversations/search" and request.body["pagination"].get("starting_after")
        if paged and next(edits, None):
            rig.workspace.travel(1800)
            rig.workspace.update("conversations", first["id"], title="changed")
            rig.workspace.travel(9000)
            rig.workspace.create("conversations")

    rig.server.before_request(edit)
    rig.sync(["conversations"])
    assert next(edits, None) is None
    rig.server.clear_hooks()
    assert "have no usable Date header" in caplog.text
    rig.workspace.travel(60)
    rig.sync(["conversations"])
    rig.check(["conversations"])


def test_a_repair_reads_what_was_there_and_refuses_to_do_with_less(rig: Rig) -> None:
    rig.load(["contacts"])
    folder = sorted((rig.lake_folder / "data" / CONNECTION / "contacts").iterdir())[0]
    shutil.rmtree(folder)
    with pytest.raises(ConfigurationError, match="later than the history"):
        rig.sync(["contacts"], history_from=rig.workspace.now() - 86_400)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_an_idle_run_needs_few_requests(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=2000, conversations=1500)
    rig.load()
    rig.workspace.travel(3600)
    rig.server.clear_log()
    rig.sync()
    beyond = [r for r in rig.server.log if r.path in ("/contacts/search", "/conversations/search", "/me")]
    assert len(beyond) <= 8
    assert len(rig.server.log) <= 30


def test_rows_that_change_while_pages_are_read_are_exact_after_the_next_run(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=400, companies=220, conversations=320, articles=310)

    def edit(request: object) -> None:
        rig.workspace.travel(2)
        for table in MERGED:
            rows = rig.workspace.rows(table)
            for row in islice(rows, 0, len(rows), 97):
                rig.workspace.update(
                    table, row["id"], **{"title" if table in ("conversations", "articles") else "name": "x"}
                )
            rig.workspace.create(table)

    rig.server.before_request(edit)
    rig.sync(MERGED)
    rig.server.clear_hooks()
    rig.sync(MERGED)
    rig.check(MERGED)


def test_rows_that_move_while_a_long_history_is_read_raise_no_alarm(rig: Rig) -> None:
    """Newest first, each row that moves up would be one that is counted and not met."""
    rig.per_page = 30
    contacts = sorted(rig.workspace.rows("contacts"), key=lambda row: row["updated_at"])
    movers = iter(contacts[100:200])

    def move(request: Any) -> None:
        if request.path == "/contacts/search":
            rig.workspace.travel(1)
            rig.workspace.update("contacts", next(movers)["id"], name="moved")

    rig.server.before_request(move)
    ingested, _ = rig.sync(["contacts"], history_from=rig.workspace.now() - 400 * 86_400)["contacts"]
    rig.server.clear_hooks()
    assert ingested.notes == ()
    rig.workspace.travel(5)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def _month(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m}"
