"""A lake of every released version goes on with this one: nothing is read again, and no row is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from intercom.lake.layout import TableFormat
from intercom.sandbox import SandboxServer
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Strategy
from intercom.verify.tables import verify_table
from tests.release import CHANGELOG, releases
from tests.support import released_lake
from tests.support.rig import Rig

LAKES = sorted(released_lake.FOLDER.glob("*.zip"))


def test_there_is_a_lake_of_each_released_version() -> None:
    assert {path.stem for path in LAKES} == set(releases(CHANGELOG.read_text(encoding="utf-8")))


@pytest.mark.parametrize("table_format", list(TableFormat))
@pytest.mark.parametrize("path", LAKES, ids=lambda path: path.stem)
def test_a_lake_of_an_earlier_version_goes_on(path: Path, table_format: TableFormat, tmp_path: Path) -> None:
    workspace = released_lake.unpacked(path, tmp_path)
    workspace.travel(3_600)
    with SandboxServer(workspace) as server:
        rig = Rig(server, str(tmp_path / table_format.value), table_format=table_format)
        changed, gone = (workspace.rows("contacts")[place]["id"] for place in (0, 1))
        workspace.update("contacts", changed, name="Changed since")
        workspace.create("conversations", id="990000001")
        done = rig.sync(released_lake.TABLES)
        rig.check(released_lake.TABLES)
        for name, (ingested, _) in done.items():
            read_whole = TABLES[name].strategy is Strategy.REPLACE or TABLES[name].access is Access.DERIVED
            assert read_whole or ingested.reason == "incremental", (name, ingested.reason)
        workspace.delete("contacts", gone)
        for _ in range(2):
            rig.reconcile(released_lake.TABLES)
        rig.check(released_lake.TABLES)
        assert gone not in rig.rows("contacts")["id"].to_pylist()
        proofs = [verify_table(rig.lake(), rig.connection, name) for name in released_lake.TABLES]
    assert [difference.line for proof in proofs for difference in proof.differences] == []
