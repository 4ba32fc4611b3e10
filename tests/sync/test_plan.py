"""What a run reads of a table, planned from plain values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from intercom.config.lookback import Lookback
from intercom.errors import ConfigurationError
from intercom.extract.windows import Window
from intercom.lake.findings import Findings
from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition
from intercom.lake.watermark import Watermark
from intercom.sync.plan import ReadPlan, plan_read
from intercom.sync.run import Run
from intercom.sync.start import StartingPoint
from intercom.tables.catalogue import TABLES

CONTACTS, TAGS = TABLES["contacts"], TABLES["tags"]
RUN = Run("run-1", "acme", datetime(2026, 2, 1, tzinfo=UTC), run_start=10_000)
RECORD = TableState(
    "lake-1",
    CONTACTS.schema.fingerprint,
    watermark=9_000,
    run_id="before",
    partitions={"2026-01": Partition(1, "v1", "1:1")},
    columns=CONTACTS.schema,
)
LIES_THERE = Findings({"2026-01": "1:1"}, {})


def plan(run: Run, state: TableState | None = RECORD, findings: Findings = LIES_THERE) -> ReadPlan:
    return plan_read(CONTACTS, run, state, findings, None, "lake-1")


def test_a_table_without_a_record_is_read_from_the_start_date() -> None:
    planned = plan(replace(RUN, history_from=500), None, Findings({}, {}))
    start = StartingPoint(None, "the lake has no record of this table")
    assert planned == ReadPlan(None, start, Window(500), 500, "lake-1", committed=False)


def test_what_is_new_is_read_from_a_little_before_the_watermark() -> None:
    start = StartingPoint(9_000, "incremental")
    window = Window(9_000 - 3_600)
    assert plan(RUN) == ReadPlan(RECORD, start, window, None, "lake-1", committed=False, before=9_000, sound=True)


def test_a_table_may_have_a_lookback_of_its_own() -> None:
    lookback = Lookback(1_000, (("contacts", 5_000),))
    assert plan(replace(RUN, lookback=lookback)).window == Window(4_000)
    assert plan(replace(RUN, lookback=replace(lookback, of_tables=()))).window == Window(8_000)


def test_a_lookback_ends_where_the_history_of_the_table_begins() -> None:
    """Rows that changed before it are not copied by the first run, so no later one may bring them."""
    begun = replace(RECORD, history_from=8_500)
    assert plan(RUN, begun).window == Window(8_500)
    assert plan(replace(RUN, lookback=Lookback(100)), begun).window == Window(8_900)


def test_the_watermark_before_is_told_also_where_all_is_read_again() -> None:
    older = Watermark("acme", "contacts", "lake-1", "", "updated_at", 8_000, "run", 1, datetime.now(UTC))
    refreshed = plan_read(CONTACTS, replace(RUN, full_refresh=True), RECORD, LIES_THERE, older, "lake-1")
    assert (refreshed.start.watermark, refreshed.before) == (None, 8_000)
    assert plan(replace(RUN, history_from=500), replace(RECORD, history_from=900)).before == 9_000
    assert plan(replace(RUN, until=900)).before == 9_000


@pytest.mark.parametrize("state", [None, replace(RECORD, lake_id="another"), replace(RECORD, watermark=None)])
def test_where_no_watermark_counted_there_was_none_before(state: TableState | None) -> None:
    assert plan(replace(RUN, full_refresh=True), state).before is None


def test_a_watermark_that_speaks_of_files_that_are_gone_does_not_count() -> None:
    assert plan(RUN, RECORD, Findings({}, {})).before is None


def test_a_range_is_read_whatever_the_watermark_says() -> None:
    assert plan(replace(RUN, history_from=500, until=900)).window == Window(500, 900)
    assert plan(replace(RUN, history_from="all", until=900)).window == Window(None, 900)


def test_a_list_has_no_window() -> None:
    state = replace(RECORD, fingerprint=TAGS.schema.fingerprint, columns=TAGS.schema, watermark=None)
    assert plan_read(TAGS, replace(RUN, history_from=500), state, LIES_THERE, None, "lake-1").window == Window()


@pytest.mark.parametrize(
    ("change", "committed"),
    [({}, True), ({"complete": False}, False), ({"refused": "why"}, False), ({"run_id": "another"}, False)],
)
def test_a_run_that_is_tried_again_reads_only_what_it_has_not_committed(
    change: dict[str, object], committed: bool
) -> None:
    state = replace(RECORD, **{"run_id": "run-1", **change})  # type: ignore[arg-type]
    assert plan(RUN, state).committed is committed
    assert plan(RUN, state, Findings({}, {})).committed is False


def test_a_run_with_an_end_cannot_write_a_table_anew() -> None:
    with pytest.raises(ConfigurationError, match="Run without an end date first"):
        plan(replace(RUN, until=900), replace(RECORD, columns=TAGS.schema))
