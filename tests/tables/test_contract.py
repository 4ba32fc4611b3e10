"""What every table of the catalogue promises, against the sandbox workspace: a new entry is under test at once."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from intercom.tables.catalogue import TABLES
from intercom.tables.table import Strategy, Table
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed
from tests.support.rig import Rig

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A few rows of each table, in one or two months."""
    return make_rig(contacts=20, companies=8, conversations=12, articles=6, further=6, history_days=20)


def first_key(rig: Rig, table: Table) -> str:
    return next(iter(rig.workspace.tables[table.name])).key


@every_table
def test_a_first_load_is_complete_and_a_second_run_writes_nothing(rig: Rig, table: Table) -> None:
    rig.sync([table.name])
    rig.check([table.name])
    assert rig.rows(table.name).num_rows > 1
    before = {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list("data")}
    _, compacted = rig.sync([table.name])[table.name]
    assert (compacted.files, compacted.new, compacted.changed, compacted.removed) == (0, 0, 0, 0)
    assert {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list("data")} == before


@every_table
def test_a_changed_row_and_a_field_without_a_column_arrive(rig: Rig, table: Table) -> None:
    rig.sync([table.name])
    rig.workspace.travel(7200)
    served = rig.workspace.update(table.name, first_key(rig, table), added_by_intercom={"deep": [1, None]})
    rig.workspace.travel(1)
    _, compacted = rig.sync([table.name])[table.name]
    assert (compacted.new, compacted.changed) == (0, 1)
    rig.check([table.name])
    (extra,) = [text for text in rig.rows(table.name).column("_extra").to_pylist() if text and "added_by" in text]
    assert json.loads(extra)["added_by_intercom"] == served["added_by_intercom"]


@every_table
def test_a_run_that_dies_at_a_step_is_repaired_by_the_next(rig: Rig, table: Table) -> None:
    rig.sync([table.name])
    rig.workspace.travel(7200)
    rig.workspace.update(table.name, first_key(rig, table), added_by_intercom=1)
    rig.workspace.travel(7200)
    burns_at = random.randint(1, 3)  # a run with a change has four steps or more
    plain, rig.store = rig.store, FusedWatermarks(rig.store, fuse := Fuse(burns_at))
    with pytest.raises(Killed):
        rig.sync([table.name], lake=FusedLake(rig.lake_url, fuse))
    rig.store = plain
    rig.sync([table.name])
    rig.check([table.name])


def test_the_readme_lists_the_catalogue() -> None:
    section = README.split("\n## Tables\n")[1].split("\n## ")[0]
    rows = [re.findall(r"[^|]+", line) for line in section.splitlines() if line.startswith("| ")][1:]
    listed = [tuple(cell.strip() for cell in row[:4]) for row in rows]
    assert listed == [
        (name, ", ".join(table.primary_key), table.cursor_field or "-", table.strategy.value)
        for name, table in TABLES.items()
    ]
    assert {Strategy.MERGE.value, Strategy.REPLACE.value} == {row[3] for row in listed}
