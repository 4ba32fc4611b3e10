"""Which tables of a run Prefect is told of, and that nothing that goes wrong there ends a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intercom import announce as module
from intercom.announce import announce
from intercom.commit import Run
from intercom.job import Job
from intercom.summary import TableSummary

RUN = Run("run", "acme", datetime(2026, 11, 3, tzinfo=UTC), run_start=1_793_707_200)
TABLES = [
    TableSummary("contacts", rows=5, waiting=2),
    TableSummary("companies", rows=4, complete=False, notes=("companies: 4 of 9 rows",)),
    TableSummary("tags", rows=3),
    TableSummary("teams", error="401"),
]


@dataclass
class Told:
    """What would have reached Prefect, by kind; a kind in `broken` raises."""

    synced: list[str] = field(default_factory=list)
    materialized: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    broken: tuple[str, ...] = ()

    def note(self, kind: str, table: TableSummary) -> None:
        if kind in self.broken:
            raise RuntimeError(f"no {kind}\nand much more")
        getattr(self, kind).append(table.table)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Prefect's edge, replaced: a server that does not want what it is told is in the integration tests."""
    told = Told()

    def keep_artifacts(job: Job, lake: str, tables: Sequence[TableSummary]) -> None:
        for table in tables:
            told.note("artifacts", table)

    monkeypatch.setattr(module, "synced", lambda job, lake, table: told.note("synced", table))
    monkeypatch.setattr(module, "materialized", lambda job, lake, table: told.note("materialized", table))
    monkeypatch.setattr(module, "keep_artifacts", keep_artifacts)
    return told


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("run", "acme", str(tmp_path), tuple(table.table for table in TABLES), run=RUN)


def test_what_is_read_whole_is_synced_and_what_is_merged_is_an_asset(told: Told, job: Job) -> None:
    announce(job, TABLES)
    assert told.synced == ["contacts", "tags"]
    assert told.materialized == ["companies", "tags"]
    assert told.artifacts == ["contacts", "companies", "tags", "teams"]


@pytest.mark.parametrize("run", [None, replace(RUN, until=1_793_000_000)], ids=["merge", "backfill"])
def test_a_run_that_does_not_ask_for_what_is_new_syncs_nothing(told: Told, job: Job, run: Run | None) -> None:
    announce(replace(job, run=run), TABLES)
    assert told.synced == []
    assert told.materialized == ["companies", "tags"]


@pytest.mark.parametrize("broken", [("synced",), ("materialized",), ("artifacts",), ("synced", "artifacts")])
def test_what_goes_wrong_is_one_warning_and_the_rest_is_told(
    told: Told, job: Job, caplog: pytest.LogCaptureFixture, broken: Any
) -> None:
    told.broken = broken
    announce(job, TABLES)
    assert [kind for kind in ("synced", "materialized", "artifacts") if not getattr(told, kind)] == list(broken)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for kind in broken:
        assert f"RuntimeError: no {kind}" in record.getMessage()
    assert "much more" not in record.getMessage()


def test_a_lake_that_cannot_be_opened_any_more_is_a_warning_too(
    told: Told, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    announce(replace(job, lake="nosuch://lake"), TABLES)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
