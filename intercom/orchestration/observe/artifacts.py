"""Artifacts of a run that has ended: a table of all its tables, and a history for each of them.

The newest artifact of a key is what Prefect's pages show, the older ones are its versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.utilities.urls import url_for

from intercom.config.connection import connection_slug
from intercom.orchestration.job import Job
from intercom.orchestration.observe.history import as_history, unbroken
from intercom.sync.summary import TableResult, as_markdown, verdict

_RETRIES = 4
"""Half a minute for a request: with two, artifacts were lost while the database of a server on SQLite was locked."""
_TIMEOUT_SECONDS = 10.0
"""Instead of some minutes: a run that has done its work should not wait for a server in trouble to be told of it."""


def keep_artifacts(job: Job, tables: Sequence[TableResult]) -> None:
    """Save the run's summary, and a new version of each table's history.

    One read and a write for each artifact. Raises whatever Prefect's client does; a history that could not be read is
    not written either, so that the next run can take it up again.
    """
    # With settings of its own, else it would be the run's client, which tries for minutes.
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: _RETRIES}),
        get_client(httpx_settings={"timeout": _TIMEOUT_SECONDS}, sync_client=True) as client,
    ):
        _save(
            client,
            job,
            f"{_prefix(job)}-{'compact' if job.run is None else 'sync'}",
            f"`{job.connection}` into `{job.lake_url}`\n\n{as_markdown(tables)}",
            verdict(tables),
        )
        previous = _previous(client, [_key(job, table) for table in tables])
        for table in tables:
            key = _key(job, table)
            text = as_history(table, at=_now(job), kind=_kind(job), lake=job.lake_url, previous=previous.get(key))
            _save(client, job, key, text, f"`{job.connection}` {table.table}: {table.outcome()}")


def _save(client: SyncPrefectClient, job: Job, key: str, markdown: str, description: str) -> None:
    client.create_artifact(
        ArtifactCreate(key=key, type="markdown", data=markdown, description=description, flow_run_id=UUID(job.run_id))
    )


def _previous(client: SyncPrefectClient, keys: Sequence[str]) -> Mapping[str, str]:
    """The newest text of each key that there is."""
    newest = client.read_latest_artifacts(
        artifact_filter=ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=list(keys))), limit=len(keys)
    )
    return {artifact.key: artifact.data for artifact in newest if isinstance(artifact.data, str)}


def _kind(job: Job) -> str:
    """What the run was for, in a word or two."""
    if job.run is None:
        return "compact"
    if job.run.until is not None:
        return "backfill"
    return "full refresh" if job.run.full_refresh else "sync"


def _now(job: Job) -> str:
    """The time to the minute, as a link to the run where the address of Prefect's pages is known."""
    now = unbroken(f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    page = url_for("flow-run", obj_id=job.run_id)
    return f"[{now}]({page})" if page else now


def _key(job: Job, table: TableResult) -> str:
    return f"{_prefix(job)}-{table.table.replace('_', '-')}"


def _prefix(job: Job) -> str:
    """Prefect allows lowercase letters, digits and dashes in a key."""
    return f"intercom-{connection_slug(job.connection)}"
