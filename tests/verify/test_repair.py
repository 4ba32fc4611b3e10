"""What `--repair` marks, and that the next sync makes a lake right of which the local half has found differences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from intercom.compaction.policy import CompactionMode
from intercom.errors import LakeError
from intercom.lake.locks.table_lock import TableLocks
from intercom.verify.repair import repair
from intercom.verify.tables import verify_table
from tests.support.parquet import damaged
from tests.support.rig import CONNECTION, Rig, in_both_formats

TABLES = ("contacts", "contact_tags", "tags")
SIZES = {"contacts": 20, "companies": 0, "conversations": 0, "articles": 0, "tags": 3, "history_days": 32}


def damage(path: Path) -> None:
    """Change more bytes than a page's header has: without its statistics, which no checksum covers, rows are read."""
    content = bytearray(path.read_bytes())
    place = len(content) // 3
    content[place : place + 200] = bytes(byte ^ 1 for byte in content[place : place + 200])
    path.write_bytes(content)


def row_removed(path: Path) -> None:
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.slice(1), path)


def mended(rig: Rig) -> list[str]:
    """Repair what differs; gives the lines on what was done."""
    proofs = [verify_table(rig.lake(), CONNECTION, table) for table in TABLES]
    assert any(proof.differences for proof in proofs)
    return [line for lines in repair(rig.lake(), CONNECTION, proofs, "run", rig.store, None).values() for line in lines]


def assert_right(rig: Rig) -> None:
    rig.check(TABLES)
    proofs = [verify_table(rig.lake(), CONNECTION, table) for table in TABLES]
    assert [one.line for proof in proofs for one in proof.differences] == []


@in_both_formats
@pytest.mark.parametrize(("table", "wrong"), [("contacts", row_removed), ("contact_tags", damage)])
def test_a_sync_makes_right_what_was_repaired(
    make_rig: Callable[..., Rig], table: str, wrong: Callable[[Path], None]
) -> None:
    made_right(make_rig(**SIZES), table, wrong)


@pytest.mark.parametrize(
    ("table", "wrong"),
    [("contacts", damage), ("contacts", Path.unlink), ("contact_tags", row_removed), ("tags", row_removed)],
)
def test_the_same_of_plain_files(make_rig: Callable[..., Rig], table: str, wrong: Callable[[Path], None]) -> None:
    made_right(make_rig(**SIZES), table, wrong)


def made_right(rig: Rig, table: str, wrong: Callable[[Path], None]) -> None:
    rig.load(TABLES)
    wrong(sorted((rig.lake_folder / "data" / CONNECTION / table).rglob("*.parquet"))[0])
    (line,) = mended(rig)
    assert line.startswith(f"{table}: the next sync ")
    rig.workspace.travel(7200)
    rig.sync(TABLES)
    assert_right(rig)


def test_staged_rows_that_cannot_be_read_are_read_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**SIZES)
    rig.load(TABLES)
    rig.workspace.travel(7200)
    for row in rig.workspace.rows("contacts"):
        rig.workspace.update("contacts", row["id"], name="changed")
    rig.workspace.travel(7200)
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    part = rig.lake_folder / next(path for path in rig.lake().list("_staging") if path.endswith(".parquet"))
    damaged(part, part, "name")
    assert mended(rig) == ["contacts: the next sync reads it from the beginning"]
    rig.workspace.travel(7200)
    rig.sync(TABLES)
    assert_right(rig)


def test_a_table_that_is_held_by_a_run_is_not_repaired(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**SIZES)
    rig.load(["tags"])
    damage(rig.lake_folder / "data" / CONNECTION / "tags" / "data.parquet")
    proof = verify_table(rig.lake(), CONNECTION, "tags")
    before = rig.lake().stamps("_state")
    with TableLocks(rig.lake(), CONNECTION, ["tags"], "another"), pytest.raises(LakeError, match="another"):
        repair(rig.lake(), CONNECTION, [proof], "run", rig.store, None)
    assert rig.lake().stamps("_state") == before
