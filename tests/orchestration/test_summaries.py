"""The summaries that runs leave in the lake, one after the other; what goes wrong with them fails no run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from intercom.compaction.policy import CompactionMode
from intercom.errors import ConfigurationError, LakeError
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.run_summaries import RunSummaries
from intercom.lake.storage import Lake
from intercom.orchestration.finish import finish
from intercom.orchestration.job import Job, holding_tables
from intercom.orchestration.summaries import leave_summary, leaving_summary
from intercom.sync.run import Run, RunRequest
from intercom.sync.run_summary import RunFacts
from tests.support.results import table_result
from tests.support.rig import CONNECTION, Rig

NOW = datetime.now(UTC)
RUN = Run("run", CONNECTION, NOW, run_start=int(NOW.timestamp()))
FACTS = RunFacts("run", CONNECTION, "./lake", ("tags",), "auto", NOW, RunRequest(), RUN)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def left(lake: Lake) -> list[dict[str, Any]]:
    """All summaries in the lake, the oldest first."""
    summaries = RunSummaries(lake, CONNECTION)
    return [summaries.read(name) or {} for name in summaries.names()]


def test_what_is_given_is_what_lies_in_the_lake(lake: Lake) -> None:
    made = leave_summary(lambda: lake, FACTS, [table_result("tags", rows=3)])
    assert left(lake) == [made]
    assert made["lake"] == lake.url
    assert made["pruned_on"] == made["ended_at"][:10]


def test_before_the_first_summary_the_tables_own_records_tell(make_rig: Callable[..., Rig]) -> None:
    """Of the tables that have one; later runs take over what the summary before says."""
    rig = make_rig(contacts=40)
    rig.sync(["contacts", "teams"])
    made = leave_summary(rig.lake, FACTS, [table_result("tags", rows=3)])
    rows = {entry["table"]: entry["rows"] for entry in made["lake_tables"]}
    assert rows == {"contacts": 40, "tags": 3, "teams": len(rig.workspace.rows("teams"))}
    rig.lake().delete([f"_state/{CONNECTION}/contacts.json"])
    time.sleep(1.1)  # names are as fine as a second
    later = leave_summary(rig.lake, replace(FACTS, run_id="later"), [])
    assert later["lake_tables"] == made["lake_tables"]
    assert len(left(rig.lake())) == 2


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=1000)], ids=["right", "years ahead"])
def test_old_summaries_go_by_intercoms_clock_once_a_day(
    lake: Lake, ahead: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this machine's clock says."""
    summaries = RunSummaries(lake, CONNECTION)
    for days in (500, 399):
        summaries.save({"days": days}, NOW - timedelta(days=days), "old")
    facts = replace(FACTS, run=replace(RUN, started_at=NOW + ahead), started_at=NOW + ahead)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + ahead

    monkeypatch.setattr("intercom.orchestration.summaries.datetime", Clock)
    leave_summary(lambda: lake, facts, [])
    assert [found.get("days") for found in left(lake)] == [399, None]
    summaries.save({}, NOW - timedelta(days=700), "restored from a backup")
    leave_summary(lambda: lake, replace(facts, run_id="same day"), [])
    assert len(left(lake)) == 4


@pytest.mark.parametrize("run", [None, replace(RUN, doubt=86_400)], ids=["a compaction", "no Date header"])
def test_where_intercom_does_not_tell_the_time_nothing_goes(lake: Lake, run: Run | None) -> None:
    RunSummaries(lake, CONNECTION).save({}, NOW - timedelta(days=5000), "old")
    made = leave_summary(lambda: lake, replace(FACTS, run=run), [])
    assert len(left(lake)) == 2
    assert made["pruned_on"] is None


def test_a_day_that_begins_with_a_compaction_is_pruned_all_the_same(lake: Lake) -> None:
    RunSummaries(lake, CONNECTION).save({}, NOW - timedelta(days=5000), "old")
    leave_summary(lambda: lake, replace(FACTS, run=None), [])
    leave_summary(lambda: lake, replace(FACTS, run_id="sync"), [])
    assert len(left(lake)) == 2


def refuses(what: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise LakeError(f"Cannot {what}")

    return refuse


@pytest.mark.parametrize("fails", ["newest", "prune", "save"])
def test_whatever_goes_wrong_is_one_warning_and_the_summary_is_given(
    lake: Lake, fails: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(RunSummaries, fails, refuses(fails))
    made = leave_summary(lambda: lake, FACTS, [table_result("tags", rows=3)])
    assert made["tables"][0]["rows"] == 3
    assert len(left(lake)) == (fails != "save")
    (record,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert f"Cannot {fails}" in record.getMessage()


def test_a_lake_that_cannot_be_opened_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    made = leave_summary(refuses("open"), FACTS, [])
    assert made["state"] == "completed"
    assert len(caplog.records) == 1


def test_a_run_that_cannot_begin_leaves_a_summary_where_the_connection_is_known(lake: Lake) -> None:
    with pytest.raises(ConfigurationError), leaving_summary(lambda: lake, FACTS):
        raise ConfigurationError("a mistyped name")
    assert lake.list("") == {}
    leave_summary(lambda: lake, FACTS, [])
    failing = replace(FACTS, run_id="failing", run=None)
    with pytest.raises(ConfigurationError), leaving_summary(lambda: lake, failing):
        raise ConfigurationError("no token")
    with pytest.raises(KeyboardInterrupt), leaving_summary(lambda: lake, FACTS):
        raise KeyboardInterrupt
    good, failed = sorted(left(lake), key=lambda found: str(found["state"]))
    assert (good["state"], failed["state"], failed["message"]) == ("completed", "failed", "no token")
    assert (failed["run_id"], failed["lake"]) == ("failing", lake.url)
    assert [(one["table"], one["error"]) for one in failed["tables"]] == [(name, "no token") for name in FACTS.tables]
    assert {one["table"]: one["last_error"] for one in failed["lake_tables"]} == dict.fromkeys(FACTS.tables, "no token")


def test_a_run_that_cannot_have_its_tables_leaves_a_summary_beside_that_of_the_run_that_has_them(lake: Lake) -> None:
    lake.write_json(f"_state/{CONNECTION}/tags.json", {})
    job = Job("second", CONNECTION, lake.url.removeprefix("file://"), ("tags",), CompactionMode.ALWAYS)
    with TableLocks(lake, CONNECTION, ["tags"], "first"), pytest.raises(LakeError), holding_tables(job):
        raise AssertionError
    (found,) = left(lake)
    assert (found["run_id"], found["flow"], found["state"]) == ("second", "intercom-compact", "failed")
    assert "already running since" in found["message"]


def test_the_end_of_a_run_leaves_one_summary_and_shows_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("intercom.orchestration.finish.announce_run", lambda *told: shown.append(told[-1]))
    job = Job("run", CONNECTION, lake.url.removeprefix("file://"), (), CompactionMode.ALWAYS, lake_url=lake.url)
    with holding_tables(job) as held:
        state = finish(held, {})
    assert state.is_completed()
    assert left(lake) == shown
    assert json.dumps(shown[0])
