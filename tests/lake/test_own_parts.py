"""What a process knows of the parts that it has staged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from intercom.lake.own_parts import OwnParts
from intercom.lake.parquet import ChangedFileError, is_damage

KEYS: Any = pa.table({"id": [f"{number:08}" for number in range(100)], "updated_at": range(100)})
SIZE = KEYS.get_total_buffer_size()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "part.parquet"
    path.write_bytes(b"as it was written")
    return path


def kept(parts: OwnParts, path: str, *columns: str) -> Any:
    part = parts.get(path)
    return None if part is None else part.only(columns)


def test_key_columns_are_kept_until_their_room_is_full_and_again_when_parts_are_deleted(file: Path) -> None:
    parts = OwnParts(2 * SIZE)
    for name in ("a", "b", "c"):
        parts.note(name, file, "run.1", KEYS)
    assert [kept(parts, name, "id") is not None for name in ("a", "b", "c", "d")] == [True, True, False, False]
    parts.forget(["a", "c", "d"])
    for name in ("e", "f"):
        parts.note(name, file, "run.1", KEYS)
    assert [kept(parts, name, "id") is not None for name in ("a", "e", "f")] == [False, True, False]


def test_a_part_that_is_staged_again_takes_its_room_once(file: Path) -> None:
    parts = OwnParts(SIZE)
    for _ in range(3):
        parts.note("a", file, "run.1", KEYS)
    assert kept(parts, "a", "id") is not None


def test_a_slice_counts_as_all_that_it_keeps_in_memory(file: Path) -> None:
    parts = OwnParts(SIZE - 1)
    parts.note("a", file, "run.1", KEYS.slice(0, 1))
    assert kept(parts, "a", "id") is None


def test_columns_come_in_the_order_that_is_asked_for_and_not_without_one_that_is_missing(file: Path) -> None:
    parts = OwnParts()
    parts.note("a", file, "run.1", KEYS)
    assert kept(parts, "a", "updated_at", "id").column_names == ["updated_at", "id"]
    assert kept(parts, "a", "id", "name") is None


def test_a_file_that_is_not_as_it_was_written_is_damaged(file: Path) -> None:
    parts = OwnParts()
    parts.note("a", file, "run.1", KEYS)
    parts.check("a", file)
    file.write_bytes(b"as it was Written")
    with pytest.raises(ChangedFileError) as error:
        parts.check("a", file)
    assert is_damage(error.value)
    assert parts.differs("a", file)


def test_of_a_part_of_another_process_nothing_is_known(file: Path) -> None:
    parts = OwnParts()
    assert parts.get("a") is None
    assert not parts.differs("a", file)
    parts.check("a", file)
