"""Findings about the lake: what its store can do, runs that hold its tables, and whose tables they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from intercom.api.workspace import Workspace
from intercom.cli.checks.findings import Finding, Verdict, fault
from intercom.errors import IntercomLakeError
from intercom.lake.layout import TablePaths
from intercom.lake.locks.holders import Holder, holders_of
from intercom.lake.storage import Lake
from intercom.lake.trial import try_store
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table


def lake_findings(lake: Lake, connection: str) -> list[Finding]:
    """Whether the lake can be used, whether its store keeps two writers apart, and which runs hold tables now."""
    try:
        identity = lake.known_identity()
        trial = try_store(lake)
        holders = holders_of(lake, connection, TABLES)
    except IntercomLakeError as error:
        return [fault("lake", error, url=lake.url)]
    kind = f"lake {identity.id[:8]}" if identity else "a new lake, which the first run creates"
    detail = f"{lake.url}, {kind}: files can be written, listed, read and deleted"
    facts = {"url": lake.url, "id": identity.id if identity else None}
    findings = [Finding("lake", Verdict.OK, detail, facts=facts)]
    if trial.exclusively is not None:
        cure = "Two runs are not kept apart: keep the concurrency limit of 1 on every deployment that writes to it."
        detail = f"the store does not create files exclusively: {trial.exclusively}"
        findings.append(Finding("lock", Verdict.WARN, detail, cure))
    elif trial.conditionally is None:
        detail = "works: only one of two writers creates a file, and a changed file is not replaced (both tested)"
        findings.append(Finding("lock", Verdict.OK, detail))
    else:
        detail = "works: only one of two writers creates a file (tested)"
        if not lake.local:
            detail += f"; files are not replaced by their ETag: {trial.conditionally}"
        findings.append(Finding("lock", Verdict.OK, detail))
    return findings + [_holder(holder) for holder in holders]


def _holder(holder: Holder) -> Finding:
    tables = ", ".join(holder.tables)
    run = f"run {holder.run_id}, since {holder.since} on {holder.host}"
    facts = {"run_id": holder.run_id, "tables": list(holder.tables), "at_work": holder.at_work, "host": holder.host}
    if holder.at_work:
        detail = f"{run}, is working on {tables}; another run over these tables waits or ends"
    elif holder.at_work is None:
        detail = (
            f"{run}, holds {tables}; its last sign of life was at {holder.renewed_at}. After a minute without one, the "
            "next run takes the lock over"
        )
    else:
        detail = f"{run}, has died and left its lock on {tables}; the next run takes it over"
    return Finding("running", Verdict.NOTE, detail, facts=facts)


def owner_findings(
    lake: Lake, connection: str, selected: Sequence[Table], workspace: Workspace | None
) -> Iterator[Finding]:
    """Whether the lake's tables are of the workspace that the token belongs to: a run refuses to mix two."""
    if workspace is None or workspace.code is None:
        return
    other: dict[str, list[str]] = {}
    known = 0
    try:
        for table in selected:
            record = _record(lake, connection, table)
            found = record.get("workspace")
            known += bool(found)
            if isinstance(found, str) and found and found != workspace.code:
                other.setdefault(found, []).append(table.name)
    except IntercomLakeError:
        return  # told by the line about the lake
    for code, tables in other.items():
        yield Finding(
            "workspace",
            Verdict.FAIL,
            f"the lake has {', '.join(tables)} of workspace {code} under connection {connection!r}; the token "
            f"belongs to {workspace.code}",
            "Use another connection name or another lake.",
            setting=True,
            facts={"lake": code, "token": workspace.code, "tables": tables},
        )
    if known and not other:
        yield Finding("workspace", Verdict.OK, f"the lake's tables and the token belong to {workspace.code}")


def _record(lake: Lake, connection: str, table: Table) -> Mapping[str, Any]:
    try:
        record = lake.read_json(TablePaths(connection, table.name).state)
    except ValueError:  # damaged: a run reads the table anew
        return {}
    return record if isinstance(record, dict) else {}
