"""A lake with everything that a report shows: hostile names, deleted rows that are marked, rejected records, runs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from intercom.api.traffic import Traffic
from intercom.lake.layout import TableFormat
from intercom.lake.run_summaries import RunSummaries
from intercom.sandbox import SandboxServer
from intercom.sandbox.records import Record
from intercom.sync.run import Run, RunRequest
from intercom.sync.run_summary import RunFacts, known_tables, run_summary
from intercom.sync.summary import TableResult
from intercom.verify.findings import Difference, Kind, Repair
from intercom.verify.report import Scope, as_json
from intercom.verify.tables import verify_table
from tests.support.results import table_result
from tests.support.rig import BY_DEFAULT, Rig
from tests.support.seeded import seeded_workspace

NOW: Final = 1_793_707_200  # 2026-11-03 12:00:00 UTC
MADE_AT: Final = datetime(2026, 11, 3, 14, 30, tzinfo=UTC)
SCRIPT: Final = "<script>alert('tag')</script>"
HOSTILE: Final = (
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "</svg></style><script>alert(2)</script>",
    "{{ 7 * 7 }} {% raw %}",
    "https://evil.example/x.js",
    "url(https://evil.example/x.png)",
    "a\x00b\x1bc\nd",
    "\u202egnp.exe\u2066",
    "\U0001f680" * 40,
    "名前" * 30,
    "w" * 300,
    "datum.value",
    "",
)
"""Names as a workspace might have them, to harm who looks at the page."""
TABLES: Final = (*BY_DEFAULT, "contact_tags", "tickets")


@contextmanager
def reported_lake(
    url: str, *, hostile: bool = True, table_format: TableFormat = TableFormat.PARQUET, **seeded: Any
) -> Iterator[Rig]:
    """A workspace, and its lake after two runs and a reconcile."""
    workspace = seeded_workspace(**{"now": NOW, "history_days": 240, "tickets": 30, **seeded})
    with SandboxServer(workspace) as server:
        rig = Rig(server, url, table_format=table_format, options={"deleted": "mark"})
        if hostile:
            _give_hostile_names(rig)
        _leave_summary(rig, rig.sync(TABLES), "run-a", MADE_AT - timedelta(hours=3))
        gone = rig.workspace.rows("contacts")[:7] + rig.workspace.rows("contacts")[40:43]
        for contact in gone:
            rig.workspace.delete("contacts", contact["id"])
        for conversation in rig.workspace.rows("conversations")[:9]:
            rig.workspace.update("conversations", conversation["id"], open=True, state="open", team_assignee_id=0)
        rig.workspace.travel(3600)
        rig.workspace.tables["companies"].put(Record("odd", NOW, NOW, b'{"updated_at": 1}'))
        for number in range(2):
            run = rig.reconcile(TABLES, full_refresh=False) if number else rig.sync(TABLES)
            _leave_summary(rig, run, f"run-{number}", MADE_AT - timedelta(hours=2 - number))
        _leave_verifications(rig)
        yield rig


def _leave_verifications(rig: Rig) -> None:
    """One of a table's files that found a difference, and the latest, of all tables, which found none."""
    lake = rig.lake()
    sound = [verify_table(lake, rig.connection, name) for name in ("contacts", "tags")]
    gone = Difference("tags", Kind.FILE_GONE, "data/acme/tags/data.parquet", "a file", "none", Repair.READ_TABLE)
    for hour, proofs in enumerate(([replace(sound[1], differences=(gone,))], sound)):
        at = MADE_AT - timedelta(hours=5 - hour)
        run: dict[str, Any] = {
            "run_id": "1",
            "connection": rig.connection,
            "lake": rig.lake_url,
            "started_at": at,
            "ended_at": at,
        }
        told = as_json(proofs, (), **run, scope=Scope() if hour else Scope(("tags",), asked_workspace=False))
        RunSummaries(lake, rig.connection, "verified").save(told, at, f"verify-{hour}")


def _give_hostile_names(rig: Rig) -> None:
    workspace = rig.workspace
    for table in ("tags", "teams"):
        for row, name in zip(workspace.rows(table), HOSTILE, strict=False):
            workspace.update(table, row["id"], name=name)
    for conversation, name in zip(workspace.rows("conversations"), HOSTILE * 4, strict=False):
        tags = [
            {"type": "tag", "id": "1", "name": one, "applied_at": NOW, "applied_by": None} for one in (name, SCRIPT)
        ]
        workspace.update("conversations", conversation["id"], tags={"type": "tag.list", "tags": tags})
    for contact, name in zip(workspace.rows("contacts")[20:], HOSTILE, strict=False):
        place = {"type": "location", "country": name, "region": None, "city": None}
        fields: dict[str, Any] = {"location": place, SCRIPT: name}
        workspace.update("contacts", contact["id"], **fields)


def _leave_summary(rig: Rig, run: Any, run_id: str, ended_at: datetime) -> None:
    results = [
        TableResult(name, ingested, compacted, 0.25) for name, (ingested, compacted) in run.items() if name in TABLES
    ]
    leave_summary(rig, results, run_id, ended_at)


def leave_summary(
    rig: Rig, results: Iterable[TableResult], run_id: str, ended_at: datetime, *, seconds: float = 40.0
) -> None:
    """Leave the summary of such a run, as flows do."""
    summaries = RunSummaries(rig.lake(), rig.connection)
    names = summaries.names()
    before = known_tables(summaries.read(names[-1])) if names else None
    began = ended_at - timedelta(seconds=seconds)
    run = Run(run_id, rig.connection, began, run_start=int(began.timestamp()))
    facts = RunFacts(run_id, rig.connection, rig.lake_url, tuple(TABLES), "auto", began, RunRequest(), run)
    made = run_summary(facts, list(results), ended_at=ended_at, lake_tables=before or ())
    summaries.save(made, ended_at, run_id)


def leave_history(rig: Rig, runs: int, seed: int = 7) -> None:
    """Summaries of hourly runs before those that the lake has, some of which failed."""
    chance = random.Random(seed)
    for back in range(runs, 0, -1):
        ended = MADE_AT - timedelta(hours=back + 3)
        busy = 1 + 2 * (8 <= ended.hour <= 18)
        new, changed = chance.randrange(3 * busy), chance.randrange(25 * busy)
        requests = 24 + changed // 3
        results = [
            table_result(
                "contacts", rows_read=new + changed, new=new, changed=changed, rows=1_000, seconds=requests / 4,
                traffic=Traffic(requests, int(chance.random() < 0.03), 90_000, 166, 0.0, requests / 4),
            )
        ]  # fmt: skip
        if chance.random() < 0.05:
            results.append(TableResult("conversations", failure="POST /conversations/search: status 503"))
        leave_summary(rig, results, f"hourly-{back}", ended, seconds=9 + requests / 4 + chance.random() * 6)
