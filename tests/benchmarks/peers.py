"""Contacts that change twice on one day, read by dlt and by this package.

dlt is installed into an environment of its own, which asks the internet: so this part runs only if it is named. Other
tools have Intercom's address built in, or stop at values that the simulated workspace has on purpose.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import duckdb

from intercom.sandbox import SandboxServer, Workspace
from tests.benchmarks.load import UNLIMITED, serving
from tests.benchmarks.processes import sync
from tests.benchmarks.table import Row
from tests.conftest import NOW

CONTACTS: Final = 3_000
CHANGED_STEP: Final = 100
DLT: Final = "dlt[duckdb]==1.31.0"

_DLT_PIPELINE: Final = """
import sys, dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator

@dlt.resource(primary_key="id", write_disposition="merge", max_table_nesting=0)
def contacts(updated_at=dlt.sources.incremental("updated_at", initial_value=0)):
    client = RESTClient(
        sys.argv[1], auth=BearerTokenAuth(sys.argv[2]), headers={"Intercom-Version": "2.14"},
        paginator=JSONResponseCursorPaginator(
            "pages.next.starting_after", cursor_body_path="pagination.starting_after"
        ),
    )
    query = {"field": "updated_at", "operator": ">", "value": updated_at.last_value}
    sort = {"field": "updated_at", "order": "ascending"}
    asked = {"query": query, "sort": sort, "pagination": {"per_page": 150}}
    for page in client.paginate("contacts/search", method="POST", json=asked, data_selector="data"):
        yield [{name: row[name] for name in ("id", "name", "updated_at")} for row in page]

destination = dlt.destinations.duckdb("dlt.duckdb")
dlt.pipeline("intercom", pipelines_dir="state", destination=destination, dataset_name="crm").run(contacts())
"""
"""What its documentation shows for a REST API: a cursor field, a filter by it, a merge by the primary key."""


def measure() -> Iterator[Row]:
    """A row for each run of each tool."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        yield from _runs(DLT, Path(folder) / "dlt", _run_dlt)
    yield from _runs("intercom-lake", None, _run_ours)


Run = Callable[[Path, SandboxServer, Path], dict[str, str]]
"""Runs a tool in its folder; the names of all contacts that it has, by id."""


def _runs(tool: str, folder: Path | None, run: Run) -> Iterator[Row]:
    workspace = Workspace.seeded(contacts=CONTACTS, companies=0, conversations=0, articles=0, now=NOW)
    if folder is not None:
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", tool], check=True, capture_output=True)
    with serving(workspace, rate_limit=UNLIMITED) as (server, lake):
        for name in ("a first load", "after 1 % changed", "after 1 % changed again"):
            server.clear_log()
            has = run(folder or lake, server, lake)
            served = {row["id"]: row["name"] for row in workspace.rows("contacts")}
            wrong = sum(has.get(id) != name for id, name in served.items())
            requests = len(server.requests())
            yield Row(f"{tool}: {name}", f"{wrong} of {CONTACTS:,} contacts missing or stale, {requests} requests")
            workspace.travel(600)
            for place, row in enumerate(workspace.rows("contacts")[::CHANGED_STEP]):
                workspace.update("contacts", row["id"], name=f"{name} {place}")
            workspace.travel(600)


def _run_dlt(folder: Path, server: SandboxServer, _: Path) -> dict[str, str]:
    quiet = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "HOME": str(folder)}
    command = [folder / "bin/python", "-c", _DLT_PIPELINE, server.base_url, server.token]
    subprocess.run(command, cwd=folder, env=quiet, check=True, stdout=sys.stderr)
    with duckdb.connect(str(folder / "dlt.duckdb"), read_only=True) as session:
        return dict(session.execute("SELECT id, name FROM crm.contacts").fetchall())


def _run_ours(_: Path, server: SandboxServer, lake: Path) -> dict[str, str]:
    sync(server, lake, tables="contacts")
    files = f"{lake}/data/*/contacts/**/*.parquet"
    return dict(duckdb.execute("SELECT id, name FROM read_parquet(?)", [files]).fetchall())
