"""What a comparison with the workspace has found is mended, and then the table is exactly what the workspace has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.api.workspace import identify
from intercom.lake.layout import TableFormat
from intercom.sync.run import Run
from intercom.verify.case import ApiLimits
from intercom.verify.findings import Difference, Kind
from intercom.verify.mend import Mended, mend_from_api
from tests.support.compared import DAY, SEARCHED, create_unseen, part_of, proof, remove_part, settled
from tests.support.planted import with_value, without
from tests.support.rig import Rig


def mend(rig: Rig, name: str, differences: tuple[Difference, ...], **options: bool) -> Mended:
    client = rig.client()
    try:
        workspace = identify(client)
        run = Run(
            "verify", rig.connection, datetime.now(UTC), workspace.server_time, workspace=workspace.code, **options
        )
        return mend_from_api(rig.table(name), client, rig.lake_table(name), rig.store, run, differences)
    finally:
        client.close()


def mended(rig: Rig, name: str, limits: ApiLimits | None = None) -> Mended:
    """Find, mend, and compare again: nothing is left, and the watermark is where it was."""
    before = rig.lake_table(name).state()
    differences = proof(rig, name, limits).differences
    assert differences
    done = mend(rig, name, differences)
    after = rig.lake_table(name).state()
    assert before is not None
    assert after is not None
    assert (after.watermark, after.history_from, after.staged) == (before.watermark, before.history_from, ())
    assert proof(rig, name, limits).differences == ()
    return done


@pytest.mark.parametrize(
    ("name", "table_format"), [*((name, TableFormat.PARQUET) for name in SEARCHED), ("contacts", TableFormat.DELTA)]
)
def test_everything_that_may_be_wrong_with_a_searched_table_is_mended(
    make_rig: Callable[..., Rig], name: str, table_format: TableFormat
) -> None:
    rig = make_rig(tickets=100)
    rig.load([name])
    rows = sorted(rig.workspace.rows(name), key=lambda row: int(row["updated_at"]))
    create_unseen(rig, name, 5)
    at = settled(rig, name) - 3 * DAY
    rig.workspace.update(name, rows[0]["id"], updated_at=at)
    rig.workspace.delete(name, rows[1]["id"])
    with_value(rig, name, str(rows[2]["id"]), "type", "other")
    done = mended(rig, name)
    assert (done.read, done.removed, done.notes) == (7, 1, ())
    rig.check([name])


def test_a_window_with_many_rows_is_read_by_pages_and_merged(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.load(["contacts"])
    create_unseen(rig, "contacts", 230)
    done = mended(rig, "contacts")
    assert done.merged.new == 230
    rig.check(["contacts"])


def test_windows_that_were_only_counted_are_read_by_a_repair(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=400)
    rig.load(["contacts"])
    create_unseen(rig, "contacts", 40)
    few = ApiLimits(sample=0, most_requests=12)
    differences = proof(rig, "contacts", few).differences
    assert {one.kind for one in differences} == {Kind.COUNT}
    mend(rig, "contacts", differences)
    rig.check(["contacts"])


@pytest.mark.parametrize("name", ["companies", "activity_logs"])
def test_rows_of_other_tables_are_mended(make_rig: Callable[..., Rig], name: str) -> None:
    rig = make_rig(activity_logs=200)
    rig.load([name])
    old = [row for row in rig.workspace.rows(name) if row.get("updated_at", row["created_at"]) < settled(rig, name)]
    without(rig, name, {str(row["id"]) for row in old[20:60] if row.get("user_count") != 0})
    mended(rig, name)
    rig.check([name])


def test_parts_of_conversations_are_mended(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(conversations=30, conversation_parts=200)
    rig.load(["conversations", "conversation_parts"])
    without(rig, "conversation_parts", {part_of(rig)[0]})
    with_value(rig, "conversation_parts", part_of(rig, 5)[0], "part_type", "other")
    remove_part(rig, part_of(rig, 9)[0])
    mended(rig, "conversation_parts")
    rig.check(["conversation_parts"])


def test_a_row_that_is_there_again_at_the_repair_stays(rig: Rig) -> None:
    rig.load(["contacts"])
    gone = rig.workspace.rows("contacts")[0]
    rig.workspace.delete("contacts", gone["id"])
    differences = proof(rig, "contacts").differences
    rig.workspace.create("contacts", **gone)
    done = mend(rig, "contacts", differences)
    assert done.removed == 0
    assert "there after all" in done.notes[0]
    rig.check(["contacts"])


def test_nothing_is_removed_while_no_address_is_found(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.workspace.delete("contacts", rig.workspace.rows("contacts")[0]["id"])
    differences = proof(rig, "contacts").differences
    rig.server.fail(status=404, times=1_000, where=lambda request: request.path.startswith("/contacts/"))
    done = mend(rig, "contacts", differences)
    assert done.removed == 0
    assert "not even other rows" in done.notes[0]


def test_a_large_part_of_a_table_goes_only_if_that_is_permitted(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=110)
    rig.load(["contacts"])
    for row in rig.workspace.rows("contacts")[:30]:
        rig.workspace.delete("contacts", row["id"])
    differences = proof(rig, "contacts").differences
    done = mend(rig, "contacts", differences)
    assert done.removed == 0
    assert "large part" in done.notes[0]
    assert mend(rig, "contacts", differences, allow_mass_removal=True).removed == 30
    rig.check(["contacts"])


def test_a_sync_after_a_repair_goes_on_where_it_was(rig: Rig) -> None:
    rig.load(["contacts"])
    create_unseen(rig, "contacts", 3)
    mended(rig, "contacts")
    rig.workspace.travel(600)
    rig.workspace.update("contacts", rig.workspace.rows("contacts")[0]["id"], name="Changed")
    rig.workspace.create("contacts")
    read, compacted = rig.sync(["contacts"])["contacts"]
    assert (read.reason, compacted.new) == ("incremental", 1)
    rig.check(["contacts"])


def test_where_columns_are_protected_all_holds_as_well(rig: Rig) -> None:
    rules = {"contacts": {"hash": ["email"], "mask": ["name"], "exclude": ["phone"]}}
    rig.options = {"columns": rules, "hash_key": "a key of thirty-two characters, at least"}
    rig.sync(["contacts"])
    assert proof(rig, "contacts").differences == ()
    planted = create_unseen(rig, "contacts", 2)
    done = mended(rig, "contacts")
    assert done.merged.new == 2
    values = {str(row[name]) for row in rig.workspace.rows("contacts") for name in ("email", "name") if row[name]}
    rows = [row for row in rig.rows("contacts").to_pylist() if row["id"] in planted]
    assert len(rows) == 2
    assert not values & {str(value) for row in rows for value in row.values()}


def test_where_deleted_rows_are_marked_they_are_marked_and_then_no_difference(rig: Rig) -> None:
    rig.options = {"deleted": "mark"}
    rig.sync(["contacts"])
    gone = str(rig.workspace.rows("contacts")[0]["id"])
    rig.workspace.delete("contacts", gone)
    create_unseen(rig, "contacts", 2)
    done = mended(rig, "contacts")
    assert (done.merged.new, done.removed) == (2, 1)
    rows = read_table(rig.lake_folder).to_pylist()
    assert [row["id"] for row in rows if row["_deleted_at"] is not None] == [gone]


def read_table(lake: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in lake.glob("data/**/*.parquet")])
