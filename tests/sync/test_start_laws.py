"""What of the records of earlier runs is believed, for any records."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from intercom.errors import LakeError
from intercom.lake.findings import Findings, intact, missing_from, not_to_be_merged
from intercom.lake.layout import FORMAT
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.state import TableState
from intercom.lake.state_entries import ColumnMigration, Partition
from intercom.lake.state_json import state_from_json, state_to_json
from intercom.lake.watermark import Watermark
from intercom.sync.start import StartingPoint, next_watermark, starting_point, watermark_after
from intercom.tables.contacts import CONTACTS
from intercom.tables.schema import ColumnKind, TableSchema
from intercom.tables.workspace import TAGS, TEAMS
from tests.support.effort import effort

LAKE, FINGERPRINT, OTHER = "lake-1", TAGS.schema.fingerprint, TEAMS.schema
SECONDS = st.integers(-2_000_000_000, 253_402_300_799)  # up to the last second of the year 9999
MAYBE = st.none() | SECONDS
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1), timezones=ZONES)
MONTHS = st.sampled_from(["", "unknown", "2025-12", "2026-01", "2026-02"])
RUN_IDS = st.sampled_from(["v3", "run-1"]) | st.text(min_size=1, max_size=5)
COUNTS = st.integers(1, 10**12)

STAMPS = st.sampled_from(["100:1", "100:2", "200:2"])
VERSIONS = st.sampled_from(["v1", "v2", "v3"])
DIGESTS = st.sampled_from(["", "a1"])
PARTITIONS = st.builds(
    Partition, rows=COUNTS, version=VERSIONS, stamp=STAMPS, footer=DIGESTS, content=DIGESTS, marked=st.integers(0, 2)
)
STAGED_RUNS = st.builds(StagedRun, RUN_IDS, st.integers(1, 9), st.sampled_from(Coverage))
PUBLISHED = st.dictionaries(MONTHS, STAMPS)

STATES = st.builds(
    TableState,
    lake_id=st.just(LAKE),
    fingerprint=st.just(FINGERPRINT),
    watermark=MAYBE,
    history_from=st.none(),
    workspace=st.none() | st.text(),
    run_id=st.text(),
    ingested_at=st.none() | TIMES,
    saved_at=st.none() | TIMES,
    partitions=st.dictionaries(MONTHS, PARTITIONS),
    compaction=st.none() | VERSIONS,
    complete=st.booleans(),
    notes=st.lists(st.text()).map(tuple),
    columns=st.sampled_from([None, TAGS.schema]),
    staged=st.lists(STAGED_RUNS, unique_by=lambda run: run.attempt).map(tuple),
)


def saved_as(value: int | None) -> Watermark:
    return Watermark("c", "contacts", LAKE, "file:///lake", "updated_at", value, "run", 1, datetime.now(UTC))


def as_recorded(state: TableState) -> Findings:
    """The lake holds exactly what the record says."""
    return Findings(
        published={month: entry.stamp for month, entry in state.partitions.items()},
        staged={run.attempt: run.parts for run in state.staged},
    )


def start(
    state: TableState | None,
    saved: Watermark | None,
    findings: Findings | None = None,
    *,
    lake_id: str = LAKE,
    columns: TableSchema = TAGS.schema,
    full_refresh: bool = False,
    history_from: int | None = None,
) -> StartingPoint:
    if findings is None:
        findings = Findings({}, {}) if state is None else as_recorded(state)
    return starting_point(
        state,
        saved,
        findings,
        lake_id=lake_id,
        columns=columns,
        full_refresh=full_refresh,
        history_from=history_from,
    )


# A record is built from many draws, which a busy machine may find slow.
laws = settings(max_examples=effort(12, 350), suppress_health_check=[HealthCheck.too_slow])
SAVED = st.none() | st.builds(saved_as, MAYBE)


# -- the record ---------------------------------------------------------------------------------------------------


@laws
@given(state=STATES, history_from=MAYBE, columns=st.sampled_from([None, TAGS.schema, CONTACTS.schema]))
def test_a_record_survives_the_way_through_json(
    state: TableState, history_from: int | None, columns: TableSchema | None
) -> None:
    rewriting = None if columns is None else ColumnMigration("v3", columns)
    state = replace(state, history_from=history_from, columns=columns, rewriting=rewriting)
    again = state_from_json(json.loads(json.dumps(state_to_json(state))))
    assert again == state
    assert state_to_json(again) == state_to_json(state)
    assert state_to_json(state)["rows"] == state.rows == sum(entry.rows for entry in state.partitions.values())


@laws
@given(state=STATES)
def test_the_times_of_a_record_are_written_in_utc(state: TableState) -> None:
    record = state_to_json(state)
    for name in ("watermark", "ingested_at", "saved_at"):
        assert record[name] is None or record[name].endswith("Z")


@laws
@given(state=STATES, later=st.integers(1, 100))
def test_a_record_of_a_later_format_is_refused_and_the_cure_is_named(state: TableState, later: int) -> None:
    with pytest.raises(LakeError, match="Upgrade"):
        state_from_json({**state_to_json(state), "format": FORMAT + later})


@laws
@given(state=STATES)
def test_a_record_from_before_reads_could_be_short_counts_as_complete(state: TableState) -> None:
    record = state_to_json(state)
    del record["complete"], record["notes"]
    assert state_from_json(record) == replace(state, complete=True, notes=())


FIRST_FIELDS = {
    "format", "lake_id", "fingerprint", "watermark", "history_from", "workspace", "run_id", "ingested_at", "saved_at",
    "partitions", "staged", "compaction",
}  # fmt: skip
"""Those of the first version of the package; a record of an older version lacks the others."""


@laws
@given(state=STATES)
def test_a_record_that_lacks_a_field_of_the_first_version_is_damaged(state: TableState) -> None:
    record = state_to_json(state)
    for name in record:
        lacking = {other: value for other, value in record.items() if other != name}
        if name in FIRST_FIELDS:
            with pytest.raises(KeyError):
                state_from_json(lacking)
        else:
            state_from_json(lacking)
    assert record.keys() >= FIRST_FIELDS


@laws
@given(state=STATES, parts=st.integers(1, 9))
def test_a_staged_run_is_added_last_and_one_that_replaces_stands_alone(state: TableState, parts: int) -> None:
    merging, replacing = StagedRun("new", parts), StagedRun("new", parts, Coverage.REPLACES)
    assert state.with_staged(merging) == replace(state, staged=(*state.staged, merging))
    assert state.with_staged(replacing) == replace(state, staged=(replacing,))


# -- where a run starts -------------------------------------------------------------------------------------------


@laws
@given(state=STATES, saved=SAVED)
def test_an_undamaged_lake_starts_at_the_smaller_of_both_values(state: TableState, saved: Watermark | None) -> None:
    point = start(state, saved)
    values = [state.watermark, *([] if saved is None else [saved.value])]
    if None in values:
        why = "its rows have to be read again" if state.rows else "no row was seen in earlier runs"
        assert point == StartingPoint(None, why)
    else:
        assert point == StartingPoint(min(values), "incremental")


@laws
@given(
    state=st.none() | STATES,
    saved=SAVED,
    published=PUBLISHED,
    staged=st.dictionaries(RUN_IDS, st.integers(0, 9)),
    lake_id=st.sampled_from([LAKE, "lake-2"]),
    columns=st.sampled_from([TAGS.schema, OTHER]),
    full_refresh=st.booleans(),
    history_from=MAYBE,
)
def test_no_start_is_ever_later_than_either_value(
    state: TableState | None,
    saved: Watermark | None,
    published: dict[str, str],
    staged: dict[str, int],
    lake_id: str,
    columns: TableSchema,
    full_refresh: bool,
    history_from: int | None,
) -> None:
    findings = Findings(published, staged)
    point = start(
        state,
        saved,
        findings,
        lake_id=lake_id,
        columns=columns,
        full_refresh=full_refresh,
        history_from=history_from,
    )
    assert point.reason
    if point.watermark is not None:
        assert state is not None
        assert state.watermark is not None
        assert point.watermark <= state.watermark
        assert saved is None or (saved.value is not None and point.watermark <= saved.value)
        assert (lake_id, columns, full_refresh) == (LAKE, TAGS.schema, False)
        assert not point.replaces


@laws
@given(state=STATES.filter(lambda state: state.partitions), saved=SAVED, data=st.data())
def test_a_published_file_that_is_gone_means_from_the_beginning(
    state: TableState, saved: Watermark | None, data: st.DataObject
) -> None:
    found = as_recorded(state)
    gone = data.draw(st.sampled_from(sorted(state.partitions)))
    published = {month: size for month, size in found.published.items() if month != gone}
    point = start(state, saved, Findings(published, found.staged))
    assert (point.watermark, point.replaces) == (None, False)
    assert (gone or "data.parquet") in point.reason


@laws
@given(state=STATES.filter(lambda state: state.staged), saved=SAVED, data=st.data(), found=st.integers(0, 10))
def test_staged_parts_that_are_gone_mean_from_the_beginning(
    state: TableState, saved: Watermark | None, data: st.DataObject, found: int
) -> None:
    """No part of the run, or another number of them than was committed."""
    run = data.draw(st.sampled_from(state.staged))
    all_parts = as_recorded(state)
    staged = {run_id: parts for run_id, parts in all_parts.staged.items() if run_id != run.attempt}
    if found != run.parts:
        point = start(state, saved, Findings(all_parts.published, {**staged, run.attempt: found}))
        assert (point.watermark, point.replaces) == (None, False)
        assert run.attempt in point.reason
    assert start(state, saved, Findings(all_parts.published, staged)).watermark is None


@laws
@given(
    state=STATES.filter(lambda state: state.partitions),
    saved=SAVED,
    data=st.data(),
    stamp=STAMPS,
    version=st.none() | VERSIONS,
    rewriting=st.none() | st.builds(ColumnMigration, VERSIONS, st.just(TEAMS.schema)),
)
def test_a_file_of_another_stamp_counts_only_with_a_version_of_ours(
    state: TableState,
    saved: Watermark | None,
    data: st.DataObject,
    stamp: str,
    version: str | None,
    rewriting: ColumnMigration | None,
) -> None:
    """Ours: the recorded version, or one of a compaction that may have died while committed runs waited for it, or of
    files that were being rewritten."""
    state = replace(state, rewriting=rewriting)
    found = as_recorded(state)
    month = data.draw(st.sampled_from(sorted(state.partitions)))
    findings = Findings({**found.published, month: stamp}, found.staged, {month: version})
    recorded = state.partitions[month]
    ours = {recorded.version, *(run.attempt for run in state.staged), *([state.compaction] if state.staged else [])}
    ours |= {rewriting.version} if rewriting else set()
    unknown = {} if version in (None, recorded.version) else {"footer": "", "content": ""}
    believed = stamp == recorded.stamp or (version is not None and version in ours)
    assert (missing_from(state, findings) is None) == believed
    assert intact(state, findings) == {
        name: replace(entry, version=version or entry.version, stamp=stamp, **unknown) if name == month else entry
        for name, entry in state.partitions.items()
        if believed or name != month
    }
    if rewriting is None:
        assert start(state, saved, findings) == (
            start(state, saved) if believed else StartingPoint(None, str(missing_from(state, findings)))
        )


def test_a_file_without_a_version_is_never_ours() -> None:
    state = TableState(LAKE, FINGERPRINT, partitions={"": Partition(1, "v1", "100:1")}, staged=(StagedRun("run", 1),))
    assert state.compaction is None
    assert missing_from(state, Findings({"": "200:2"}, {"run": 1}, {"": None})) is not None
    assert missing_from(state, Findings({"": "200:2"}, {"run": 1})) is not None


@laws
@given(state=STATES.filter(lambda state: state.partitions), data=st.data())
def test_a_file_that_is_gone_is_not_intact(state: TableState, data: st.DataObject) -> None:
    found = as_recorded(state)
    gone = data.draw(st.sampled_from(sorted(state.partitions)))
    published = {month: stamp for month, stamp in found.published.items() if month != gone}
    assert intact(state, found) == state.partitions
    assert intact(state, Findings(published, found.staged)).keys() == state.partitions.keys() - {gone}


@laws
@given(state=STATES, staged=st.dictionaries(RUN_IDS, st.integers(0, 9)))
def test_parts_that_the_record_does_not_know_do_no_harm(state: TableState, staged: dict[str, int]) -> None:
    """What a run staged before it died, say: it is not committed."""
    found = as_recorded(state)
    assert missing_from(state, Findings(found.published, {**staged, **found.staged})) is None


@laws
@given(state=STATES, month=MONTHS, stamp=STAMPS, version=st.none() | VERSIONS, rows=COUNTS)
def test_a_file_that_the_record_does_not_know_is_damage_unless_a_compaction_may_have_left_it(
    state: TableState, month: str, stamp: str, version: str | None, rows: int
) -> None:
    """And unless rows wait that make the table whole: when they are merged, it goes."""
    kept = {name: entry for name, entry in state.partitions.items() if name != month}
    state = replace(state, partitions=kept)
    found = as_recorded(state)
    findings = Findings({**found.published, month: stamp}, found.staged, {month: version}, {month: rows})
    pending = {run.attempt for run in state.staged} | ({state.compaction} if state.staged else set())
    if version is not None and version in pending:
        assert missing_from(state, findings) is None
        assert not_to_be_merged(state, findings) == set()
        assert intact(state, findings) == {**kept, month: Partition(rows, version, stamp)}
    else:
        mended = any(run.coverage is not Coverage.SOME for run in state.staged)
        assert (missing_from(state, findings) is None) == mended
        assert not_to_be_merged(state, findings) == {month}
        assert intact(state, findings) == kept


@laws
@given(state=STATES, saved=SAVED, months=st.lists(MONTHS, min_size=1, unique=True).map(tuple))
def test_a_file_that_was_found_damaged_means_from_the_beginning_until_everything_was_read(
    state: TableState, saved: Watermark | None, months: tuple[str, ...]
) -> None:
    noted = replace(state, damaged=months)
    assert state_from_json(json.loads(json.dumps(state_to_json(noted)))) == noted
    mended = any(run.coverage is not Coverage.SOME for run in state.staged)
    assert start(noted, saved).watermark == (start(state, saved).watermark if mended else None)
    assert mended or "damaged" in start(noted, saved).reason
    assert not_to_be_merged(noted, as_recorded(noted)) == set(months)


@laws
@given(
    state=st.none() | STATES,
    saved=SAVED,
    lake_id=st.sampled_from([LAKE, "lake-2"]),
    columns=st.sampled_from([TAGS.schema, OTHER]),
    published=PUBLISHED,
)
def test_a_full_refresh_reads_and_replaces_everything(
    state: TableState | None, saved: Watermark | None, lake_id: str, columns: TableSchema, published: dict[str, str]
) -> None:
    point = start(state, saved, Findings(published, {}), lake_id=lake_id, columns=columns, full_refresh=True)
    assert (point.watermark, point.replaces) == (None, True)


@laws
@given(saved=SAVED, published=PUBLISHED)
def test_a_saved_value_alone_is_worth_nothing(saved: Watermark | None, published: dict[str, str]) -> None:
    point = start(None, saved, Findings(published, {}))
    assert (point.watermark, point.replaces) == (None, False)


@laws
@given(state=STATES, saved=SAVED, other=st.text().filter(lambda text: text != LAKE), changed=st.booleans())
def test_the_record_of_another_lake_is_not_believed_and_replaces_nothing(
    state: TableState, saved: Watermark | None, other: str, changed: bool
) -> None:
    point = start(state, saved, lake_id=other, columns=OTHER if changed else TAGS.schema)
    assert (point.watermark, point.replaces) == (None, False)


@laws
@given(state=STATES, saved=SAVED, published=PUBLISHED)
def test_changed_columns_replace_the_table_whatever_lies_in_the_lake(
    state: TableState, saved: Watermark | None, published: dict[str, str]
) -> None:
    point = start(state, saved, Findings(published, {}), columns=OTHER)
    assert (point.watermark, point.replaces) == (None, True)


@laws
@given(state=STATES, saved=SAVED)
def test_a_text_that_is_declared_to_be_json_is_another_column(state: TableState, saved: Watermark | None) -> None:
    """Its Arrow type, and so the fingerprint, is the same: only records that name the kinds tell."""
    name, *others = TAGS.schema.fields
    declared = TableSchema((replace(name, kind=ColumnKind.JSON), *others))
    assert declared.fingerprint == TAGS.schema.fingerprint
    assert start(replace(state, columns=None), saved, columns=declared).replaces is False
    assert start(replace(state, columns=TAGS.schema), saved, columns=declared).replaces is True


@laws
@given(state=STATES, saved=SAVED)
def test_files_that_are_half_rewritten_have_to_be_replaced(state: TableState, saved: Watermark | None) -> None:
    point = start(replace(state, rewriting=ColumnMigration("v3", TEAMS.schema)), saved)
    assert (point.watermark, point.replaces) == (None, True)


@laws
@given(state=STATES, saved=SAVED, kept=MAYBE, after=MAYBE, near=st.none() | st.integers(-1, 1))
@example(state=TableState(LAKE, FINGERPRINT, watermark=9), saved=None, kept=5, after=None, near=None)
def test_a_history_that_is_to_begin_elsewhere_is_read_from_its_beginning(
    state: TableState, saved: Watermark | None, kept: int | None, after: int | None, near: int | None
) -> None:
    if near is not None and kept is not None:
        after = kept + near
    point = start(replace(state, history_from=kept), saved, history_from=after)
    assert not point.replaces
    if after == kept:
        assert point == start(state, saved)
    else:
        assert point.watermark is None
        assert "asked for from" in point.reason


@laws
@given(state=STATES, saved=SAVED, after=MAYBE)
def test_a_table_that_only_backfills_have_read_is_read_from_the_beginning(
    state: TableState, saved: Watermark | None, after: int | None
) -> None:
    point = start(replace(state, backfills_only=True), saved, history_from=after)
    assert (point.watermark, point.replaces) == (None, False)
    assert "end date" in point.reason


# -- where it leaves off ------------------------------------------------------------------------------------------


@laws
@given(previous=MAYBE, newest=MAYBE, run_start=SECONDS)
@example(previous=5, newest=9, run_start=3)
@example(previous=None, newest=9, run_start=3)
def test_a_watermark_never_goes_back_nor_ahead_of_the_run(
    previous: int | None, newest: int | None, run_start: int
) -> None:
    after = next_watermark(previous, newest, run_start)
    if newest is None:
        assert after == previous
        return
    assert after is not None
    assert previous is None or after >= previous
    assert after in (previous, newest, run_start)
    if after != previous:
        assert after <= run_start
        assert after <= newest
    if previous is None or previous < min(newest, run_start):
        assert after == min(newest, run_start)


@laws
@given(runs=st.lists(st.tuples(MAYBE, SECONDS), max_size=6), first=MAYBE)
def test_over_many_runs_a_watermark_only_rises(runs: list[tuple[int | None, int]], first: int | None) -> None:
    value = first
    for newest, run_start in runs:
        after = next_watermark(value, newest, run_start)
        assert value is None or (after is not None and after >= value)
        value = after


@laws
@given(state=STATES, saved=SAVED, newest=MAYBE, run_start=SECONDS)
def test_a_run_that_goes_on_from_a_watermark_never_moves_the_records_back(
    state: TableState, saved: Watermark | None, newest: int | None, run_start: int
) -> None:
    """However old Prefect's copy is, by which it begins; also where it was short, or a backfill (nothing seen)."""
    point = start(state, saved)
    after = watermark_after(point.watermark, state.watermark, newest, run_start)
    if point.watermark is not None:
        assert state.watermark is not None
        assert after is not None
        assert after >= state.watermark
        assert after == (state.watermark if newest is None else max(state.watermark, min(newest, run_start)))
    else:
        assert after == next_watermark(None, newest, run_start)
