"""Artifacts of a run that has ended: an overview of its connection, and a history for each table that it has changed.

The newest artifact of a key is what Prefect's pages show, the older ones are its versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for

from intercom.config.connection import connection_slug
from intercom.orchestration.job import Job
from intercom.orchestration.observe.history import as_history
from intercom.orchestration.observe.overview import as_overview
from intercom.orchestration.observe.report_link import ReportSettings
from intercom.orchestration.server.retry import client_retries, client_that_asks_soon
from intercom.sync.summary import TableResult, as_markdown, unbroken, verdict

_RETRIES = 4
"""Retries for nearly half a minute. With two, artifacts were lost while the SQLite database of a server was locked."""
_TIMEOUT_SECONDS = 10.0
"""For each request, instead of minutes: a run that has done its work should not wait long for a server in trouble."""
_MOST_OUTDATED = 200
"""Most artifacts in an answer of Prefect's server."""


def keep_artifacts(
    job: Job, tables: Sequence[TableResult], summary: Mapping[str, Any], outdated: Mapping[UUID, str]
) -> None:
    """Save a new version of the connection's overview, and of the history of each table that there is news of.

    `summary` is the run's; `outdated` are its progress artifacts, with their keys, which go. One read and a write for
    each artifact. Raises whatever Prefect's client does; a history that could not be read is not written either, so
    that the next run can take it up again.
    """
    told = [table for table in tables if _is_told(job, table)]
    with client_retries(_RETRIES), client_that_asks_soon() as client, _timeout_of(client):
        report = ReportSettings.read().page_of(job.connection)
        overview = as_overview(summary, as_markdown(tables), _linked, report)
        _save(client, job, _prefix(job), overview, f"`{job.connection}`, all tables. Latest run: {verdict(tables)}")
        previous = _previous(client, [_key(job, table) for table in told]) if told else {}
        for table in told:
            key = _key(job, table)
            text = as_history(table, at=_now(job), kind=job.facts().kind, lake=job.lake_url, previous=previous.get(key))
            _save(client, job, key, text, f"`{job.connection}` {table.table}: {table.outcome()}")
        if outdated:
            _delete_progress(client, outdated)


def keep_verification(job: Job, markdown: str, described: str) -> None:
    """Save what a verification has found as a new version of the connection's artifact. Raises as `keep_artifacts`."""
    with client_retries(_RETRIES), client_that_asks_soon() as client, _timeout_of(client):
        text = f"`{job.connection}` in {job.lake_url}, {_now(job)} (UTC): {markdown}"
        _save(client, job, f"{_prefix(job)}-verified", text, f"`{job.connection}`: {described}")


@contextmanager
def _timeout_of(client: SyncPrefectClient) -> Iterator[None]:
    """Our time-out for all requests of the run's own client, also for the CSRF token that it requests by itself."""
    http = client._client
    before, http.timeout = http.timeout, httpx.Timeout(_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        http.timeout = before


def _is_told(job: Job, table: TableResult) -> bool:
    """Whether a table's history gets a row: an hourly run that has changed nothing is in the run's summary only."""
    if table.skipped is not None:
        return False
    merged = table.compacted
    changed = merged.new or merged.changed or merged.removed or merged.files or merged.waiting
    return bool(changed or table.error or table.read.notes or job.facts().kind != "sync")


def _save(client: SyncPrefectClient, job: Job, key: str, markdown: str, description: str) -> None:
    artifact = ArtifactCreate(
        key=key, type="markdown", data=markdown, description=description, flow_run_id=UUID(job.run_id)
    )
    body = artifact.model_dump(mode="json", exclude_unset=True)
    client.request("POST", "/artifacts/", json=body)


def _previous(client: SyncPrefectClient, keys: Sequence[str]) -> Mapping[str, str]:
    """The newest text of each key that there is."""
    body = {"artifacts": {"key": {"any_": list(keys)}}, "limit": len(keys)}
    newest = client.request("POST", "/artifacts/latest/filter", json=body).json()
    return {artifact["key"]: artifact["data"] for artifact in newest if isinstance(artifact["data"], str)}


def _now(job: Job) -> str:
    """The time to the minute, as a link to the run."""
    return _linked(unbroken(f"{datetime.now(UTC):%Y-%m-%d %H:%M}"), job.run_id)


def _linked(text: str, run_id: str) -> str:
    """A link to a run where the address of Prefect's pages is known, else the text."""
    page = url_for("flow-run", obj_id=run_id)
    return f"[{text}]({page})" if page else text


def _delete_progress(client: SyncPrefectClient, artifacts: Mapping[UUID, str]) -> None:
    """Remove these artifacts, and those of their keys that earlier runs left which failed or were killed.

    With these alone the pages would show what such a run has left, since it would be the newest of its key.
    """
    ended = {"state": {"type": {"any_": [state.value for state in TERMINAL_STATES]}}}
    keys = sorted(set(artifacts.values()))
    body = {"artifacts": {"key": {"any_": keys}}, "flow_runs": ended, "limit": _MOST_OUTDATED}
    older = [UUID(one["id"]) for one in client.request("POST", "/artifacts/filter", json=body).json()]
    for artifact in dict.fromkeys([*artifacts, *older]):
        with suppress(ObjectNotFound):
            client.delete_artifact(artifact)


def _key(job: Job, table: TableResult) -> str:
    return f"{_prefix(job)}-{table.table.replace('_', '-')}"


def _prefix(job: Job) -> str:
    """Prefect allows lowercase letters, digits and dashes in a key."""
    return f"intercom-{connection_slug(job.connection)}"
