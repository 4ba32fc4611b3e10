"""What the README and the page on reading a lake say is run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import s3fs
import sqlglot
from s3fs.utils import FileExpired

from intercom.tables.catalogue import TABLES
from tests.conftest import BUCKET
from tests.support.markdown import DOCS, ROOT, blocks, section
from tests.support.readers import READERS, plain_strings, spark_session
from tests.support.rig import BY_DEFAULT
from tests.support.truth import assert_exact

from .conftest import ReadableLake

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (DOCS / "how-to" / "read.md").read_text(encoding="utf-8")


def texts(page: str, heading: str, language: str) -> list[str]:
    return [block.text for block in blocks(section(page, heading), language)]


LOCAL = texts(PAGE, "Readers", "python")
(STORE,) = texts(PAGE, "Reads that overlap a run", "python")


def engine(block: str) -> str:
    return re.findall(r"(?:import|from) (\w+)", block)[0]


RUN = [block for block in LOCAL if engine(block) != "pyspark" or "spark-folder" in READERS]


def in_arrow(read: Any) -> pa.Table:
    match read:
        case duckdb.DuckDBPyRelation():
            return read.to_arrow_table()
        case pl.LazyFrame():
            return read.collect().to_arrow()
        case pd.DataFrame():
            return pa.Table.from_pandas(read, preserve_index=False)
        case ds.Dataset():
            return read.to_table()
        case pa.Table():
            return read
    return read.toArrow()  # Spark's frame, where there is Spark


def run(block: str) -> pa.Table:
    names: dict[str, Any] = {}
    exec(block, names)
    return plain_strings(in_arrow(names["contacts"]))


def test_the_readme_has_three_of_them() -> None:
    of_readme = texts(README, "Read the lake", "python")
    assert of_readme == LOCAL[: len(of_readme)]
    assert len(of_readme) == 3


def test_there_is_a_block_for_every_engine_that_is_tested() -> None:
    assert {engine(block) for block in LOCAL} == {"duckdb", "polars", "pandas", "pyarrow", "pyspark"}
    assert {name.split("-")[0] for name in READERS} >= {engine(block) for block in RUN} - {"pyspark"}


@pytest.mark.parametrize("block", RUN, ids=engine)
def test_a_block_reads_the_table(lake: ReadableLake, tmp_path: Path, block: str) -> None:
    shutil.copytree(lake.folder("contacts"), tmp_path / "lake/demo/data/demo/contacts")
    duckdb.execute("SET TimeZone = 'UTC'")
    if engine(block) == "pyspark":
        spark_session()  # one in UTC, which the block then gets
    rows = run(block.replace("lake/", f"{tmp_path}/lake/"))
    assert rows.schema.equals(TABLES["contacts"].schema.arrow.append(pa.field("created_month", pa.string())))
    assert_exact(lake.served["contacts"], rows, "contacts")


@pytest.fixture
def stored(lake: ReadableLake, s3_endpoint: str, s3_storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The table's folder on S3, as the README's block names it but for the bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    folder = f"{BUCKET}/data/demo/contacts"
    s3fs.S3FileSystem(**s3_storage).put(f"{lake.folder('contacts')}/", f"{folder}/", recursive=True)
    return folder


def test_the_s3_block_reads_what_a_reader_with_an_old_listing_does_not(
    lake: ReadableLake, stored: str, s3_storage: dict[str, Any]
) -> None:
    old = ds.dataset(stored, filesystem=s3fs.S3FileSystem(skip_instance_cache=True), partitioning="hive")
    file = "created_month=unknown/data.parquet"
    rows = pq.read_table(lake.folder("contacts") / file, partitioning=None)
    with s3fs.S3FileSystem(**s3_storage).open(f"{stored}/{file}", "wb") as replaced:
        pq.write_table(rows, replaced, compression="none")
    with pytest.raises(FileExpired):
        old.to_table()
    assert_exact(lake.served["contacts"], run(STORE.replace("bucket/prefix", BUCKET)), "contacts")


def test_the_commands_print_sql_for_every_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a lake that has all of them, and of one on S3 that cannot be reached from here."""
    for table in TABLES:
        (tmp_path / "lake/data/my_intercom" / table).mkdir(parents=True)
        (tmp_path / "lake/data/my_intercom" / table / "data.parquet").touch()
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "ENDPOINT_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    (block,) = texts(PAGE, "DuckDB views and Athena tables", "console")
    for line in block.splitlines():
        command = line.removeprefix("$ ").replace("intercom-lake", f"{sys.executable} -m intercom.cli.app", 1)
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    for file, dialect, expected in (("views.sql", "duckdb", TABLES), ("tables.sql", "athena", BY_DEFAULT)):
        statements = sqlglot.parse((tmp_path / file).read_text(encoding="utf-8"), dialect=dialect)
        made = [statement.this.find(sqlglot.exp.Table).name for statement in statements if statement.kind != "SCHEMA"]
        assert made[-len(expected) :] == list(expected)
    assert f"'{tmp_path}/lake/data/my_intercom/" in (tmp_path / "views.sql").read_text(encoding="utf-8")
