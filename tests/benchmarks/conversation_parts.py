"""Parts of conversations: one request for each changed conversation, at the rate that Intercom allows; and memory.

Runs are timed beside a Prefect server that is there already, as a schedule has it. A temporary one takes two seconds
more between a run's first request, which asks whose token it is, and the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from intercom.sandbox import LoggedRequest, SandboxServer, Workspace
from tests.benchmarks.load import UNLIMITED, serving
from tests.benchmarks.processes import Cost, prefect_server, sync
from tests.benchmarks.table import Row
from tests.support.rig import Rig

TABLES = ("contacts", "companies", "conversations", "conversation_parts")
ALLOWED, LATENCY_SECONDS = 166, 0.3
MOST_SECONDS, MOST_REQUESTS = 35, 560
CHANGED_STEP = 50
FEW, MANY, MOST_MEGABYTES = 20_000, 100_000, 400
"""Parts; five of each conversation."""


def measure() -> Iterator[Row]:
    """Three runs on one day, each compared whole; then first loads without a limit, for their memory."""
    yield from _on_one_day()
    few, many = (_first_load(parts).peak_megabytes for parts in (FEW, MANY))
    yield Row(f"peak memory of a first load of {FEW:,} parts", f"{few:.0f} MB")
    what = f"peak memory of a first load of {MANY:,} parts"
    yield Row(what, f"{many:.0f} MB, {many / few:.2f}x", f"< {MOST_MEGABYTES} MB", many < MOST_MEGABYTES)


def _on_one_day() -> Iterator[Row]:
    workspace = Workspace.seeded(contacts=3_000, companies=300, conversations=500, conversation_parts=2_580, articles=0)
    with (
        prefect_server() as prefect,
        serving(workspace, rate_limit=ALLOWED, latency_seconds=LATENCY_SECONDS) as (server, lake),
    ):
        for run in ("a first load", "a run after some changed", "another one on the same day"):
            server.clear_log()
            sync(server, lake, tables=",".join(TABLES), prefect=prefect)
            yield _row(run, server, lake, first=run == "a first load")
            workspace.travel(1_200)
            _change(workspace)
            workspace.travel(1_200)


def _row(run: str, server: SandboxServer, lake: Path, *, first: bool) -> Row:
    Rig(server, str(lake), connection="bench").check(TABLES)
    requests = server.requests()
    seconds, throttled = requests[-1].time - requests[0].time, _throttled(requests)
    return Row(
        f"{', '.join(TABLES)}: {run}, {ALLOWED} per 10 s, {LATENCY_SECONDS * 1000:.0f} ms",
        f"{seconds:.1f} s from the first request to the last, {len(requests)} requests, {throttled} of 429, exact",
        f"<= {MOST_SECONDS} s, <= {MOST_REQUESTS} requests, 0 of 429",
        seconds <= MOST_SECONDS and len(requests) <= MOST_REQUESTS and not throttled,
    )


def _change(workspace: Workspace) -> None:
    """Every fiftieth row of each table has changed; a part was added, one was redacted, and one is gone."""
    for table in TABLES[:3]:
        for row in workspace.rows(table)[::CHANGED_STEP]:
            workspace.update(table, row["id"])
    parts = workspace.rows("conversation_parts")
    workspace.update("conversation_parts", parts[0]["id"], body=None, redacted=True)
    workspace.delete("conversation_parts", parts[7]["id"])
    workspace.create("conversation_parts")


def _throttled(requests: list[LoggedRequest]) -> int:
    return sum(request.status == 429 for request in requests)


def _first_load(parts: int) -> Cost:
    workspace = Workspace.seeded(
        contacts=50, companies=5, conversations=parts // 5, conversation_parts=parts, articles=0
    )
    with serving(workspace, rate_limit=UNLIMITED) as (server, lake):
        return sync(server, lake, tables="conversation_parts")
