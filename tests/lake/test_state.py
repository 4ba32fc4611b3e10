"""What becomes of a table's record: each step from a record as it is written here to the one that follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from intercom.lake.layout import FORMAT, PARTS_FORMAT
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.state import FinishedRead, Generation, TableState
from intercom.lake.state_entries import ColumnMigration, Partition
from intercom.lake.state_json import state_from_json, state_to_json
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import NO_RULES, Action, ColumnRule, ColumnRules
from intercom.tables.owed import OwedParent

OLD, NEW = TABLES["tags"].schema, TABLES["teams"].schema
BEFORE, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
JANUARY, FEBRUARY = Partition(10, "v1", "100:1", "a1"), Partition(20, "v1", "200:1", "b1")
WAITING, GONE = StagedRun("waiting", 1), StagedRun("gone", 2)
MIGRATION = ColumnMigration("v2", NEW)
SOME, WHOLE, REPLACES = Coverage
OWED, OWED_AFTER = (OwedParent(key, {"conversation_id": f'"{key}"'}, 3, 90, "ab12", 95) for key in "78")
RECORD = TableState(
    "lake-1",
    OLD.fingerprint,
    watermark=100,
    history_from=50,
    workspace="w1",
    run_id="before",
    ingested_at=BEFORE,
    saved_at=BEFORE,
    partitions={"2026-01": JANUARY, "2026-02": FEBRUARY},
    staged=(WAITING, GONE),
    columns=OLD,
    search_check={"by_day": True},
    damaged=("2026-02",),
    owed=(OWED,),
    generation=Generation(7, "seven"),
)
INTACT = {"2026-01": JANUARY}


def finished(coverage: Coverage, *, to_replace: bool = False) -> FinishedRead:
    return FinishedRead(
        staged=StagedRun("run-1.b", 3, coverage, rows=30, committed_at=9),
        earlier=(StagedRun("run-1.a", 1, rows=10, committed_at=9),),
        to_replace=to_replace,
        lake_id="lake-1",
        columns=NEW,
        watermark=200,
        history_from=None,
        workspace=None,
        run_id="run-1",
        ingested_at=NOW,
        saved_at=NOW,
        complete=True,
        notes=("a note",),
        search_check=None,
        refused=None,
        owed=(OWED_AFTER,),
    )


# -- a run has read the table --------------------------------------------------------------------------------------


def test_a_read_of_some_rows_is_added_to_what_the_record_has() -> None:
    read = finished(SOME)
    assert RECORD.committed(read, INTACT, {"waiting"}) == replace(
        RECORD,
        fingerprint=NEW.fingerprint,
        watermark=200,
        history_from=None,
        run_id="run-1",
        ingested_at=NOW,
        saved_at=NOW,
        staged=(WAITING, GONE, StagedRun("run-1.a", 1, SOME, 10, 9), StagedRun("run-1.b", 3, SOME, 30, 9)),
        columns=NEW,
        notes=("a note",),
        owed=(OWED_AFTER,),
    )


@pytest.mark.parametrize(("coverage", "kept"), [(WHOLE, (WAITING,)), (REPLACES, ())])
def test_a_read_of_everything_misses_nothing_that_is_gone(coverage: Coverage, kept: tuple[StagedRun, ...]) -> None:
    read = finished(coverage, to_replace=coverage is REPLACES)
    after = replace(RECORD, rewriting=MIGRATION).committed(read, INTACT, {"waiting"})
    assert after.partitions == INTACT
    assert after.staged == (*kept, *read.earlier, read.staged)
    assert (after.columns, after.fingerprint, after.rewriting) == (NEW, NEW.fingerprint, None)
    assert (after.coverage, after.staged_whole) == (coverage, True)
    assert after.damaged == ("2026-02",)


@pytest.mark.parametrize(
    ("columns", "rewriting", "expected"),
    [(OLD, None, None), (NEW, None, NEW), (NEW, MIGRATION, None), (None, None, None)],
)
def test_rows_that_were_to_replace_the_table_and_cannot_may_lie_beside_other_columns(
    columns: object, rewriting: ColumnMigration | None, expected: object
) -> None:
    before = replace(RECORD, columns=columns, rewriting=rewriting)  # type: ignore[arg-type]
    after = before.committed(finished(SOME, to_replace=True), INTACT, {"waiting"})
    assert (after.columns, after.fingerprint, after.rewriting) == (expected, OLD.fingerprint, rewriting)
    assert after.partitions == RECORD.partitions
    assert after.staged[:2] == (WAITING, GONE)


def test_what_a_run_did_not_learn_stays() -> None:
    after = RECORD.committed(finished(SOME), INTACT, ())
    assert (after.workspace, after.search_check) == ("w1", {"by_day": True})
    learnt = replace(finished(SOME), workspace="w2", search_check={"by_day": False}, refused="why", complete=False)
    after = RECORD.committed(learnt, INTACT, ())
    assert (after.workspace, after.search_check, after.refused, after.complete) == (
        "w2",
        {"by_day": False},
        "why",
        False,
    )


def test_a_record_that_follows_is_saved_over_the_one_that_was_read() -> None:
    after = RECORD.committed(finished(WHOLE), INTACT, ()).compacting("v2", {}).with_damage("2026-01")
    assert after.generation == RECORD.generation


# -- compaction ----------------------------------------------------------------------------------------------------


def test_a_compaction_begins_with_its_version_and_the_files_as_they_lie_there() -> None:
    found = {"2026-01": Partition(11, "v2", "101:1"), "2026-03": Partition(1, "v2", "1:1")}
    assert RECORD.compacting("v3", found) == replace(RECORD, compaction="v3", partitions={"2026-02": FEBRUARY, **found})


def test_partitions_whose_file_went_are_no_more() -> None:
    assert RECORD.only_with({"2026-01", "2026-09"}) == replace(RECORD, partitions={"2026-01": JANUARY})


def test_a_compaction_leaves_the_months_it_met_and_nothing_that_waits() -> None:
    march = Partition(3, "v3", "3:1", "c1")
    merged = {"2026-02": None, "2026-03": march}
    before = replace(RECORD, compaction="v3")
    assert before.compacted(merged, foreign={"2026-01"}, lost=False, saved_at=NOW) == replace(
        RECORD,
        partitions={"2026-01": JANUARY, "2026-03": march},
        staged=(),
        damaged=("2026-01", "2026-02"),
        saved_at=NOW,
    )
    assert before.compacted(merged, foreign=(), lost=True, saved_at=NOW).watermark is None


@pytest.mark.parametrize("coverage", [WHOLE, REPLACES])
def test_what_was_damaged_is_mended_by_rows_that_are_the_whole_table(coverage: Coverage) -> None:
    before = replace(RECORD, staged=(WAITING, StagedRun("all", 1, coverage)))
    assert before.compacted({}, foreign={"2026-01"}, lost=False, saved_at=NOW).damaged == ()


def test_damage_is_noted_once() -> None:
    assert RECORD.with_damage("2026-02") == RECORD
    assert RECORD.with_damage("2026-01") == replace(RECORD, damaged=("2026-02", "2026-01"))


# -- other columns -------------------------------------------------------------------------------------------------


def test_files_get_other_columns_in_one_version_also_when_that_goes_on_later() -> None:
    before = replace(RECORD, staged=())
    under_way = before.migrating(NEW, "v2")
    assert under_way == replace(before, rewriting=MIGRATION)
    assert under_way.migrating(NEW, "v3") == under_way
    rewritten = {"2026-01": Partition(10, "v2", "110:1", "d1"), "2026-09": Partition(1, "v2", "1:1")}
    assert under_way.migrated(NEW, rewritten, saved_at=NOW) == replace(
        before,
        columns=NEW,
        fingerprint=NEW.fingerprint,
        partitions={"2026-01": rewritten["2026-01"], "2026-02": FEBRUARY},
        saved_at=NOW,
    )


# -- in the lake ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replaces", "whole", "coverage"),
    [(False, False, SOME), (False, True, WHOLE), (True, True, REPLACES), (True, False, REPLACES), (None, None, SOME)],
)
def test_a_staged_run_has_the_fields_in_the_lake_that_it_always_had(
    replaces: bool | None, whole: bool | None, coverage: Coverage
) -> None:
    """Older versions wrote ``replaces`` without ``whole``, and the first ones neither."""
    told = {} if replaces is None else {"replaces": replaces, "whole": whole}
    run = StagedRun.from_json({"run_id": "r", "parts": 2, **told})
    assert run == StagedRun("r", 2, coverage)
    assert list(run.to_json()) == ["run_id", "parts", "replaces", "whole", "rows", "committed_at"]
    assert StagedRun.from_json(run.to_json()) == run
    record = state_to_json(replace(RECORD, staged=(run,)))
    assert record["format"] == PARTS_FORMAT < FORMAT
    assert record["staged"] == [run.to_json()]
    if (replaces, whole) != (True, False):
        assert (run.to_json()["replaces"], run.to_json()["whole"]) == (bool(replaces), bool(whole))


@pytest.mark.parametrize("entry", [{"run_id": "r"}, {"run_id": "r", "parts": 1, "of a later version": 1}, 5])
def test_a_staged_run_that_is_none_makes_a_record_damaged(entry: object) -> None:
    with pytest.raises(TypeError):
        state_from_json({**state_to_json(RECORD), "staged": [entry]})


@pytest.mark.parametrize(
    ("rules", "marks_deleted"),
    [
        (ColumnRules((ColumnRule(("custom_attributes", "phone"), Action.HASH),), "key-1"), False),
        (NO_RULES, True),
        (ColumnRules((ColumnRule(("email",), Action.MASK),)), True),
    ],
)
def test_a_record_keeps_rules_and_marks_and_earlier_versions_refuse_it(rules: ColumnRules, marks_deleted: bool) -> None:
    columns = TABLES["contacts"].schema.configured(rules, marks_deleted=marks_deleted)
    record = replace(RECORD, columns=columns, fingerprint=columns.fingerprint)
    kept = state_from_json(state_to_json(record))
    assert kept.columns == columns
    assert kept.columns.arrow == columns.arrow
    assert columns.fingerprint != TABLES["contacts"].schema.fingerprint
    assert state_to_json(record)["format"] == FORMAT > PARTS_FORMAT
    assert state_to_json(replace(record, columns=TABLES["contacts"].schema))["format"] < FORMAT
