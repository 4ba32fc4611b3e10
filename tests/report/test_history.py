"""Runs and verifications of a lake, by the summaries that are in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from intercom.lake.run_summaries import RunSummaries
from intercom.lake.storage import Lake
from intercom.report import history
from intercom.report.blocks import day, span
from intercom.report.facts import FIRST_REPLY, LakeFacts
from intercom.report.history import _verification, read_history
from intercom.report.overview import tiles
from intercom.report.runs import cut_at, sync_history
from intercom.report.tallies import WeeklyMedians

AT = datetime(2026, 11, 3, 12, tzinfo=UTC)


def test_a_run_is_the_sum_of_its_tables_with_its_share_of_the_allowance(tmp_path: Path) -> None:
    names = ("rows_read", "new", "changed", "removed", "requests", "throttled", "rejected")
    tables = [
        {"table": "contacts", **dict(zip(names, (7, 2, 1, 0, 4, 1, 2), strict=True))},
        {"table": "tags", **dict(zip(names, (5, 0, 0, 1, 1, 0, 0), strict=True))},
        {"table": "teams", **dict.fromkeys(names)},
    ]
    summary = {
        "version": 1, "ended_at": "2026-11-03T12:00:00Z", "kind": "sync", "state": "failed", "seconds": 12.5,
        "traffic": {"share": 0.25}, "tables": tables, "lake_tables": [{"table": "tags", "rows": 5}],
    }  # fmt: skip
    RunSummaries(Lake(str(tmp_path)), "acme").save(summary, AT, "run-1")
    found = read_history(Lake(str(tmp_path)), "acme")
    (run,) = found.runs
    assert (run.ended_at, run.kind, run.state, run.seconds, run.share) == (AT, "sync", "failed", 12.5, 0.25)
    assert [getattr(run, name) for name in names] == [12, 2, 1, 1, 5, 1, 2]
    assert found.tables["tags"]["rows"] == 5


def test_only_the_newest_runs_are_read_and_older_ones_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_RUNS", 3)
    summaries = RunSummaries(Lake(str(tmp_path)), "acme")
    for hour in range(5):
        at = AT + timedelta(hours=hour)
        summaries.save({"ended_at": at.isoformat(), "state": "completed"}, at, f"run-{hour}")
    found = read_history(Lake(str(tmp_path)), "acme")
    assert [run.ended_at.hour for run in found.runs] == [14, 15, 16]
    assert found.older == 2


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"ended_at": 5},
        {"ended_at": "2026-11-03T12:00:00Z", "tables": None, "traffic": [], "seconds": "x", "lake_tables": 7},
        {"ended_at": "2026-11-03T12:00:00", "tables": ["x", {"new": "many"}], "strangers": 5, "message": None},
    ],
)
def test_summaries_that_are_no_summaries_break_nothing(
    tmp_path: Path, damaged: dict[str, object], facts: LakeFacts
) -> None:
    for kind in ("runs", "verified"):
        RunSummaries(Lake(str(tmp_path)), "acme", kind).save(damaged, AT, "run-1")
    found = read_history(Lake(str(tmp_path)), "acme")
    assert len(found.runs) == len(found.verifications) == ("2026" in str(damaged.get("ended_at")))
    assert all(run.share is None and run.new is None for run in found.runs)


def test_every_run_has_a_line_the_latest_first(facts: LakeFacts) -> None:
    (figure,) = sync_history(facts).figures
    assert [row[0] for row in figure.numbers.rows] == ["2026-11-03 13:30", "2026-11-03 12:30", "2026-11-03 11:30"]
    first = figure.numbers.rows[-1]
    assert (first[4], first[5]) == tuple(f"{facts.history.runs[0].rows_read:,} {facts.history.runs[0].new:,}".split())
    assert first[10].endswith(" %")


def test_bars_are_cut_only_where_a_few_are_far_higher_than_all_others() -> None:
    assert cut_at([10.0] * 29 + [1000.0]) == 12.5
    assert cut_at([10.0] * 29 + [30.0]) is None
    assert cut_at([10.0] * 5 + [1000.0]) is None
    assert cut_at([0.0] * 29 + [1000.0]) is None
    assert cut_at([10.0] * 27 + [1000.0] * 3) is None


def test_the_tile_of_the_first_reply_is_of_a_week_that_is_over(facts: LakeFacts) -> None:
    weeks = facts.tables["conversations"].tallies["weeks"]
    assert isinstance(weeks, WeeklyMedians)
    assert date(2026, 11, 2) in weeks.medians[FIRST_REPLY]
    shown = {tile.title: tile for tile in tiles(facts)}
    tile = shown["First reply, median"]
    assert (tile.value, tile.told) == (
        span(weeks.medians[FIRST_REPLY][date(2026, 10, 26)]),
        f"begun in the week from {day(date(2026, 10, 26))}",
    )
    assert (shown["Verification"].value, shown["Verification"].mood) == ("proven", "good")


@pytest.mark.parametrize(
    ("chosen", "asked_workspace", "told"),
    [
        ((), True, ", all tables; compared with Intercom"),
        ((), False, ", all tables; files only"),
        (("contacts", "tags"), True, ", contacts and tags; compared with Intercom"),
        (("default", "tickets"), True, ", the default tables and tickets; compared with Intercom"),
        (("contacts", "tags", "teams", "admins"), False, ", 4 tables; files only"),
        ((), None, " ago"),  # a summary of an earlier version does not say
    ],
)
def test_the_tile_of_the_verification_says_how_much_it_covers(
    facts: LakeFacts, chosen: tuple[str, ...], asked_workspace: bool | None, told: str
) -> None:
    latest = replace(facts.history.verifications[-1], chosen=chosen, asked_workspace=asked_workspace)
    changed = replace(facts, history=replace(facts.history, verifications=(latest,)))
    (tile,) = [tile for tile in tiles(changed) if tile.title == "Verification"]
    assert tile.told.endswith(told)


def test_a_verification_that_left_all_its_tables_out_has_proven_nothing() -> None:
    entry = {"table": "tickets", "proven": False, "skipped": "the lake has nothing of it", "differences": []}
    found = _verification({"ended_at": "2026-11-03T12:00:00Z", "ok": True, "tables": [entry]})
    assert found is not None
    assert (found.result, found.notes) == ("nothing to verify", ("tickets: the lake has nothing of it",))


def test_the_tile_of_the_verification_counts_differences(facts: LakeFacts) -> None:
    one = ("tags", "x")
    for differences, value in (((), "not proven"), ((one,), "1 difference"), ((one, one), "2 differences")):
        latest = replace(facts.history.verifications[-1], ok=False, differences=differences)
        changed = replace(facts, history=replace(facts.history, verifications=(latest,)))
        (tile,) = [tile for tile in tiles(changed) if tile.title == "Verification"]
        assert (tile.value, tile.mood) == (value, "bad")
