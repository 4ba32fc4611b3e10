"""Reading and writing of Parquet files: compression, page checksums, row groups, versions in footers.

Every page has a checksum: the CRC-32 of its bytes, as the Parquet format defines it. Values are read only through
`open_parquet`, which verifies the checksums. Without that, pyarrow returns wrong values, and no error, for bytes that
have changed on the disk. No other module of the package imports `pyarrow.parquet`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple, Self, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from intercom.tables.schema import DELETED_AT

_VERSION = b"intercom_lake.version"
_CHECKSUMS = b"intercom_lake.checksums"
_OF_PAGES = b"pages"
_ROWS_FOR_DICTIONARIES = 1_024
_Codec = Literal["gzip", "brotli", "lz4", "zstd", "snappy", "none"]
_SMALL_COLUMN_BYTES = 2 << 10  # Arrow bytes of the first row group
_OF_8_BYTES: Final = frozenset([pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us", tz="UTC")])
"""Types of at most 8 bytes a value, and a bit that says whether it is null."""
_READ_AT_ONCE = 1 << 20

ParquetReader: TypeAlias = pq.ParquetFile
"""A Parquet file that is open to be read."""
Footer: TypeAlias = pq.FileMetaData
"""A Parquet file's footer: number of rows, columns, statistics, key-value metadata."""
RowGroup: TypeAlias = pq.RowGroupMetaData
"""The metadata of one row group, from the footer."""


class Written(NamedTuple):
    """What a writer has put into a file, in all."""

    rows: int
    size: int


class ParquetFile:
    """A Parquet file being written, with page checksums, in zstd level 1: half the size of snappy in the same time.

    Small columns are in snappy instead, see `_codecs`.
    `version` is written into the footer. It names the run or compaction that wrote the file, so that a file of the same
    size from a backup can be told apart. The footer also notes that the pages have checksums; nothing else in the file
    says so.
    Without `dictionaries` a file is no larger, because zstd compresses repeated values, and writing it or reading it
    whole takes 40 % less time. Queries of a few columns are faster with dictionaries.
    """

    def __init__(self, path: Path, schema: pa.Schema, version: str, *, dictionaries: bool = True) -> None:
        self._path, self._schema, self._version, self._dictionaries = path, schema, version, dictionaries
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        self._sink = pa.OSFile(str(self._path), "wb")
        return self

    def __exit__(self, *_: object) -> None:
        with self._sink:
            writer = self._writer or self._opened(self._schema.empty_table())
            writer.close()
            self._size = self._sink.tell()

    @property
    def written(self) -> Written:
        """What was written, when the block has ended without an error."""
        assert self._writer is not None
        return Written(self._writer.writer.metadata.num_rows, self._size)

    def write(self, rows: pa.Table, row_group_size: int | None = None) -> None:
        """Append rows, in row groups of at most `row_group_size` rows."""
        self._opened(rows).write_table(rows, row_group_size=row_group_size)

    def _opened(self, rows: pa.Table) -> pq.ParquetWriter:
        """The writer, without dictionaries for few rows: there they take a third of the time and save nothing."""
        if self._writer is None:
            codecs = _codecs(rows)
            self._writer = pq.ParquetWriter(
                self._sink,
                self._schema,
                compression=codecs,
                compression_level={name: 1 for name, codec in codecs.items() if codec == "zstd"} or None,
                use_dictionary=self._dictionaries and rows.num_rows >= _ROWS_FOR_DICTIONARIES,
                write_page_checksum=True,
            )
            notes = {_VERSION: self._version.encode(), _CHECKSUMS: _OF_PAGES}
            self._writer.add_key_value_metadata(notes)  # type: ignore[arg-type, unused-ignore]
        return self._writer


def _codecs(rows: pa.Table) -> dict[str, _Codec]:
    """Column -> codec: snappy for columns of at most `_SMALL_COLUMN_BYTES`, zstd for the others.

    zstd prepares each column anew when it is written or read, which takes longer than a small column itself. Without it
    a file of a hundred rows is written and read in 60 % of the time, and is 4 % larger. No column is nested: pyarrow
    would leave one uncompressed.
    """
    few = 9 * rows.num_rows <= _SMALL_COLUMN_BYTES
    columns = zip(rows.column_names, rows.schema.types, rows.columns, strict=True)
    small = {name for name, kind, column in columns if (few and kind in _OF_8_BYTES) or _is_small(column)}
    return {name: "snappy" if name in small else "zstd" for name in rows.column_names}


def _is_small(column: pa.ChunkedArray) -> bool:
    """Whether a column has at most `_SMALL_COLUMN_BYTES`; its buffers are a bound that is had much sooner."""
    return column.get_total_buffer_size() <= _SMALL_COLUMN_BYTES or column.nbytes <= _SMALL_COLUMN_BYTES


def open_parquet(source: Path | RawIOBase | BytesIO) -> ParquetReader:
    """A Parquet file open for reading, with page checksums verified. The caller closes it, or uses it in a `with`.

    `source` is a path or an open file. For a damaged file, this call or a later read raises an error for which
    `is_damage` is True.
    """
    return pq.ParquetFile(source, page_checksum_verification=True)  # type: ignore[arg-type, unused-ignore]


def footer_of(path: Path) -> Footer:
    """The footer of a Parquet file, without reading values. Raises the same errors as `open_parquet`."""
    return pq.read_metadata(path)


class ChangedFooterError(OSError):
    """A readable footer that is not the one that was written: its row counts, types or statistics may be wrong."""

    def __init__(self) -> None:
        super().__init__("its footer is not the one that was written")


class ChangedFileError(OSError):
    """A file whose bytes are not those that were written, whether it can be read or not."""

    def __init__(self) -> None:
        super().__init__("its bytes are not those that were written")


def footer_digest(path: Path) -> str:
    """Digest of a file's footer, 16 hex digits; "" for a file without a footer. Parquet footers have no checksum."""
    with path.open("rb") as file:
        return _footer_digest(file)


def _footer_digest(file: BinaryIO) -> str:
    end = file.seek(0, 2)
    file.seek(max(0, end - 8))
    size = int.from_bytes(file.read(4), "little")
    if end < 12 or size > end - 12:
        return ""
    file.seek(end - 8 - size)
    return hashlib.blake2b(file.read(size), digest_size=8).hexdigest()


def content_digest(path: Path) -> str:
    """Digest of all bytes of a file, 32 hex digits: page headers and footers have no checksum of their own."""
    return file_digests(path)[1]


def file_digests(path: Path) -> tuple[str, str]:
    """`footer_digest` and `content_digest`, as a table's record has them of each file."""
    with path.open("rb") as file:
        content = file.read(_READ_AT_ONCE)
        if len(content) < _READ_AT_ONCE:
            digest = hashlib.blake2b(content, digest_size=16).hexdigest()
            return _footer_digest(BytesIO(content)), digest
        file.seek(0)
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        return _footer_digest(file), digest


def check_footer(path: Path, digest: str) -> None:
    """Raise ChangedFooterError when the footer of a file does not have this digest; "" skips the check."""
    if digest and footer_digest(path) != digest:
        raise ChangedFooterError


def version_of(path: Path) -> str | None:
    """The version in a file's footer; None for a file of another program, or one that is no Parquet file."""
    return _version_in(_notes(path))


def noted_version(footer: Footer) -> str | None:
    """As `version_of`, for a footer that was read already."""
    return _version_in(footer.metadata or {})


def _version_in(notes: dict[bytes, bytes]) -> str | None:
    version = notes.get(_VERSION)
    return None if version is None else version.decode(errors="replace")


def rows_of(path: Path) -> int:
    """The number of rows according to a file's footer."""
    return int(footer_of(path).num_rows)


def marked_rows_of(path: Path) -> int:
    """How many rows are marked as deleted, according to a file's footer; 0 for a file without such a column."""
    footer = footer_of(path)
    if DELETED_AT not in footer.schema.names:
        return 0
    place = footer.schema.names.index(DELETED_AT)
    chunks = [footer.row_group(group).column(place) for group in range(footer.num_row_groups)]
    # Every file of ours has statistics of this column.
    nulls = sum(chunk.statistics.null_count or 0 for chunk in chunks if chunk.statistics is not None)
    return sum(chunk.num_values for chunk in chunks) - nulls


def newest_in(path: Path, column: str) -> datetime | None:
    """The greatest value of a column of UTC times according to a file's footer; None if it does not say.

    Raises the same errors as `open_parquet`.
    """
    footer = footer_of(path)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    noted = [one.statistics for one in columns if one.path_in_schema == column]
    found = [one.max for one in noted if one is not None and one.has_min_max]
    times = [newest for newest in found if isinstance(newest, datetime) and newest.tzinfo]
    return max(times, default=None)


def has_checksums(path: Path) -> bool:
    """Whether the footer says that the pages have checksums; the first package versions wrote none."""
    return _notes(path).get(_CHECKSUMS) == _OF_PAGES


def noted_checksums(footer: Footer) -> bool:
    """As `has_checksums`, for a footer that was read already."""
    return (footer.metadata or {}).get(_CHECKSUMS) == _OF_PAGES


def is_damage(error: Exception) -> bool:
    """Whether an error from reading means that a file is damaged: no Parquet file, cut short, or bytes changed.

    For pages and footers that it cannot decode, Arrow raises an OSError without an errno. An error that says nothing
    about the file's content, such as lack of memory or a disk that cannot be read, is no damage.
    """
    if isinstance(error, OSError):
        return error.errno is None and "[errno" not in str(error).lower()
    if isinstance(error, (MemoryError, pa.ArrowCancelled)):
        return False
    return isinstance(error, (pa.ArrowException, UnicodeDecodeError))


def is_whole(path: Path) -> bool:
    """Whether every row of a Parquet file can be read with valid checksums. Errors that are no damage are raised."""
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
    """Key-value metadata of the footer; empty when the footer cannot be read."""
    try:
        return footer_of(path).metadata or {}
    except (pa.ArrowException, OSError):
        return {}


ROW_GROUP_BYTES = 32 << 20


ROW_GROUP_ROWS = 122_880


class RowGroupWriter:
    """Writes tables of one schema to a Parquet file, in row groups of at most about `ROW_GROUP_BYTES` Arrow bytes."""

    def __init__(self, path: Path, schema: pa.Schema, version: str) -> None:
        self._file = ParquetFile(path, schema, version)
        self._waiting: list[pa.Table] = []
        self._unmeasured: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0
        self._most = 0
        """No more than so many bytes are in the tables whose bytes are not counted yet."""

    @property
    def written(self) -> Written:
        """As of `ParquetFile`."""
        return self._file.written

    def __enter__(self) -> RowGroupWriter:
        self._file.__enter__()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._file.__exit__()

    def add(self, rows: pa.Table) -> None:
        """Collect rows, and write them as row groups once `ROW_GROUP_BYTES` or `ROW_GROUP_ROWS` are reached."""
        if rows.num_rows == 0:
            return
        self._waiting.append(rows)
        self._unmeasured.append(rows)
        self._rows += rows.num_rows
        self._most += rows.get_total_buffer_size()
        if self._bytes + self._most >= ROW_GROUP_BYTES:  # counting the bytes takes much longer, and few files are large
            self._bytes += sum(rows.nbytes for rows in self._unmeasured)
            self._unmeasured, self._most = [], 0
        if self._bytes >= ROW_GROUP_BYTES or self._rows >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            # Cut evenly, so that two row groups of a stored file stay two when the first one has lost some rows.
            size = -(-self._rows // max(1, round(self._bytes / ROW_GROUP_BYTES)))
            self._file.write(pa.concat_tables(self._waiting), row_group_size=min(size, ROW_GROUP_ROWS))
        self._waiting, self._rows, self._bytes = [], 0, 0
        self._unmeasured, self._most = [], 0
