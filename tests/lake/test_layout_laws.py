"""Names in a lake and back again, for any connection's name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intercom.lake.layout import (
    UNKNOWN_MONTH,
    TablePaths,
    folder_name,
    partition_folder,
    partition_month,
)
from tests.support.effort import effort

NAMES = st.one_of(
    st.text(min_size=1),
    st.text(alphabet="./~% aA\\\0é", min_size=1, max_size=5),
    st.sampled_from([".", "..", "...", "a/../b", "%2E", "%2e%2E", "~", "/", "\\", " ", "a b", "a%20b", "a+b"]),
)
MONTHS = st.one_of(
    st.just(UNKNOWN_MONTH),
    st.builds(lambda year, month: f"{year:04d}-{month:02d}", st.integers(0, 9999), st.integers(1, 12)),
)
TABLES = st.sampled_from(["contacts", "companies", "data_attributes", "tags"])
RUNS = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,20}", fullmatch=True)
NUMBERS = st.integers(0, 999_999)
PATHS = st.builds(TablePaths, NAMES, TABLES)

laws = settings(max_examples=effort(13, 400))


@laws
@given(name=NAMES)
def test_a_folder_gives_its_connection_back(name: str) -> None:
    assert unquote(folder_name(name)) == name


@laws
@given(left=NAMES, right=NAMES)
@example(left=".", right="%2E")
@example(left="a/b", right="a%2Fb")
@example(left="a+b", right="a b")
def test_two_connections_never_share_a_folder(left: str, right: str) -> None:
    assert (folder_name(left) == folder_name(right)) == (left == right)


@laws
@given(name=NAMES)
def test_a_folder_is_one_safe_name_that_stays_where_it_is(name: str) -> None:
    folder = folder_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_.%-]+", folder)
    assert folder.strip(".") != ""
    assert len(PurePosixPath("data", folder, "contacts").parts) == 3


@laws
@given(name=st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", fullmatch=True))
def test_a_plain_name_is_its_own_folder(name: str) -> None:
    assert folder_name(name) == name


@laws
@given(month=MONTHS)
def test_a_partition_gives_its_month_back(month: str) -> None:
    assert partition_month(partition_folder(month)) == month


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "2026-01",
        "created_month=",
        "created_month=2026-13",
        "created_month=2026-00",
        "created_month=2026-1",
        "created_month=2026-01-01",
        "created_month=2026-01\n",
        "created_month=unknown2",
        "created_month=__HIVE_DEFAULT_PARTITION__",
        "xcreated_month=2026-01",
    ],
)
def test_a_foreign_folder_is_no_partition(folder: str) -> None:
    assert partition_month(folder) is None


@laws
@given(paths=PATHS, month=MONTHS)
def test_a_published_file_gives_its_month_back(paths: TablePaths, month: str) -> None:
    assert paths.month_of(paths.published(month)) == month
    assert paths.published(month).startswith(f"{paths.data}/")
    assert paths.published(month).endswith("/data.parquet")


@laws
@given(paths=PATHS)
def test_the_single_file_of_a_replaced_table_has_no_month(paths: TablePaths) -> None:
    assert paths.published(None) == f"{paths.data}/data.parquet"
    assert paths.month_of(paths.published(None)) is None


@laws
@given(paths=PATHS, month=MONTHS)
def test_a_foreign_file_beside_the_published_ones_has_no_month(paths: TablePaths, month: str) -> None:
    folder = f"{paths.data}/{partition_folder(month)}"
    for foreign in (f"{folder}/old.parquet", f"{folder}/x/data.parquet", f"{paths.data}/x/data.parquet"):
        assert paths.month_of(foreign) is None


@laws
@given(paths=PATHS, run=RUNS, month=st.none() | MONTHS, number=NUMBERS)
def test_a_part_gives_its_run_and_month_back(paths: TablePaths, run: str, month: str | None, number: int) -> None:
    part = paths.part(run, month, number)
    assert part.startswith(f"{paths.staging}/{run}/")
    assert re.fullmatch(r"part-[0-9]{6}\.parquet", part.rsplit("/", 1)[1])
    assert paths.run_and_month(part) == (run, month)


@laws
@given(paths=PATHS, run=RUNS, month=st.none() | MONTHS, left=NUMBERS, right=NUMBERS)
@example(paths=TablePaths("a", "tags"), run="r", month=None, left=9, right=10)
@example(paths=TablePaths("a", "tags"), run="r", month=None, left=99_999, right=100_000)
def test_parts_sort_by_name_in_the_order_in_which_they_were_read(
    paths: TablePaths, run: str, month: str | None, left: int, right: int
) -> None:
    first, second = paths.part(run, month, left), paths.part(run, month, right)
    assert (first < second) == (left < right)
    assert (first == second) == (left == right)


@laws
@given(paths=PATHS, other=PATHS, run=RUNS, month=st.none() | MONTHS)
def test_a_part_of_another_table_or_connection_is_no_part_of_this_one(
    paths: TablePaths, other: TablePaths, run: str, month: str | None
) -> None:
    if paths == other:
        return
    assert other.run_and_month(paths.part(run, month, 0)) is None
    assert other.month_of(paths.published(month)) is None


@laws
@given(paths=PATHS, run=RUNS, month=MONTHS)
def test_a_staged_file_of_another_kind_is_no_part(paths: TablePaths, run: str, month: str) -> None:
    folder = f"{paths.staging}/{run}"
    for foreign in (
        f"{folder}/done.json",
        f"{paths.staging}/stray.parquet",
        f"{folder}/2026-01/part-000001.parquet",
        f"{folder}/{partition_folder(month)}/x/part-000001.parquet",
        f"{paths.data}/{run}/part-000001.parquet",
        f"{run}/part-000001.parquet",
        f"{run}/{partition_folder(month)}/part-000001.parquet",
    ):
        assert paths.run_and_month(foreign) is None


@laws
@given(paths=PATHS, other=PATHS)
def test_tables_and_connections_never_share_a_folder_or_a_record(paths: TablePaths, other: TablePaths) -> None:
    for name in ("data", "staging", "state"):
        assert (getattr(paths, name) == getattr(other, name)) == (paths == other)


@laws
@given(paths=PATHS, month=st.none() | MONTHS, run=RUNS)
def test_nothing_but_published_files_lies_below_data(paths: TablePaths, month: str | None, run: str) -> None:
    assert paths.data.split("/")[0] == "data"
    assert paths.part(run, month, 0).split("/")[0] == "_staging"
    assert paths.state.split("/")[0] == "_state"


@laws
@given(paths=PATHS)
def test_a_table_lies_two_folders_below_the_top_whatever_its_connection_is_called(paths: TablePaths) -> None:
    folder = folder_name(paths.connection)
    assert paths.data.split("/") == ["data", folder, paths.table]
    assert paths.staging.split("/") == ["_staging", folder, paths.table]
    assert paths.state.split("/") == ["_state", folder, f"{paths.table}.json"]
