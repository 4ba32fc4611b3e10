"""What a run does with tables that groups select: those that it may not read are skipped, unless they were named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.prefect_server import Prefect
from tests.support.rig import CONNECTION, Rig
from tests.support.truth import assert_exact, read_lake

pytestmark = pytest.mark.slow

A_FEW_TABLES = """
import sys
from dataclasses import replace

from intercom.cli.run import run_from_shell
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Selection
import intercom.orchestration.tasks  # and with it all that knows the catalogue

rare = [replace(TABLES[name], selection=Selection.ALL, optional=True) for name in ("teams", "articles")]
few = {table.name: table for table in (TABLES["tags"], TABLES["admins"], *rare)}
for module in list(sys.modules.values()):
    if getattr(module, "TABLES", None) is TABLES:
        module.TABLES = few
raise SystemExit(run_from_shell(sys.argv[1], sys.argv[2:]))
"""
"""Two default tables, and two optional ones that only `all` and their names select."""


@pytest.fixture
def shell(prefect: Prefect, rig: Rig, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    file = rig.connections_file(tmp_path)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return prefect.run(
            "-c", A_FEW_TABLES, "flows/sync.py", "--connection", CONNECTION, "--connections-file", str(file),
            "--lake", rig.lake_url, *options, INTERCOM_ACCESS_TOKEN=rig.server.token,
        )  # fmt: skip

    return run


def is_exact(rig: Rig, *tables: str) -> None:
    for table in tables:
        assert_exact(rig.workspace.rows(table), read_lake(rig.lake_url, CONNECTION, table), table)


def test_a_table_that_may_not_be_read_is_one_note_unless_it_was_named(
    prefect: Prefect, rig: Rig, shell: Callable[..., Any]
) -> None:
    rig.server.fail("/teams", kind="status", status=403, times=9)
    ended = shell("--tables", "all", "--json")
    assert ended.returncode == 0, ended.stderr
    is_exact(rig, "tags", "admins", "articles")
    told = json.loads(ended.stdout)
    denied = "skipped: the token may not read it without the permission 'read admins' (403 forbidden)"
    tables = {table["table"]: table for table in told["tables"]}
    assert {name: table["status"] for name, table in tables.items()} == {
        "tags": "synced", "admins": "synced", "teams": "skipped", "articles": "synced",
    }  # fmt: skip
    assert (tables["teams"]["reason"], tables["teams"]["hints"]) == (denied, [f"teams: {denied}"])
    assert (told["state"], told["message"]) == ("completed", "3 tables are in the lake, 1 skipped (teams)")
    assert prefect.newest_run()["state"]["message"] == told["message"]
    assert rig.lake_table("teams").state() is None

    named = shell("--tables", "default,teams")
    assert named.returncode == 1
    assert "teams failed: GET /teams" in named.stderr


def test_a_table_that_is_skipped_leaves_watermark_and_rows_as_they_are(rig: Rig, shell: Callable[..., Any]) -> None:
    assert shell("--tables", "all").returncode == 0
    is_exact(rig, "articles")
    before, rows = rig.lake_table("articles").state(), rig.rows("articles")
    rig.workspace.travel(60)
    rig.workspace.create("articles")
    rig.server.fail("/articles", kind="status", status=403, times=9)
    ended = shell("--tables", "all")
    assert ended.returncode == 0, ended.stderr
    assert "note: articles: skipped: the token may not read it" in " ".join(ended.stdout.split())
    assert "earlier runs could read it, and the lake keeps" in " ".join(ended.stdout.split())
    assert rig.lake_table("articles").state() == before
    assert rig.rows("articles").equals(rows)
    rig.server.clear_faults()
    assert shell("--tables", "all").returncode == 0  # the permission is there again
    is_exact(rig, "articles", "teams")


def test_a_token_that_is_revoked_in_the_middle_of_a_run_fails_it(rig: Rig, shell: Callable[..., Any]) -> None:
    def revoke(request: Any) -> None:
        if request.path == "/teams":
            rig.workspace.options.me_status = 401

    rig.server.before_request(revoke)
    rig.server.fail("/teams", kind="status", status=401, times=9)
    ended = shell("--tables", "all")
    assert ended.returncode == 1
    assert "teams failed: GET /teams" in ended.stderr
