"""The result of a verification, left in the lake: the report shows it, and so may any other program."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from intercom.api.workspace import Workspace
from intercom.lake.run_summaries import RunSummaries
from intercom.lake.storage import Lake


def keep_summary(lake: Lake, summary: Mapping[str, Any], ended_at: datetime, workspace: Workspace | None) -> None:
    """Write a result made by `intercom.verify.report.as_json`, and delete results that are too old.

    Old ones are judged by Intercom's clock, if the workspace was asked: this machine's may be wrong by years. Raises
    LakeError when the storage refuses.
    """
    summaries = RunSummaries(lake, str(summary["connection"]), "verified")
    summaries.save(summary, ended_at, str(summary["run_id"]))
    if workspace is not None and not workspace.doubt:
        summaries.prune(datetime.fromtimestamp(workspace.server_time, UTC))
