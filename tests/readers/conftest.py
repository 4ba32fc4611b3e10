"""One lake for all readers, made by real runs: a first load and two increments, under a name that needs encoding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from intercom.lake.layout import TablePaths, folder_name
from intercom.sandbox import SandboxServer, Workspace
from tests.conftest import NOW
from tests.support.rig import BY_DEFAULT, Rig
from tests.support.truth import Row, read_lake

CONNECTION = "Zoë & Söhne/EU=1 %"
UNICODE = "Zoë 山田 \u202eעברית 🦆 'single' \"double\" back\\slash\nnew line\ttab"
WITH_FILES = [table for table in BY_DEFAULT if table != "articles"]
"""A merge table without rows, as articles are here, has no file that could tell its columns."""


@dataclass(frozen=True)
class ReadableLake:
    """A lake, and what the workspace served when its last run was over."""

    root: Path
    served: dict[str, list[Row]]
    connection: str = CONNECTION

    def folder(self, table: str) -> Path:
        return self.root / TablePaths(self.connection, table).data

    def rows(self, table: str) -> pa.Table:
        """File by file, without any of the readers."""
        return read_lake(str(self.root), folder_name(self.connection), table)


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> ReadableLake:
    root = tmp_path_factory.mktemp("readable") / "lake"
    workspace = Workspace.seeded(
        now=NOW, history_days=80, contacts=60, companies=20, conversations=40, articles=0, teams=0
    )
    with SandboxServer(workspace) as server:
        rig = Rig(server, str(root), connection=CONNECTION)
        rig.sync()
        _change(workspace)
        rig.sync()
        workspace.travel(40 * 86_400)  # into a month that no file has yet
        for table in ("contacts", "companies", "conversations"):
            workspace.create(table)
        workspace.travel(5)
        rig.sync()
    return ReadableLake(root, {table: workspace.rows(table) for table in BY_DEFAULT})


ODD: dict[str, dict[str, Any]] = {
    "text": {"name": UNICODE, "custom_attributes": {"ключ": [1.10, 12345678901234567890123, None, UNICODE]}},
    "numbers": {"owner_id": 5, "companies": {"total_count": 2**53 + 1}, "unknown_field": {"a": [True]}},
    "times": {"signed_up_at": -1, "last_seen_at": 99_999_999_999},  # nanoseconds hold 1677 to 2262 only
    "mistyped": {"unsubscribed_from_emails": "yes"},
    "empty": {"name": "", "email": None, "custom_attributes": {}},
}
"""Contacts by id, with values that engines treat differently."""


def _change(workspace: Workspace) -> None:
    workspace.travel(120)
    for id, fields in ODD.items():
        workspace.create("contacts", id=id, **fields)
    workspace.create("contacts", id="no-time", created_at=None)
    for table, text in (("contacts", "name"), ("companies", "name"), ("conversations", "title")):
        for row in workspace.rows(table)[::7]:
            workspace.update(table, row["id"], **({} if row["id"] in ODD else {text: UNICODE}))
    workspace.travel(5)
