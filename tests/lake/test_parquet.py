"""Parquet files as they are written and opened: bytes that change on the disk are noticed, never read as values."""

from __future__ import annotations

import ast
import errno
import hashlib
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import intercom
from intercom.compaction.partition import PartitionMerge
from intercom.compaction.replace import replace_file
from intercom.compaction.row_counts import RowCounts
from intercom.lake.parquet import (
    ParquetFile,
    content_digest,
    file_digests,
    footer_digest,
    has_checksums,
    is_damage,
    is_whole,
    open_parquet,
    version_of,
)
from intercom.tables.catalogue import TABLES
from tests.support.parquet import damaged, write_parquet

TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema([("id", pa.string()), ("updated_at", TIME), ("name", pa.string()), ("_ingested_at", TIME)])


def rows(count: int = 5_000, ingested: int = 1) -> Any:
    """Rows that do not compress to nothing, always the same."""
    chance = random.Random(7)
    return pa.table(
        [
            pa.array([f"{chance.getrandbits(96):024x}" for _ in range(count)]),
            pa.array([chance.randrange(10**15) for _ in range(count)], pa.int64()).cast(TIME),
            pa.array([f"{chance.getrandbits(64):x}" for _ in range(count)]),
            pa.array([ingested] * count, pa.int64()).cast(TIME),
        ],
        schema=SCHEMA,
    )


def without_checksums(path: Path, table: Any) -> Path:
    """A file as the first versions wrote it."""
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        writer.add_key_value_metadata({"intercom_lake.version": "first"})
        writer.write_table(table)
    return path


def merge(stored: Path | None, parts: Sequence[Path], target: Path) -> RowCounts:
    merge = PartitionMerge(stored, parts, SCHEMA, primary_key=("id",), newest_by=("updated_at", "_ingested_at"))
    try:
        return merge.write(target, "merged")
    finally:
        merge.close()


def test_twenty_bad_bytes_in_any_column_are_an_error_and_never_values(tmp_path: Path) -> None:
    """Most of these files pyarrow by itself reads to the end, with other values in them."""
    table = rows()
    path = write_parquet(tmp_path / "x.parquet", table, row_group_size=1_000)
    silent = 0
    for group in range(5):
        for column in ("id", "updated_at", "name"):
            bad = damaged(path, tmp_path / "bad.parquet", column, group)
            with pytest.raises(OSError, match="checksum") as error, open_parquet(bad) as file:
                file.read()
            assert is_damage(error.value)
            assert not is_whole(bad)
            with suppress(OSError, pa.ArrowException):
                silent += not pq.ParquetFile(bad).read().equals(table)
    assert silent >= 5
    assert is_whole(path)


@pytest.mark.parametrize("size", [0, 3, 11, -1, -2_000])
def test_an_empty_file_and_one_cut_short_are_damaged(tmp_path: Path, size: int) -> None:
    path = write_parquet(tmp_path / "x.parquet", rows())
    path.write_bytes(path.read_bytes()[:size])
    assert not is_whole(path)
    assert version_of(path) is None
    assert not has_checksums(path)


def test_what_says_nothing_of_the_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        is_whole(tmp_path / "gone.parquet")
    assert not is_damage(OSError(errno.EIO, "the disk"))
    assert not is_damage(pa.ArrowMemoryError("no memory"))
    assert not is_damage(pa.ArrowCancelled("ended"))


def test_no_other_module_opens_parquet_files() -> None:
    """Whoever does would have to remember the checksums."""
    found = set()
    for path in Path(intercom.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for name in (*names, module, *(f"{module}.{name}" for name in names)):
                if name.startswith(("pyarrow.parquet", "pyarrow.dataset", "pyarrow._parquet")):
                    found.add(path.name)
    assert found == {"parquet.py"}


# -- files of the first versions ------------------------------------------------------------------------------------


def test_a_stored_file_without_checksums_is_written_anew_although_nothing_changed(tmp_path: Path) -> None:
    table = rows(count=100)
    stored = without_checksums(tmp_path / "stored.parquet", table)
    part = write_parquet(tmp_path / "part.parquet", rows(count=100, ingested=2))
    merged = merge(stored, [part], tmp_path / "new.parquet")
    assert merged == RowCounts(rows=100, unchanged=100, files=1)
    assert has_checksums(tmp_path / "new.parquet")
    assert pq.read_table(tmp_path / "new.parquet").equals(table)
    assert not merge(tmp_path / "new.parquet", [part], tmp_path / "newer.parquet").files


def test_a_staged_part_without_checksums_is_not_published_as_it_is(tmp_path: Path) -> None:
    part = without_checksums(tmp_path / "part.parquet", rows(count=100))
    assert merge(None, [part], tmp_path / "new.parquet").files
    assert has_checksums(tmp_path / "new.parquet")
    assert version_of(tmp_path / "new.parquet") == "merged"


def test_a_replace_table_without_checksums_is_written_anew_although_nothing_changed(tmp_path: Path) -> None:
    tags = TABLES["tags"]
    values = {"id": ["1"], "name": ["vip"], "_ingested_at": [0]}
    table = pa.table(
        [pa.array(values.get(field.name, [None])).cast(field.type) for field in tags.schema.arrow],
        schema=tags.schema.arrow,
    )
    stored = without_checksums(tmp_path / "stored.parquet", table)
    part = write_parquet(tmp_path / "part.parquet", table)
    merged = replace_file(tags, stored, [part], tmp_path / "new.parquet", "merged")
    assert merged == RowCounts(rows=1, unchanged=1, files=1)
    assert has_checksums(tmp_path / "new.parquet")
    assert not replace_file(tags, tmp_path / "new.parquet", [part], tmp_path / "newer.parquet", "again").files


# -- damaged parts --------------------------------------------------------------------------------------------------


def test_a_damaged_part_is_not_published_as_it_is(tmp_path: Path) -> None:
    """Of a new month in one part only the keys are needed; the other columns are read for their checksums."""
    part = write_parquet(tmp_path / "part.parquet", rows())
    bad = damaged(part, tmp_path / "bad.parquet", "name")
    with pytest.raises(OSError, match="checksum"):
        merge(None, [bad], tmp_path / "new.parquet")
    assert merge(None, [part], tmp_path / "new.parquet").files
    assert (tmp_path / "new.parquet").read_bytes() == part.read_bytes()


@pytest.mark.parametrize("first", [0, 50], ids=["whole", "a slice"])
def test_small_columns_are_in_snappy_and_others_in_zstd(tmp_path: Path, first: int) -> None:
    """Of each column, whatever it is: pyarrow writes one that it is told nothing of without compression."""
    table: Any = pa.table(
        {
            "few": ["a"] * 100,
            "long": ["a" * 100] * 100,
            "nothing": pa.nulls(100, pa.string()),
            "number": pa.array(range(100), pa.int64()),
        }
    )
    table = pa.concat_tables([table] * 11).combine_chunks().slice(first, 100) if first else table
    with ParquetFile(tmp_path / "x.parquet", table.schema, "v1") as file:
        file.write(table)
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    codecs = {group.column(place).path_in_schema: group.column(place).compression for place in range(4)}
    assert codecs == {"few": "SNAPPY", "long": "ZSTD", "nothing": "SNAPPY", "number": "SNAPPY"}


def test_many_numbers_are_in_zstd(tmp_path: Path) -> None:
    table = pa.table({"number": pa.array(range(300), pa.int64()), "flag": [True] * 300})
    with ParquetFile(tmp_path / "x.parquet", table.schema, "v1") as file:
        file.write(table)
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    assert [group.column(place).compression for place in range(2)] == ["ZSTD", "SNAPPY"]


@pytest.mark.parametrize("size", [0, 11, 5_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_digests_are_of_all_bytes_and_of_the_footer(tmp_path: Path, size: int) -> None:
    path, footer = tmp_path / "x.parquet", b"the footer"
    end = footer + len(footer).to_bytes(4, "little") + b"PAR1"
    content = (b"ab" * size + end)[-size:] if size else b""
    path.write_bytes(content)
    of_footer = hashlib.blake2b(footer, digest_size=8).hexdigest() if size >= 12 else ""
    assert file_digests(path) == (of_footer, hashlib.blake2b(content, digest_size=16).hexdigest())
    assert (footer_digest(path), content_digest(path)) == file_digests(path)


def test_no_table_has_a_nested_column() -> None:
    """Codecs are given by the names of columns, which the parts of a nested one do not have."""
    fields = [field for table in TABLES.values() for field in table.schema.arrow]
    assert not [field for field in fields if pa.types.is_nested(field.type)]
