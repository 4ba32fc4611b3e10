"""A server that takes requests and never answers keeps no run that has done its work."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.context import SyncClientContext
from prefect.settings import PREFECT_API_URL, temporary_settings

from intercom.orchestration.job import Job
from intercom.orchestration.observe import artifacts
from intercom.orchestration.observe.artifacts import keep_artifacts
from intercom.sync.run_summary import run_summary
from tests.support.results import table_result


def test_a_silent_server_is_waited_for_as_long_as_we_say_ourselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a flow Prefect lends the run's own client, which waits for a minute, again and again."""
    monkeypatch.setattr(SyncPrefectClient, "raise_for_api_version_mismatch_once", lambda _: None)  # the run's, at start
    monkeypatch.setattr(artifacts, "_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(artifacts, "_RETRIES", 0)
    job = Job("5a8a1b04-0000-4000-8000-000000000000", "acme", str(tmp_path), ("tags",), lake_url=f"file://{tmp_path}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        refused = pytest.raises(httpx.TimeoutException)
        begun = time.monotonic()
        with temporary_settings({PREFECT_API_URL: url}), SyncClientContext.get_or_create(), refused:
            tables = [table_result("tags")]
            keep_artifacts(job, tables, run_summary(job.facts(), tables, ended_at=datetime.now(UTC)), {})
        assert time.monotonic() - begun < 30
