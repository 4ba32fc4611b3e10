"""Reads a table of a lake with several query engines, by a glob or by the table's folder.

Every reader gives one Arrow table: ``READERS[name](Path(lake) / TablePaths(connection, table).data)``. Rows are in
no defined order. All of Arrow's string types are converted to `string`; nothing else is converted.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def _duckdb_glob(folder: Path) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")  # the session's time zone becomes that of the Arrow columns
        rows: pa.Table = connection.sql(f"FROM read_parquet('{folder}/**/*.parquet')").to_arrow_table()
        return rows


def _polars_glob(folder: Path) -> pa.Table:
    return pl.scan_parquet(f"{folder}/**/*.parquet", hive_partitioning=True).collect().to_arrow()


def _polars_folder(folder: Path) -> pa.Table:
    return pl.read_parquet(folder).to_arrow()


def _pandas_folder(folder: Path) -> pa.Table:
    # pandas' own types have no null for whole numbers, which become floats.
    frame = pd.read_parquet(folder, dtype_backend="pyarrow")
    return pa.Table.from_pandas(frame, preserve_index=False)


def _pyarrow_glob(folder: Path) -> pa.Table:
    files = [str(path) for path in folder.glob("**/*.parquet")]
    return ds.dataset(files, partitioning="hive", partition_base_dir=str(folder)).to_table()


def _pyarrow_folder(folder: Path) -> pa.Table:
    return ds.dataset(folder, partitioning="hive").to_table()


def _pyarrow_read_table(folder: Path) -> pa.Table:
    return pq.read_table(folder)


def _spark_folder(folder: Path) -> pa.Table:
    rows: pa.Table = spark_session().read.parquet(str(folder)).toArrow()
    return rows


def spark_session() -> Any:
    """One session for the whole process: starting one takes seconds."""
    from pyspark.sql import SparkSession

    return (
        SparkSession.builder.master("local[1]")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )


def plain_strings(rows: pa.Table) -> pa.Table:
    """The same rows with every text column as `string`; metadata of the engine's own is left out."""
    fields = [pa.field(column.name, pa.string() if _is_text(column.type) else column.type) for column in rows.schema]
    return rows.cast(pa.schema(fields))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


Reader = Callable[[Path], pa.Table]

_ENGINES: dict[str, Reader] = {
    "duckdb-glob": _duckdb_glob,
    "polars-glob": _polars_glob,
    "polars-folder": _polars_folder,
    "pandas-folder": _pandas_folder,
    "pyarrow-glob": _pyarrow_glob,
    "pyarrow-folder": _pyarrow_folder,
    "pyarrow-read_table": _pyarrow_read_table,
}
if importlib.util.find_spec("pyspark") and shutil.which("java"):
    # 490 MB, built from source: not a dependency of the tests, but tested if it is installed.
    _ENGINES["spark-folder"] = _spark_folder


def _plain(engine: Reader) -> Reader:
    return lambda folder: plain_strings(engine(folder))


READERS: Final[dict[str, Reader]] = {name: _plain(engine) for name, engine in _ENGINES.items()}
"""Readers by engine and by what it is given: a glob of all Parquet files below the table's folder, or that folder."""
