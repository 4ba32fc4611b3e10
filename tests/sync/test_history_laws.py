"""What a run's start date makes of a table's history, for any records and runs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from intercom.errors import ConfigurationError
from intercom.lake.findings import Findings
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition
from intercom.lake.state_json import state_from_json, state_to_json
from intercom.lake.watermark import Watermark
from intercom.sync.history import begins_before, from_day
from intercom.sync.plan import ReadPlan, plan_read
from intercom.sync.run import ALL, Run
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table
from tests.support.effort import effort

SECONDS = st.integers(0, 12)
"""Few, so that they meet; the lookback is far longer, so it is taken out of what is read where that matters."""
MARKS = st.integers(20_000, 20_012)
MAYBE = st.none() | SECONDS
STARTS = MAYBE | st.just(ALL)
MERGED = st.sampled_from([TABLES[name] for name in ("contacts", "companies", "conversations", "articles")])
AT = datetime(2026, 1, 1, tzinfo=UTC)

laws = settings(max_examples=effort(60, 2000))


@st.composite
def records(draw: st.DrawFn, table: Table) -> tuple[TableState, Findings]:
    """A record of a table that has rows, published or waiting, and what of them is still in the lake."""
    published = draw(st.booleans())
    state = TableState(
        "lake-1",
        table.schema.fingerprint,
        watermark=draw(st.none() | MARKS),
        history_from=draw(MAYBE),
        partitions={"2026-01": Partition(5, "v1", "1:1"), "2026-02": Partition(5, "v1", "2:2")} if published else {},
        staged=() if published else (StagedRun("before.1", 2, Coverage.WHOLE),),
        columns=draw(st.sampled_from([None, table.schema])),
    )
    gone = published and draw(st.booleans())
    return state, Findings(
        {month: entry.stamp for month, entry in state.partitions.items() if month != "2026-01" or not gone},
        {run.attempt: run.parts for run in state.staged},
    )


def a_run(asked: int | Literal["all"] | None, *, full_refresh: bool = False, until: int | None = None) -> Run:
    return Run("run-1", "acme", AT, 30_000, full_refresh=full_refresh, history_from=asked, until=until)


def saved_as(value: int | None) -> Watermark | None:
    return None if value is None else Watermark("acme", "contacts", "lake-1", "", "updated_at", value, "", 1, AT)


def planned(
    table: Table, run: Run, state: TableState | None, findings: Findings, saved: int | None = None
) -> ReadPlan | None:
    """The plan; None where the start date was refused."""
    try:
        return plan_read(table, run, state, findings, saved_as(saved), "lake-1")
    except ConfigurationError:
        return None


@laws
@given(data=st.data(), table=MERGED, asked=STARTS, full_refresh=st.booleans(), saved=st.none() | MARKS)
def test_the_history_of_a_table_with_rows_never_shrinks(
    data: st.DataObject, table: Table, asked: int | Literal["all"] | None, full_refresh: bool, saved: int | None
) -> None:
    """It is refused exactly where it would; else it begins where it is asked for, or where it began."""
    state, findings = data.draw(records(table))
    plan = planned(table, a_run(asked, full_refresh=full_refresh), state, findings, saved)
    wanted = state.history_from if asked is None else None if asked == ALL else asked
    if plan is None:
        assert begins_before(state.history_from, wanted)
    else:
        assert plan.history_from == wanted
        assert not begins_before(state.history_from, plan.history_from)


@laws
@given(
    data=st.data(),
    table=MERGED,
    asked=STARTS,
    full_refresh=st.booleans(),
    saved=st.none() | MARKS,
    second=SECONDS | MARKS | st.integers(20_000 - 3_700, 20_012),
)
def test_what_is_read_and_what_is_there_cover_the_history_after_the_run(
    data: st.DataObject,
    table: Table,
    asked: int | Literal["all"] | None,
    full_refresh: bool,
    saved: int | None,
    second: int,
) -> None:
    """What is there: from where the history began up to the watermark, as long as no file is missing."""
    state, findings = data.draw(records(table))
    plan = planned(table, a_run(asked, full_refresh=full_refresh), state, findings, saved)
    assume(plan is not None)
    assert plan is not None
    assume(plan.history_from is None or second >= plan.history_from)
    sound = len(findings.published) == len(state.partitions) and not full_refresh
    mark = None if state.watermark is None else min(state.watermark, saved or state.watermark)
    there = sound and mark is not None and second < mark and not begins_before(second, state.history_from)
    assert plan.window.holds(second) or there


@laws
@given(data=st.data(), table=MERGED, asked=STARTS, end=SECONDS, begun=st.booleans())
def test_a_run_with_an_end_reads_its_range_and_changes_no_history(
    data: st.DataObject, table: Table, asked: int | Literal["all"] | None, end: int, begun: bool
) -> None:
    state, findings = data.draw(records(table))
    plan = planned(table, a_run(asked, until=end), replace(state, backfills_only=not begun), findings)
    assert plan is not None
    assert (plan.window.start, plan.window.end) == (None if asked == ALL else asked, end)
    assert plan.history_from == (state.history_from if begun else None)
    assert not plan.repairs


@laws
@given(
    data=st.data(), table=MERGED, asked=STARTS, full_refresh=st.booleans(), kind=st.sampled_from(["none", "backfills"])
)
def test_a_table_without_a_history_takes_the_start_date_as_its_first(
    data: st.DataObject, table: Table, asked: int | Literal["all"] | None, full_refresh: bool, kind: str
) -> None:
    """It has no record, or backfills alone have copied rows, which need not lie in the history."""
    state, findings = data.draw(records(table))
    known = None if kind == "none" else replace(state, watermark=None, backfills_only=True)
    plan = planned(table, a_run(asked, full_refresh=full_refresh), known, findings)
    assert plan is not None
    assert plan.history_from == plan.window.start == (None if asked in (None, ALL) else asked)
    assert plan.start.watermark is None


@laws
@given(
    table=MERGED, kept=MAYBE, asked=STARTS, mark=st.none() | MARKS, recorded=st.booleans(), full_refresh=st.booleans()
)
@example(TABLES["contacts"], None, 5, 20_000, True, False)
def test_a_table_whose_files_are_all_gone_takes_any_start_date(
    table: Table,
    kept: int | None,
    asked: int | Literal["all"] | None,
    mark: int | None,
    recorded: bool,
    full_refresh: bool,
) -> None:
    """No row would have to go; fewer rows than there were are not doubted then."""
    partitions = {"2026-01": Partition(5, "v1", "1:1")} if recorded else {}
    state = TableState("lake-1", table.schema.fingerprint, watermark=mark, history_from=kept, partitions=partitions)
    plan = planned(table, a_run(asked, full_refresh=full_refresh), state, Findings({}, {}))
    assert plan is not None
    assert plan.history_from == (kept if asked is None else None if asked == ALL else asked)
    if plan.history_from != kept:
        assert plan.start.watermark is None
        assert plan.window.start == plan.history_from
    if begins_before(kept, plan.history_from):
        assert not plan.repairs


@laws
@given(data=st.data(), table=MERGED, asked=STARTS)
def test_a_read_of_more_is_doubted_only_where_files_are_missing(
    data: st.DataObject, table: Table, asked: int | Literal["all"] | None
) -> None:
    """Rows that a backfill has copied may well be missing from it."""
    state, findings = data.draw(records(table))
    plan = planned(table, a_run(asked), state, findings)
    assume(plan is not None)
    assert plan is not None
    gone = len(findings.published) < len(state.partitions)
    again = plan.start.watermark is None and plan.history_from == state.history_from
    assert plan.repairs == (state.rows > 0 and (gone or again))


@laws
@given(asked=STARTS, kept=MAYBE, full_refresh=st.booleans(), until=MAYBE)
def test_a_table_without_a_cursor_field_has_no_history_to_limit(
    asked: int | Literal["all"] | None, kept: int | None, full_refresh: bool, until: int | None
) -> None:
    assume(not (full_refresh and until is not None))
    tags = TABLES["tags"]
    for state in (None, TableState("lake-1", tags.schema.fingerprint, history_from=kept, columns=tags.schema)):
        plan = planned(tags, a_run(asked, full_refresh=full_refresh, until=until), state, Findings({"": "1:1"}, {}))
        assert plan is not None
        assert plan.history_from == (state.history_from if state else None)
        assert (plan.window.start, plan.window.end) == (None, None)


@laws
@given(data=st.data(), table=MERGED, only=st.booleans())
def test_a_record_says_whether_its_history_has_begun_and_an_old_one_has(
    data: st.DataObject, table: Table, only: bool
) -> None:
    state = replace(data.draw(records(table))[0], backfills_only=only)
    record = json.loads(json.dumps(state_to_json(state)))
    assert state_from_json(record) == state
    del record["backfills_only"]
    assert state_from_json(record) == replace(state, backfills_only=False)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (None, "from the beginning"),
        (1_777_593_600, "from 2026-05-01 on"),
        (1_777_593_601, "from 2026-05-01 00:00:01 on"),
        (-86_400, "from 1969-12-31 on"),
    ],
)
def test_where_a_history_begins_is_told_by_the_day(second: int | None, words: str) -> None:
    assert from_day(second) == words
