"""The file of row digests: what was written, under the mark that the table's record has."""

from __future__ import annotations

from pathlib import Path

import pytest

from intercom.lake.layout import TablePaths
from intercom.lake.row_digests import RowDigest, read_digests, write_digests
from intercom.lake.storage import Lake

PATHS = TablePaths("acme", "companies")
ROWS = {b"1": RowDigest(b"a" * 16, 1_790_000_000), b"2": RowDigest(b"b" * 16, None)}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_digests_are_read_as_they_were_written(lake: Lake) -> None:
    write_digests(lake, PATHS, "mark", ROWS)
    assert read_digests(lake, PATHS, "mark") == ROWS
    write_digests(lake, PATHS, "later", {})
    assert read_digests(lake, PATHS, "later") == {}


def test_those_of_another_mark_and_those_that_are_gone_are_none(lake: Lake) -> None:
    assert read_digests(lake, PATHS, "mark") == {}
    write_digests(lake, PATHS, "other", ROWS)
    assert read_digests(lake, PATHS, "mark") == {}


def test_a_damaged_file_is_none_and_is_told(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    write_digests(lake, PATHS, "mark", ROWS)
    file = Path(lake.url.removeprefix("file://"), PATHS.digests)
    content = bytearray(file.read_bytes())
    content[20] ^= 255
    file.write_bytes(content)
    assert read_digests(lake, PATHS, "mark") == {}
    assert "is damaged and is ignored" in caplog.text
