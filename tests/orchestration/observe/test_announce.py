"""Which tables of a run Prefect is told of, and that nothing that goes wrong there ends a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from intercom.orchestration.job import Job
from intercom.orchestration.observe import announce as module
from intercom.orchestration.observe.announce import announce_run, announce_table
from intercom.sync.run import Run
from intercom.sync.summary import TableResult
from tests.support.results import table_result

RUN = Run("run", "acme", datetime(2026, 11, 3, tzinfo=UTC), run_start=1_793_707_200)
TABLES = [
    table_result("contacts", rows=5, waiting=2),
    table_result("companies", rows=4, files=1, complete=False, notes=("companies: 4 of 9 rows",)),
    table_result("tags", rows=3),
    table_result("segments", rows=2, earlier_try=True),
    table_result("admins", rows=2, files=1, earlier_try=True),
]


@dataclass
class Told:
    """What would have reached Prefect, by kind; a kind in `broken` raises."""

    synced: list[str] = field(default_factory=list)
    materialized: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    broken: tuple[str, ...] = ()
    outdated: dict[UUID, str] = field(default_factory=dict)

    def note(self, kind: str, table: TableResult) -> None:
        if kind in self.broken:
            raise RuntimeError(f"no {kind}\nand much more")
        getattr(self, kind).append(table.table)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Prefect's edge, replaced: a server that does not want what it is told is in the integration tests."""
    told = Told()

    def keep_artifacts(
        job: Job, tables: Sequence[TableResult], summary: Mapping[str, Any], outdated: Mapping[UUID, str]
    ) -> None:
        told.outdated = dict(outdated)
        for table in tables:
            told.note("artifacts", table)

    monkeypatch.setattr(module, "synced", lambda job, table: told.note("synced", table))
    monkeypatch.setattr(module, "materialized", lambda job, table: told.note("materialized", table))
    monkeypatch.setattr(module, "keep_artifacts", keep_artifacts)
    return told


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("run", "acme", str(tmp_path), tuple(table.table for table in TABLES), run=RUN)


def announce(job: Job) -> None:
    for table in TABLES:
        announce_table(job, table)
    announce_run(job, TABLES, {})


def test_what_is_read_whole_is_synced_and_what_is_merged_is_an_asset(told: Told, job: Job) -> None:
    """What only an earlier try has done was told then."""
    announce(job)
    assert told.synced == ["contacts", "tags", "admins"]
    assert told.materialized == ["companies", "tags", "admins"]
    assert told.artifacts == [table.table for table in TABLES]


def test_a_backfill_syncs_nothing(told: Told, job: Job) -> None:
    announce(replace(job, run=replace(RUN, until=1_793_000_000)))
    assert told.synced == []
    assert told.materialized == ["companies", "tags", "admins"]


def test_a_merge_makes_what_it_writes(told: Told, job: Job) -> None:
    announce(replace(job, run=None))
    assert told.synced == []
    assert told.materialized == ["companies", "admins"]


@pytest.mark.parametrize("broken", ["synced", "materialized", "artifacts"])
def test_what_goes_wrong_is_a_warning_and_the_rest_is_told(
    told: Told, job: Job, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    told.broken = (broken,)
    announce_table(job, TABLES[2])
    announce_run(job, TABLES, {})
    assert [kind for kind in ("synced", "materialized", "artifacts") if not getattr(told, kind)] == [broken]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"RuntimeError: no {broken}" in record.getMessage()
    assert "much more" not in record.getMessage()


@pytest.mark.parametrize("failure", [None, "status 403"])
def test_progress_goes_when_the_run_ends_well_and_stays_when_it_failed(
    told: Told, job: Job, monkeypatch: pytest.MonkeyPatch, failure: str | None
) -> None:
    made = {uuid4(): "intercom-acme-contacts-progress"}
    monkeypatch.setattr(module, "progress_artifacts", lambda run_id: made if run_id == job.run_id else {})
    announce_run(job, [TableResult("contacts", failure=failure)], {})
    assert told.outdated == ({} if failure else made)
