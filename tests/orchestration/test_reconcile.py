"""The flow that looks for rows which are gone, as people run it: `python flows/reconcile.py` as a process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.prefect_server import Prefect
from tests.support.rig import CONNECTION, Rig

pytestmark = pytest.mark.slow
TABLES = ["contacts", "conversations", "tags", "conversation_parts", "contact_tags"]


def test_a_reconcile_takes_the_tables_of_the_lake_and_children_go_with_their_parents(
    prefect: Prefect, rig: Rig, tmp_path: Path
) -> None:
    file = rig.connections_file(tmp_path)

    def run(flow: str, *options: str) -> Any:
        done = prefect.run(
            f"flows/{flow}.py", "--connection", CONNECTION, "--connections-file", str(file), "--lake", rig.lake_url,
            "--json", *options, INTERCOM_ACCESS_TOKEN=rig.server.token,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    talk = rig.workspace.rows("conversations")[0]["id"]
    rig.workspace.create("conversation_parts", conversation_id=talk)
    run("sync", "--tables", ",".join(TABLES))
    rig.workspace.delete("conversations", talk)
    rig.workspace.delete("contacts", rig.workspace.rows("contacts")[0]["id"])

    summary = run("reconcile")
    found = {table["table"]: table for table in summary["tables"]}
    assert (summary["flow"], summary["kind"], summary["state"]) == ("intercom-reconcile", "reconcile", "completed")
    assert set(TABLES) < set(found)  # and the default tables that were not there yet
    assert [found[table]["removed"] for table in ("contacts", "conversations")] == [1, 1]
    assert found["conversation_parts"]["removed"] >= 1
    assert {(table["kept"], table["undecided"]) for table in summary["tables"]} == {(0, 0)}
    rig.check([*TABLES, "companies", "articles"])
