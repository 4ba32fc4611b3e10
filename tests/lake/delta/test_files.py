"""The small parts of Delta tables: what the log says of a file, the address of a table, names that tell a format."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.config.redaction import without
from intercom.errors import ConfigurationError
from intercom.lake.delta.credentials import credentials_in, storage_options, table_uri
from intercom.lake.delta.files import DeltaFiles
from intercom.lake.delta.statistics import statistics_of
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable

PATHS = TablePaths("acme", "contacts")
NAME = "0123456789abcdef0123456789abcdef"


def told(path: Path, row_group_size: int | None = None, **columns: Any) -> dict[str, Any]:
    """What the log would say of a file with these columns."""
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    found: dict[str, Any] = json.loads(statistics_of(pq.read_metadata(path)))
    return found


def times(*values: datetime | None) -> pa.Array:
    return pa.array(values, pa.timestamp("us", "UTC"))


def test_bounds_are_those_of_all_row_groups(tmp_path: Path) -> None:
    assert told(tmp_path / "f", row_group_size=2, id=["c", "b", None, None, "z", "a"], name=["x"] * 6) == {
        "numRecords": 6,
        "minValues": {"id": "a"},
        "maxValues": {"id": "z"},
        "nullCount": {"id": 2},
    }


def test_a_file_without_rows_or_values_has_no_bounds(tmp_path: Path) -> None:
    empty = told(tmp_path / "a", id=pa.array([], pa.string()))
    assert (empty["numRecords"], empty["minValues"], empty["maxValues"]) == (0, {}, {})
    nulls = told(tmp_path / "b", id=pa.array([None], pa.string()))
    assert (nulls["minValues"], nulls["maxValues"], nulls["nullCount"]) == ({}, {}, {"id": 1})


def test_a_row_group_of_nulls_does_not_hide_the_bounds_of_the_others(tmp_path: Path) -> None:
    found = told(tmp_path / "f", row_group_size=2, id=[None, None, "b", "a"])
    assert (found["minValues"], found["maxValues"], found["nullCount"]) == ({"id": "a"}, {"id": "b"}, {"id": 2})


def test_times_are_told_in_milliseconds_and_never_too_narrow(tmp_path: Path) -> None:
    first, last = (datetime(2026, 1, 31, 23, 59, 59, part, UTC) for part in (1_999, 999_001))
    found = told(tmp_path / "f", created_at=times(first, last))
    assert found["minValues"] == {"created_at": "2026-01-31T23:59:59.001Z"}
    assert found["maxValues"] == {"created_at": "2026-02-01T00:00:00.000Z"}


def test_whole_seconds_are_told_as_they_are_also_before_1970(tmp_path: Path) -> None:
    at = datetime(1969, 12, 31, 23, 59, 58, tzinfo=UTC)
    found = told(tmp_path / "f", updated_at=times(at, None))
    assert found["minValues"] == found["maxValues"] == {"updated_at": "1969-12-31T23:59:58.000Z"}


def test_bounds_in_the_first_and_last_year_have_four_digits_or_are_left_out(tmp_path: Path) -> None:
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    found = told(
        tmp_path / "f", created_at=times(first, last), updated_at=times(last.replace(microsecond=999_999), None)
    )
    assert found["minValues"] == {"created_at": "0001-01-01T00:00:00.000Z", "updated_at": "9999-12-31T23:59:59.999Z"}
    assert found["maxValues"] == {"created_at": "9999-12-31T23:59:59.000Z"}


def test_columns_without_statistics_are_left_out(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "f", write_statistics=False)
    found = json.loads(statistics_of(pq.read_metadata(tmp_path / "f")))
    assert found == {"numRecords": 1, "minValues": {}, "maxValues": {}, "nullCount": {}}


@pytest.mark.parametrize(
    ("path", "format_"),
    [
        ("data.parquet", "parquet"),
        ("created_month=2026-01/data.parquet", "parquet"),
        ("created_month=unknown/data.parquet", "parquet"),
        (f"{NAME}.parquet", "delta"),
        (f"created_month=2026-01/{NAME}.parquet", "delta"),
        ("_delta_log/00000000000000000000.json", "delta"),
        ("_delta_log/x/y", "delta"),
        ("created_month=2026-01/part-0.parquet", None),
        ("year=2026/data.parquet", None),
        (f"created_month=2026-01/more/{NAME}.parquet", None),
    ],
)
def test_a_name_tells_the_format(path: str, format_: str | None) -> None:
    assert PATHS.format_of(f"{PATHS.data}/{path}") == format_


@pytest.mark.parametrize("month", ["2026-01", "unknown", ""])
def test_names_that_we_give_tell_the_format(month: str) -> None:
    assert PATHS.format_of(PATHS.versioned(month, NAME)) is TableFormat.DELTA
    assert PATHS.format_of(PATHS.published(month or None)) is TableFormat.PARQUET


def test_a_table_has_an_address_wherever_the_lake_lies(tmp_path: Path) -> None:
    assert table_uri(Lake(str(tmp_path / "a lake, ü")), "data/x").endswith("/a%20lake%2C%20%C3%BC/data/x")
    assert table_uri(Lake("s3a://bucket/some where"), "data/x") == "s3://bucket/some%20where/data/x"
    assert storage_options(Lake(str(tmp_path))) == {}


@pytest.mark.parametrize(
    ("url", "connection", "said"),
    [
        ("memory://lake", "acme", "local folder or S3"),
        ("s3://bucket/100%", "acme", "'%'"),
        ("{tmp}/lake", "Zoë", "Name the connection"),
    ],
)
def test_a_lake_that_deltalake_cannot_work_with_is_refused(
    url: str, connection: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        DeltaFiles(Lake(url.format(tmp=tmp_path)), TablePaths(connection, "contacts"))


def test_a_missing_package_is_told_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(ConfigurationError, match=r"with the extra \[delta\]"):
        LakeTable(Lake(str(tmp_path)), PATHS, table_format=TableFormat.DELTA)
    LakeTable(Lake(str(tmp_path)), PATHS)


def test_errors_lose_credentials_and_keep_the_rest() -> None:
    options = {"AWS_SESSION_TOKEN": "tok", "AWS_SECRET_ACCESS_KEY": "sec", "AWS_ACCESS_KEY_ID": "", "AWS_REGION": "eu"}
    assert without("<Token-0>tok</Token-0> sec eu", credentials_in(options)) == "<Token-0>...</Token-0> ... eu"
