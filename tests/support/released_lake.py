"""Lakes that released versions have written, each in one zip file with the workspace that it was copied from.

<format>/...      the lake's files: tables that were read twice, and rows that wait for their merge
workspace.jsonl   the workspace's records as they were served then: table, key, parent (of a child's) and body
now               the workspace's time, unix seconds
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from intercom.compaction.policy import CompactionMode
from intercom.lake.layout import TableFormat
from intercom.sandbox import SandboxServer, Workspace
from intercom.sandbox.children import CHILDREN
from intercom.sandbox.records import Record
from tests.support.rig import BY_DEFAULT, Rig

FOLDER = Path(__file__).parents[1] / "deployments" / "lakes"
TABLES = (*BY_DEFAULT, "conversation_parts", "contact_tags", "tickets")
WAITING = ("contacts", "conversations")
_NOW = 1_780_000_000
_SIZES: dict[str, Any] = {"contacts": 9, "companies": 5, "conversations": 6, "articles": 4, "tickets": 4}


def save(version: str) -> Path:
    """Write the zip file of this version; it must be done before the version is released, and never again."""
    path = FOLDER / f"{version}.zip"
    FOLDER.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
        for table_format in TableFormat:
            workspace = Workspace.seeded(now=_NOW, history_days=60, further=2, **_SIZES)
            with SandboxServer(workspace) as server, _folder() as folder:
                _fill(Rig(server, str(folder), table_format=table_format))
                for file in sorted(folder.rglob("*")):
                    if file.is_file():
                        archive.write(file, f"{table_format.value}/{file.relative_to(folder)}")
        archive.writestr("workspace.jsonl", "".join(_lines(workspace)))
        archive.writestr("now", str(workspace.now()))
    return path


def unpacked(path: Path, into: Path) -> Workspace:
    """Write a zip file's lakes below `into`, by format; gives the workspace that they were copied from."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(into)
    workspace = Workspace(now=int((into / "now").read_text()))
    for line in (into / "workspace.jsonl").read_text(encoding="utf-8").splitlines():
        table, key, parent, body = json.loads(line)
        record = Record.encode(key, json.loads(body))
        if parent is None:
            workspace.tables[table].put(record)
        else:
            workspace.children[table].add(record, parent)
    return workspace


def _fill(rig: Rig) -> None:
    """Two merged runs, and one of which two tables' rows wait."""
    rig.sync(TABLES)
    for table in ("contacts", "companies", "conversations", "articles", "tickets"):
        rig.workspace.travel(3_600)
        rig.workspace.create(table)
        rig.workspace.update(table, rig.workspace.rows(table)[0]["id"])
    rig.sync(TABLES)
    for table in WAITING:
        rig.workspace.travel(3_600)
        rig.workspace.create(table)
    rig.sync(WAITING, when=CompactionMode.NEVER)


def _lines(workspace: Workspace) -> Iterator[str]:
    for table, records in workspace.tables.items():
        for record in records:
            parent = workspace.children[table].parent(record.key) if table in CHILDREN else None
            yield json.dumps([table, record.key, parent, record.body.decode()]) + "\n"


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder) / "lake"
