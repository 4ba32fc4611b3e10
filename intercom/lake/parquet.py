"""Reading and writing of Parquet files: compression, page checksums, row groups, versions in footers.

Every page has a checksum (CRC-32 of its bytes, as the Parquet format has it), and whoever reads values opens the file
with `open_parquet`, which compares them: without that pyarrow gives wrong values for bytes that have changed on the
disk, with no error. Nothing else of the package imports `pyarrow.parquet`.
"""

from __future__ import annotations

import hashlib
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Self, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

_VERSION = b"intercom_lake.version"
_CHECKSUMS = b"intercom_lake.checksums"
_OF_PAGES = b"pages"
_ROWS_FOR_DICTIONARIES = 1_024

ParquetReader: TypeAlias = pq.ParquetFile
"""A Parquet file that is open to be read."""
Footer: TypeAlias = pq.FileMetaData
"""What a Parquet file says of itself: rows, columns, statistics, notes."""
RowGroup: TypeAlias = pq.RowGroupMetaData
"""What a footer says of a row group."""


class ParquetFile:
    """A Parquet file being written, zstd level 1, with page checksums: half the size of snappy for the same time.

    `version` goes into its footer: who wrote it, so that a file of the same size from a backup can be told apart.
    Beside it stands that the pages have checksums, which nothing else in the file says.
    Without `dictionaries` a file is no larger, as zstd finds what repeats, and takes 40 % less to write and to read
    whole; queries of a few columns like them.
    """

    def __init__(self, path: Path, schema: pa.Schema, version: str, *, dictionaries: bool = True) -> None:
        self._path, self._schema, self._version, self._dictionaries = path, schema, version, dictionaries
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        writer = self._writer or self._opened(self._schema.empty_table())
        writer.close()

    def write(self, rows: pa.Table, row_group_size: int | None = None) -> None:
        """Append rows, in row groups of at most `row_group_size` rows."""
        self._opened(rows).write_table(rows, row_group_size=row_group_size)

    def _opened(self, rows: pa.Table) -> pq.ParquetWriter:
        """The writer; for a few rows dictionaries cost a third of the time and save nothing."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path,
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=self._dictionaries and rows.num_rows >= _ROWS_FOR_DICTIONARIES,
                write_page_checksum=True,
            )
            notes = {_VERSION: self._version.encode(), _CHECKSUMS: _OF_PAGES}
            self._writer.add_key_value_metadata(notes)  # type: ignore[arg-type, unused-ignore]
        return self._writer


def open_parquet(source: Path | RawIOBase | BytesIO) -> ParquetReader:
    """A Parquet file to read values from, with the checksums of its pages compared; to be closed, or used in a `with`.

    `source` is a path or an open file.
    Raises what `is_damage` tells, here or when rows are read, for a file that is not as it was written.
    """
    return pq.ParquetFile(source, page_checksum_verification=True)  # type: ignore[arg-type, unused-ignore]


def footer_of(path: Path) -> Footer:
    """The footer of a Parquet file: rows, columns, statistics, no values. Raises as `open_parquet`."""
    return pq.read_metadata(path)


class ChangedFooterError(OSError):
    """A footer that can be read and is not the one that was written: rows, types or statistics in it may be wrong."""

    def __init__(self) -> None:
        super().__init__("its footer is not the one that was written")


def footer_digest(path: Path) -> str:
    """16 hex digits for the bytes of a file's footer, which has no checksum of its own; "" where there is none."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 8))
        size = int.from_bytes(file.read(4), "little")
        if end < 12 or size > end - 12:
            return ""
        file.seek(end - 8 - size)
        return hashlib.blake2b(file.read(size), digest_size=8).hexdigest()


def check_footer(path: Path, digest: str) -> None:
    """Raise ChangedFooterError when a file has another footer than the one of this digest; "" fits every file."""
    if digest and footer_digest(path) != digest:
        raise ChangedFooterError


def version_of(path: Path) -> str | None:
    """The version in a file's footer; None for a file of others, or one that is no Parquet."""
    return _version_in(_notes(path))


def noted_version(footer: Footer) -> str | None:
    """The same of a footer that has been read."""
    return _version_in(footer.metadata or {})


def _version_in(notes: dict[bytes, bytes]) -> str | None:
    version = notes.get(_VERSION)
    return None if version is None else version.decode(errors="replace")


def rows_of(path: Path) -> int:
    """The number of rows by a file's footer."""
    return int(footer_of(path).num_rows)


def has_checksums(path: Path) -> bool:
    """Whether the footer says that the pages have checksums; files of the first versions have none."""
    return _notes(path).get(_CHECKSUMS) == _OF_PAGES


def noted_checksums(footer: Footer) -> bool:
    """The same of a footer that has been read."""
    return (footer.metadata or {}).get(_CHECKSUMS) == _OF_PAGES


def is_damage(error: Exception) -> bool:
    """Whether an error from reading says that a file is not as it was written: no Parquet, cut short, bytes changed.

    Arrow's own word for pages and footers that it cannot decode is an OSError without a number. What says nothing of
    the file, such as no memory or a disk that cannot be read, is no damage.
    """
    if isinstance(error, OSError):
        return error.errno is None and "[errno" not in str(error).lower()
    if isinstance(error, (MemoryError, pa.ArrowCancelled)):
        return False
    return isinstance(error, (pa.ArrowException, UnicodeDecodeError))


def is_whole(path: Path) -> bool:
    """Whether every row of a Parquet file can be read and is as it was written; what `is_damage` denies is raised."""
    try:
        with open_parquet(path) as file:
            for _ in file.iter_batches():
                pass
    except Exception as error:
        if not is_damage(error):
            raise
        return False
    return True


def _notes(path: Path) -> dict[bytes, bytes]:
    """What the writer has noted in the footer; nothing where there is no footer that can be read."""
    try:
        return footer_of(path).metadata or {}
    except (pa.ArrowException, OSError):
        return {}


ROW_GROUP_BYTES = 32 << 20


ROW_GROUP_ROWS = 122_880


class RowGroupWriter:
    """Writes tables of one schema to a Parquet file in row groups of a bounded number of bytes."""

    def __init__(self, path: Path, schema: pa.Schema, version: str) -> None:
        self._file = ParquetFile(path, schema, version)
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    def __enter__(self) -> RowGroupWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._file:
            if error is None:
                self._flush()

    def add(self, rows: pa.Table) -> None:
        """Take rows; a row group is written when enough of them wait."""
        if rows.num_rows == 0:
            return
        self._waiting.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        if self._bytes >= ROW_GROUP_BYTES or self._rows >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            # Cut evenly: two row groups of a stored file stay two, also when the first has lost some rows and waits.
            size = -(-self._rows // max(1, round(self._bytes / ROW_GROUP_BYTES)))
            self._file.write(pa.concat_tables(self._waiting), row_group_size=min(size, ROW_GROUP_ROWS))
        self._waiting, self._rows, self._bytes = [], 0, 0
