"""A lake that an earlier version has written is synced by this one, with nothing lost and nothing read anew.

``lakes/before`` was written by the version of November 2026: a first run over contacts and tags, and a second one, five
days later, whose contacts still wait to be merged. Its ``records.json`` is what the workspace served at the end.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from intercom.sandbox.records import Record
from intercom.sandbox.workspace import key_of
from tests.support.rig import Rig

BEFORE = Path(__file__).with_name("lakes") / "before"
TABLES = ["contacts", "tags"]
DAY = 86_400
ENDED = 1_795_003_264
"""Unix seconds of the workspace when the second run had ended."""


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """The workspace of then, and a copy of its lake, whose files have the times of the copy."""
    made = make_rig(now=ENDED, contacts=0, companies=0, conversations=0, articles=0, tags=0, segments=0, teams=0)
    for table, rows in json.loads((BEFORE / "records.json").read_text()).items():
        for row in rows:
            made.workspace.tables[table].put(Record.encode(key_of(row), row))
    shutil.copytree(BEFORE / "lake", made.lake_folder, copy_function=shutil.copyfile)
    return made


def test_its_rows_are_merged_with_those_that_wait_and_those_that_changed_since(rig: Rig) -> None:
    identity, times = rig.lake().identity(), times_of_reading(rig)
    rig.workspace.travel(5 * DAY)
    rows = {row["name"]: row["id"] for row in rig.workspace.rows("contacts")}
    rig.workspace.update("contacts", rows["Changed once"], name="Changed twice")
    rig.workspace.create("contacts")
    rig.workspace.update("tags", rig.workspace.rows("tags")[0]["id"], name="renamed")
    rig.workspace.travel(60)
    found = rig.sync(TABLES)
    rig.check(TABLES)
    assert found["contacts"][0].reason == "incremental"
    assert rig.lake().identity() == identity
    (unchanged,) = rows.keys() - {"Changed once", "New once"}
    assert times_of_reading(rig)[rows[unchanged]] == times[rows[unchanged]]


def test_a_run_over_it_without_changes_merges_what_waits(rig: Rig) -> None:
    """It does so before it gives the rows the columns of this version, in which a reference is text."""
    (ingested, compacted), _ = rig.sync(TABLES).values()
    rig.check(TABLES)
    assert ingested.reason == "incremental"
    assert (compacted.rows, compacted.new) == (3, 0)
    assert sorted(map(str, rig.rows("contacts").column("owner_id").to_pylist())) == ["991267000", "None", "None"]


def test_the_old_watermark_counts_when_prefect_has_lost_it_and_not_when_a_file_has_gone(rig: Rig) -> None:
    assert rig.store.kept == {}
    (rig.lake_folder / "data/acme/contacts/created_month=2026-11/data.parquet").unlink()
    assert rig.sync(TABLES)["contacts"][0].watermark_before is None
    rig.check(TABLES)


def times_of_reading(rig: Rig) -> dict[str, object]:
    """By contact, also of files that have the columns of before."""
    files = (rig.lake_folder / "data/acme/contacts").rglob("*.parquet")
    tables = [pq.read_table(file, columns=["id", "_ingested_at"], partitioning=None) for file in files]
    return {row["id"]: row["_ingested_at"] for table in tables for row in table.to_pylist()}
