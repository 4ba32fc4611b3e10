"""What every form of a table's published files promises: plain Parquet files and a Delta table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.errors import ConfigurationError, LakeError
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.parquet import open_parquet
from intercom.lake.published import PublishedFile, PublishedFiles
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable

MERGED, REPLACED = "contacts", "tags"


@pytest.fixture(params=list(TableFormat))
def table_format(request: pytest.FixtureRequest) -> TableFormat:
    found: TableFormat = request.param
    return found


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def files_of(lake: Lake, table_format: TableFormat, table: str = MERGED) -> PublishedFiles:
    """As a run finds them that begins now."""
    return LakeTable(lake, TablePaths("acme", table), table_format=table_format).files


def add(lake: Lake, files: PublishedFiles, month: str, ids: list[str], over: str | None) -> PublishedFile:
    with lake.scratch() as written:
        pq.write_table(pa.table({"id": ids}), written)
        return files.add(written, month, len(ids), over)


def publish(lake: Lake, files: PublishedFiles, months: Mapping[str, list[str]], dropped: tuple[str, ...] = ()) -> None:
    """One compaction over the files that lie there."""
    seen = files.stamps()
    added = [add(lake, files, month, ids, seen.get(month)) for month, ids in months.items()]
    for month in dropped:
        files.drop(month, seen[month])
    files.commit(added, dropped)


def rows(files: PublishedFiles) -> dict[str, list[str]]:
    """Month -> ids, by both ways to read a file."""
    found = {}
    for month, stamp in files.stamps().items():
        assert files.stamp(month) == stamp
        with files.open(month, stamp) as source, open_parquet(source) as file:
            found[month] = file.read().column("id").to_pylist()
        with files.fetch(month) as path:
            assert pq.read_table(path, partitioning=None).column("id").to_pylist() == found[month]
    return found


def test_months_are_added_replaced_and_dropped(lake: Lake, table_format: TableFormat) -> None:
    files = files_of(lake, table_format)
    assert files.stamps() == {}
    publish(lake, files, {"2026-01": ["a", "b"], "unknown": ["c"]})
    first = files.stamps()
    assert rows(files) == {"2026-01": ["a", "b"], "unknown": ["c"]}
    publish(lake, files, {"2026-01": ["a"], "2026-02": ["d"]}, dropped=("unknown",))
    assert rows(files) == rows(files_of(lake, table_format)) == {"2026-01": ["a"], "2026-02": ["d"]}
    assert files.stamps()["2026-01"] != first["2026-01"]
    assert files.strangers() == []
    for month in files.stamps():
        assert files.path(month) in lake.list("data/acme/contacts")


def test_a_file_is_told_as_it_lies_there(lake: Lake, table_format: TableFormat) -> None:
    files = files_of(lake, table_format)
    new = add(lake, files, "2026-01", ["a", "b"], None)
    files.commit([new], [])
    assert (new.month, new.rows, new.path) == ("2026-01", 2, files.path("2026-01"))
    assert files.stamps() == {"2026-01": new.stamp}
    assert lake.list("data/acme/contacts")[new.path] == new.size


def test_what_is_added_is_seen_at_once_or_all_together(lake: Lake, table_format: TableFormat) -> None:
    files = files_of(lake, table_format)
    publish(lake, files, {"2026-01": ["a"], "2026-02": ["b"]})
    seen = files.stamps()
    added = [add(lake, files, "2026-01", ["changed"], seen["2026-01"])]
    files.drop("2026-02", seen["2026-02"])
    before, after = {"2026-01": ["a"], "2026-02": ["b"]}, {"2026-01": ["changed"]}
    assert files.together == (table_format is TableFormat.DELTA)
    assert rows(files_of(lake, table_format)) == (before if files.together else after)
    files.commit(added, ["2026-02"])
    assert rows(files_of(lake, table_format)) == after


def test_a_table_without_months_is_one_file(lake: Lake, table_format: TableFormat) -> None:
    files = files_of(lake, table_format, REPLACED)
    for ids in (["a"], ["b", "c"]):
        publish(lake, files, {"": ids})
        assert rows(files) == {"": ids}


@pytest.mark.parametrize("drops", [False, True], ids=["replaces", "drops"])
def test_a_month_that_another_run_has_changed_is_neither_replaced_nor_dropped(
    lake: Lake, table_format: TableFormat, drops: bool
) -> None:
    publish(lake, files_of(lake, table_format), {"2026-01": ["a"], "2026-02": ["b"]})
    ours, theirs = files_of(lake, table_format), files_of(lake, table_format)
    seen = ours.stamps()
    publish(lake, theirs, {"2026-01": ["theirs", "too"]})

    def late() -> None:
        if drops:
            ours.drop("2026-01", seen["2026-01"])
            ours.commit([], ["2026-01"])
        else:
            ours.commit([add(lake, ours, "2026-01", ["ours"], seen["2026-01"])], [])

    with pytest.raises(LakeError, match=r"overtaken|concurrent"):
        late()
    assert rows(theirs) == {"2026-01": ["theirs", "too"], "2026-02": ["b"]}


def test_a_first_file_of_a_month_is_put_over_none(lake: Lake, table_format: TableFormat) -> None:
    ours, theirs = files_of(lake, table_format), files_of(lake, table_format)
    assert ours.stamps() == theirs.stamps() == {}
    theirs.commit([add(lake, theirs, "2026-01", ["theirs"], None)], [])
    with pytest.raises(LakeError):
        ours.commit([add(lake, ours, "2026-01", ["ours"], None)], [])
    assert rows(theirs) == {"2026-01": ["theirs"]}


def test_files_of_the_other_format_are_refused_and_left(lake: Lake, table_format: TableFormat) -> None:
    (other,) = set(TableFormat) - {table_format}
    publish(lake, files_of(lake, other), {"2026-01": ["a"]})
    with pytest.raises(ConfigurationError, match=f"is in the lake as {other}.*--table-format {other}"):
        files_of(lake, table_format).stamps()
    assert rows(files_of(lake, other)) == {"2026-01": ["a"]}


def test_a_file_with_another_number_of_rows_is_not_added(lake: Lake, table_format: TableFormat) -> None:
    files = files_of(lake, table_format)
    publish(lake, files, {"2026-01": ["a"]})
    with lake.scratch() as written:
        pq.write_table(pa.table({"id": ["b"]}), written)
        with pytest.raises(LakeError, match="1 rows instead of 2"):
            files.add(written, "2026-01", 2, files.stamp("2026-01"))
    assert rows(files) == {"2026-01": ["a"]}
