"""The page on events and summaries names each member of them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from intercom.orchestration.observe.events import SYNCED, facts
from intercom.sync.run_summary import RunFacts, run_summary
from intercom.verify.findings import TableProof
from intercom.verify.report import Scope, as_json
from tests.support.markdown import DOCS, section
from tests.support.results import table_result

PAGE = (DOCS / "reference" / "events.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 30, tzinfo=UTC)
TABLE = table_result("contacts", rows_read=1)


def unnamed(members: Any, heading: str) -> list[str]:
    text = section(PAGE, heading)
    return [name for name in members if f"`{name}`" not in text]


def test_the_event() -> None:
    job: Any = SimpleNamespace(connection="acme", lake_url="./lake", run_id="1")
    assert SYNCED in section(PAGE, "The event")
    assert unnamed(facts(job, TABLE), "The event") == []


def test_the_summary_of_a_run_and_its_tables() -> None:
    summary = run_summary(RunFacts("1", "acme", "./lake", ("contacts",), "auto", NOW), [TABLE], ended_at=NOW)
    assert unnamed(summary, "The summary of a run") == []
    for name in ("asked", "traffic"):
        assert unnamed(summary[name], "The summary of a run") == []
    assert unnamed(summary["tables"][0], "An entry of tables") == []
    before = run_summary(
        RunFacts("1", "acme", "./lake", (), "auto", NOW), [], ended_at=NOW, lake_tables=[{"table": "contacts"}]
    )
    assert unnamed(before["lake_tables"][0], "An entry of lake_tables") == []


def test_the_result_of_a_verification() -> None:
    run: dict[str, Any] = {"run_id": "1", "connection": "acme", "lake": "./lake", "started_at": NOW, "ended_at": NOW}
    told = as_json([TableProof("contacts")], [], **run, scope=Scope())
    assert unnamed([*told, *told["tables"][0]], "The result of a verification") == []
