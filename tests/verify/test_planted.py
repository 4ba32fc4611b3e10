"""The local half finds every difference that is planted in a small lake, and names the file and its kind."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.lake.layout import TablePaths
from intercom.lake.parquet import ParquetFile, file_digests, version_of
from intercom.lake.state_entries import Partition
from intercom.lake.storage import Lake
from intercom.lake.store import FileStat
from intercom.lake.table import LakeTable
from intercom.sandbox import SandboxServer, Workspace
from intercom.verify.findings import Difference, Kind
from intercom.verify.tables import verify_table
from tests.conftest import NOW
from tests.support.effort import effort, tried
from tests.support.rig import CONNECTION, Rig

SNAPSHOTS = 4
SEEDS = range(effort(50, 1000))
DAY = 86_400


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One lake after each of `SNAPSHOTS` runs, every one of which changes rows of all months; the last is today's."""
    folder = tmp_path_factory.mktemp("lakes")
    workspace = Workspace.seeded(
        now=NOW, history_days=50, contacts=0, companies=6, conversations=0, articles=14, tags=0, segments=0, teams=0
    )
    with SandboxServer(workspace) as server:
        rig = Rig(server, str(folder / "lake"))
        for number in range(SNAPSHOTS):
            for row in workspace.rows("articles"):
                workspace.update("articles", row["id"], title=f"Changed {number} times")
            workspace.travel(DAY)
            rig.sync(["articles", "companies"])
            shutil.copytree(folder / "lake", folder / str(number))
    return [folder / str(number) for number in range(SNAPSHOTS)]


@pytest.fixture
def lake(lakes: list[Path], tmp_path: Path) -> Callable[[], Path]:
    """Makes copies of today's lake, with the times of its files."""

    def make() -> Path:
        shutil.rmtree(tmp_path / "lake", ignore_errors=True)
        return Path(shutil.copytree(lakes[-1], tmp_path / "lake"))

    return make


def differences(lake: Path, table: str = "articles") -> list[Difference]:
    proof = verify_table(Lake(str(lake)), CONNECTION, table)
    assert proof.failure is proof.skipped is None
    return list(proof.differences)


def months(lake: Path, table: str = "articles") -> list[Path]:
    return sorted((lake / "data" / CONNECTION / table).rglob("*.parquet"))


def as_old_as(path: Path, times: os.stat_result) -> None:
    """Give a file the times of another: stamps of files on a disk are sizes and times."""
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def rewritten(path: Path, rows: pa.Table, seed: int) -> None:
    """By another tool that keeps what the footer notes, by one that does not, or by this package."""
    times = path.stat()
    if seed % 3 == 0:
        pq.write_table(rows, path, compression="zstd")
    elif seed % 3 == 1:
        pq.write_table(rows.replace_schema_metadata(None), path)
    else:
        version = version_of(path) or ""
        path.unlink()
        with ParquetFile(path, rows.schema.remove_metadata(), version) as file:
            file.write(rows)
    as_old_as(path, times)


def recorded_as_ours(lake: Path, path: Path) -> None:
    """The table's record names this file as it is now, as if a run had written it."""
    lake_table = LakeTable(Lake(str(lake)), TablePaths(CONNECTION, "articles"))
    state = lake_table.state()
    assert state is not None
    month, rows = path.parent.name.partition("=")[2], pq.read_metadata(path).num_rows
    entry = Partition(rows, version_of(path) or "", FileStat.of(path.stat()).stamp, *file_digests(path))
    lake_table.save(replace(state, partitions={**state.partitions, month: entry}))


def test_a_sound_lake_has_no_difference(lake: Callable[[], Path]) -> None:
    made = lake()
    assert differences(made) == differences(made, "companies") == []
    assert len(months(made)) > 2


def test_a_row_that_was_removed_from_a_file_is_found(lake: Callable[[], Path]) -> None:
    for seed in SEEDS:
        draw, made = random.Random(seed), lake()
        path = draw.choice(months(made))
        rows = pq.read_table(path, partitioning=None)
        gone = draw.randrange(rows.num_rows)
        rewritten(path, pa.concat_tables([rows.slice(0, gone), rows.slice(gone + 1)]), seed)
        (found,) = differences(made)
        assert (found.kind, found.where) == (Kind.FILE_REPLACED, str(path.relative_to(made))), seed
    tried("planted: row removed", len(SEEDS))


def test_an_old_version_that_was_put_back_is_found(lake: Callable[[], Path], lakes: list[Path]) -> None:
    """Also one of the same size, with the time of the file that it takes the place of."""
    for seed in SEEDS:
        draw, made = random.Random(seed), lake()
        path = draw.choice(months(made))
        times = path.stat()
        shutil.copyfile(draw.choice(lakes[:-1]) / path.relative_to(made), path)
        if seed % 2:
            as_old_as(path, times)
        (found,) = differences(made)
        assert (found.kind, found.where) == (Kind.FILE_REPLACED, str(path.relative_to(made))), seed


def test_a_month_that_was_restored_from_a_backup_is_found(lake: Callable[[], Path], lakes: list[Path]) -> None:
    """With the times that it had; some backups are of a month that is in no record any more."""
    for seed in SEEDS:
        draw, made = random.Random(seed), lake()
        path = draw.choice(months(made))
        backup = draw.choice(lakes[:-1]) / path.relative_to(made)
        if seed % 5 == 0:
            path = path.parent.with_name("created_month=2020-01") / path.name
            path.parent.mkdir()
        shutil.copy2(backup, path)
        kind = Kind.FILE_UNKNOWN if seed % 5 == 0 else Kind.FILE_REPLACED
        assert (kind, str(path.relative_to(made))) in [(one.kind, one.where) for one in differences(made)], seed


def test_a_key_in_two_months_is_found_though_the_record_names_both_files(lake: Callable[[], Path]) -> None:
    for seed in SEEDS:
        draw, made = random.Random(seed), lake()
        source, target = draw.sample(months(made), 2)
        row = pq.read_table(source, partitioning=None)
        row = row.slice(draw.randrange(row.num_rows), 1)
        rows = pq.read_table(target, partitioning=None)
        moved = row.set_column(
            row.schema.get_field_index("created_at"), "created_at", rows.column("created_at").slice(0, 1)
        )
        rewritten(target, pa.concat_tables([rows, moved.cast(rows.schema)]), 2)
        recorded_as_ours(made, target)
        (found,) = differences(made)
        assert (found.kind, found.keys) == (Kind.KEY_TWICE, tuple(row.column("id").to_pylist())), seed
        assert set(found.months) == {path.parent.name.partition("=")[2] for path in (source, target)}


def test_a_key_twice_in_one_month_is_found(lake: Callable[[], Path]) -> None:
    made = lake()
    path = months(made)[0]
    rows = pq.read_table(path, partitioning=None)
    rewritten(path, pa.concat_tables([rows, rows.slice(0, 1)]), 2)
    recorded_as_ours(made, path)
    (found,) = differences(made)
    assert (found.kind, found.count, len(found.months)) == (Kind.KEY_TWICE, 1, 1)


def test_a_bit_that_was_flipped_anywhere_in_a_file_is_found(lake: Callable[[], Path]) -> None:
    """In a page, in the header of one, or in the footer; the file keeps its size and its time."""
    for seed in SEEDS:
        draw, made = random.Random(seed), lake()
        path = draw.choice(months(made))
        times, content = path.stat(), bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        as_old_as(path, times)
        found = differences(made)
        assert {one.where for one in found} == {str(path.relative_to(made))}, seed
        assert {one.kind for one in found} & {Kind.FILE_DAMAGED, Kind.FILE_REPLACED}, seed


def test_a_record_that_was_restored_alone_is_found(lake: Callable[[], Path], lakes: list[Path]) -> None:
    """The file without the copy of its generation, which runs go by, or both."""
    for seed in SEEDS:
        draw, made = random.Random(seed), lake()
        state = Path("_state") / CONNECTION
        before = draw.choice(lakes[:-1]) / state
        if seed % 2:
            shutil.copy2(before / "articles.json", made / state)
            kinds = {Kind.RECORD}
        else:
            for copy in (made / state).glob("articles.[0-9]*"):
                copy.unlink()
            for copy in before.glob("articles.[0-9j]*"):
                shutil.copy2(copy, made / state)
            kinds = {Kind.FILE_REPLACED}
        assert {one.kind for one in differences(made)} == kinds, seed


def test_a_file_of_another_table_is_found(lake: Callable[[], Path]) -> None:
    for seed in SEEDS:
        draw, made = random.Random(seed), lake()
        path = draw.choice(months(made))
        times = path.stat()
        shutil.copy2(draw.choice(months(made, "companies")), path)
        if seed % 2:
            as_old_as(path, times)
        kinds = {one.kind for one in differences(made)}
        assert {Kind.FILE_REPLACED, Kind.COLUMNS} <= kinds, seed


# -- what else may be wrong -------------------------------------------------------------------------------------------


def test_a_row_in_the_wrong_month_and_one_without_a_time_of_its_read_are_found(lake: Callable[[], Path]) -> None:
    made = lake()
    path = months(made)[0]
    rows = pq.read_table(path, partitioning=None)
    for column, value in (("created_at", datetime(2031, 1, 1, tzinfo=UTC)), ("_ingested_at", None)):
        place = rows.schema.get_field_index(column)
        values = [value, *rows.column(column).to_pylist()[1:]]
        rows = rows.set_column(place, rows.schema.field(column), pa.array(values, rows.schema.field(column).type))
    rewritten(path, rows, 2)
    recorded_as_ours(made, path)
    found = differences(made)
    assert [one.kind for one in found] == [Kind.CONTENT, Kind.CONTENT]
    assert {one.found for one in found} == {
        "1 row of another month by created_at",
        "1 row without _ingested_at",
    }


def test_a_file_that_has_gone_a_stranger_and_a_lost_record_are_found(lake: Callable[[], Path]) -> None:
    made = lake()
    months(made)[0].unlink()
    (made / "data" / CONNECTION / "articles" / "copy.parquet").write_bytes(b"")
    assert [one.kind for one in differences(made)] == [Kind.FILE_GONE, Kind.STRANGER]
    made = lake()
    for path in (made / "_state" / CONNECTION).glob("articles.[0-9j]*"):
        path.unlink()
    assert [one.kind for one in differences(made)] == [Kind.RECORD]


def test_the_record_of_another_lake_is_found(lake: Callable[[], Path]) -> None:
    made = lake()
    path = made / "_state" / "lake.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "id": "another"}))
    assert [one.kind for one in differences(made)] == [Kind.RECORD]


def test_a_digest_of_a_row_that_the_table_does_not_have_is_found(lake: Callable[[], Path], lakes: list[Path]) -> None:
    """The next run would take the row for unchanged, and would not bring it back."""
    made = lake()
    path = months(made)[0]
    rows = pq.read_table(path, partitioning=None)
    rewritten(path, rows.slice(1), 2)
    recorded_as_ours(made, path)
    (found,) = differences(made)
    assert (found.kind, found.keys) == (Kind.DIGESTS, tuple(rows.column("id").to_pylist()[:1]))
