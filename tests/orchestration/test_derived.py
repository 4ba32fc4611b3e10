"""Derived tables in a run with Prefect: they wait for their parents, and outlive a parent that fails."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intercom.errors import NoParentError
from intercom.orchestration.job import Job
from intercom.orchestration.tasks import sync_table
from intercom.sync.run import Run
from tests.support.prefect_server import Prefect
from tests.support.rig import CONNECTION, Rig

TABLES = ("contacts", "contact_tags", "team_admins")


@pytest.fixture
def shell(prefect: Prefect, rig: Rig, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    file = rig.connections_file(tmp_path)

    def run(flow: str, *options: str) -> subprocess.CompletedProcess[str]:
        return prefect.run(
            f"flows/{flow}.py", "--connection", CONNECTION, "--lake", rig.lake_url, *options,
            *(["--connections-file", str(file)] if flow == "sync" else []), INTERCOM_ACCESS_TOKEN=rig.server.token,
        )  # fmt: skip

    return run


def test_a_table_is_skipped_with_its_parent_unless_it_was_named(rig: Rig) -> None:
    now = datetime.now(UTC)
    run = Run(run_id="run", connection=CONNECTION, started_at=now, run_start=int(now.timestamp()))
    job = Job("run", CONNECTION, rig.lake_url, ("tickets", "ticket_parts"), run=run)
    skipped = sync_table.fn("ticket_parts", job).skipped
    assert skipped is not None
    assert skipped.startswith("skipped: ticket_parts is made from tickets, of which the lake")
    with pytest.raises(NoParentError, match="Sync tickets into it"):
        sync_table.fn("ticket_parts", replace(job, named=frozenset({"ticket_parts", "tickets"})))


@pytest.mark.slow
def test_derived_tables_follow_their_parents_through_runs_that_fail_wait_and_merge(
    rig: Rig, shell: Callable[..., Any]
) -> None:
    tables = ("--tables", ",".join(TABLES))
    first = shell("sync", *tables)
    assert first.returncode == 0, first.stderr
    rig.check(TABLES)
    assert "teams is selected, too: team_admins is made from its rows in the lake" in first.stderr + first.stdout
    rig.workspace.travel(7200)
    contact = next(row for row in rig.workspace.rows("contacts") if len(row["tags"]["data"]) > 1)
    kept = contact["tags"]["data"][:1]
    rig.workspace.update("contacts", contact["id"], tags={**contact["tags"], "data": kept, "total_count": 1})
    rig.server.fail("/contacts/search", status=403, times=9)
    failed = shell("sync", *tables, "--json")
    assert failed.returncode == 1
    told = {one["table"]: one for one in json.loads(failed.stdout)["tables"]}
    assert (told["contacts"]["status"], told["contact_tags"]["status"]) == ("failed", "synced")
    assert "this run has not brought contacts up to date" in told["contact_tags"]["hints"][0]
    assert (told["contact_tags"]["requests"], told["contact_tags"]["reason"]) == (0, "made of contacts in the lake")
    rig.server.clear_faults()
    waiting = shell("sync", *tables, "--compact", "never")
    assert waiting.returncode == 0, waiting.stderr
    merged = shell("compact")
    assert merged.returncode == 0, merged.stderr
    rig.check(TABLES)
