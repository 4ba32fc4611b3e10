"""A lake: files under one root URL, each whole or absent. The only module that touches fsspec.

Local folders and any fsspec URL behave alike. Files are written aside, on local disk, and published by one atomic
step: a rename on local lakes, a single put on object stores. ``with fs.open(path, "wb")`` is never used for data,
since it publishes what was written so far when its body raises.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from intercom.errors import ConfigurationError, LakeError
from intercom.paths import LAKE_FILE
from intercom.watermarks import FORMAT

_FOLDER_TRIES = 50


@dataclass(frozen=True, slots=True)
class LakeIdentity:
    """Who a lake is, made once: watermarks belong to an identity, not to a URL."""

    id: str
    format: int

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> LakeIdentity:
        """The identity of a ``lake.json``; KeyError, TypeError or ValueError when it is none."""
        if not isinstance(record["id"], str) or not record["id"]:
            raise ValueError("it has no id")
        return cls(record["id"], int(record["format"]))


class Lake:
    """Files under one root URL; paths are relative to it.

    Raises ConfigurationError for a URL that no installed filesystem understands, LakeError when the storage refuses.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        options = dict(storage_options or {})
        if url.startswith(("s3://", "s3a://")):
            # Listings of another writer's objects must never come from a cache: a part that is not seen is lost.
            options = {"use_listings_cache": False, "skip_instance_cache": True, **options}
        try:
            self._fs, root = fsspec.core.url_to_fs(url, **options)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(
                f"The lake URL {url!r} cannot be used: {error}. Give a folder or a URL that fsspec knows, "
                "for example ./lake or s3://bucket/prefix."
            ) from error
        self.local = isinstance(self._fs, LocalFileSystem)
        self._root = os.path.normpath(root) if self.local else root.rstrip("/")
        self.url = f"file://{self._root}" if self.local else self._fs.unstrip_protocol(self._root)

    # -- files --------------------------------------------------------------------------------------------------

    @contextmanager
    def scratch(self, suffix: str = ".parquet") -> Iterator[Path]:
        """A local path for a file to be written and published; what is left of it is removed at the end.

        On a local lake it lies below ``_tmp/``, on the lake's own disk, so that publishing is a rename.
        """
        folder = Path(self._at("_tmp")) if self.local else Path(tempfile.gettempdir())
        with self._told("write", str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{uuid.uuid4().hex}{suffix}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def fetch(self, path: str) -> Iterator[Path]:
        """A local, readable copy of a file for the time of the block; the file itself on a local lake."""
        if self.local:
            yield Path(self._at(path))
            return
        with self.scratch() as copy:
            with self._told("read", path):
                self._fs.get_file(self._at(path), str(copy))
            yield copy

    def publish(self, written: Path, path: str, *, rows: int) -> int:
        """Put a finished Parquet file of exactly `rows` rows at `path` in one atomic step; gives its size in bytes."""
        with self._told("write", path):
            found = pq.read_metadata(written).num_rows
            if found != rows:
                raise LakeError(f"{path} was written with {found} rows instead of {rows}; it was not published.")
            size = written.stat().st_size
            self._put(written, path)
            if not self.local and self._fs.info(self._at(path))["size"] != size:
                raise LakeError(f"{path} has another size in {self.url} than what was sent; run the flow again.")
        return size

    def list(self, folder: str) -> dict[str, int]:
        """Every file below a folder, path -> bytes, from a fresh listing; empty when there is no such folder."""
        with self._told("list", folder):
            if self.local:
                return {path: found.st_size for path, found in self._walk(folder)}
            self._fs.invalidate_cache()
            found = self._fs.find(self._at(folder), detail=True)
            return {self._relative(name): int(info["size"] or 0) for name, info in sorted(found.items())}

    def stamps(self, folder: str) -> dict[str, str]:
        """Every file below a folder, path -> what its storage says of it; two versions of a file differ in that.

        Size and time of the last change on a local lake, size and ETag on S3. A copy of a lake has other stamps.
        """
        with self._told("list", folder):
            if self.local:
                return {path: _local_stamp(found) for path, found in self._walk(folder)}
            self._fs.invalidate_cache()
            found = self._fs.find(self._at(folder), detail=True)
            return {self._relative(name): _stamp(info) for name, info in sorted(found.items())}

    def stamp(self, path: str) -> str:
        """One file's entry of `stamps`."""
        with self._told("read", path):
            at = self._at(path)
            return _local_stamp(Path(at).stat()) if self.local else _stamp(self._fs.info(at))

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already are no error. Folders of a local lake that get empty go too."""
        for path in paths:
            with self._told("delete", path):
                if self.local:
                    Path(self._at(path)).unlink(missing_ok=True)
                    self._prune(Path(self._at(path)).parent)
                elif self._fs.exists(self._at(path)):
                    self._fs.rm_file(self._at(path))

    # -- records ------------------------------------------------------------------------------------------------

    def read_json(self, path: str) -> Any | None:
        """The parsed JSON file, None when there is none. ValueError when it is no JSON."""
        with self._told("read", path):
            try:
                text = Path(self._at(path)).read_bytes() if self.local else self._fs.cat_file(self._at(path))
            except FileNotFoundError:
                return None
        return json.loads(text)

    def write_json(self, path: str, record: Mapping[str, Any]) -> None:
        """Write or replace a small JSON file in one atomic step."""
        with self._told("write", path), self.scratch(".json") as written:
            written.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
            self._put(written, path)

    def create_json(self, path: str, record: Mapping[str, Any]) -> bool:
        """Write a small JSON file unless it exists; False when it does. Exclusive where the store can do that."""
        data = json.dumps(record, indent=1).encode()
        with self._told("create", path):
            try:
                if self.local:
                    self._link(data, path)
                else:
                    self._fs.pipe_file(self._at(path), data, mode="create")
            except FileExistsError:
                return False
        return True

    def identity(self) -> LakeIdentity:
        """The lake's identity from ``_state/lake.json``, made if there is none. Nothing else makes or changes it."""
        found = self._read_identity()
        if found is None:
            new = LakeIdentity(uuid.uuid4().hex, FORMAT)
            self.create_json(
                LAKE_FILE, {"id": new.id, "format": new.format, "created_at": datetime.now(UTC).isoformat()}
            )
            found = self._read_identity() or new  # of two creators at the same time one has won: ask who
        if found.format > FORMAT:
            raise LakeError(
                f"The lake {self.url} has format {found.format}, this version of intercom-lake knows {FORMAT}. "
                "Upgrade intercom-lake; nothing was changed."
            )
        return found

    def _read_identity(self) -> LakeIdentity | None:
        try:
            record = self.read_json(LAKE_FILE)
            return None if record is None else LakeIdentity.from_json(record)
        except (ValueError, KeyError, TypeError) as error:
            raise LakeError(
                f"{self.url}/{LAKE_FILE} is damaged. Restore it, or delete it: then the lake counts as new and every "
                "table is read again and merged; no row is lost."
            ) from error

    # -- the store ----------------------------------------------------------------------------------------------

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _relative(self, name: str) -> str:
        return str(name)[len(self._root) + 1 :]

    def _put(self, written: Path, path: str) -> None:
        """Publish a local file: fsync and rename on a local lake, one put elsewhere."""
        if not self.local:
            self._fs.put_file(str(written), self._at(path))
            return
        target = Path(self._at(path))
        _sync(written)
        for attempt in range(1, _FOLDER_TRIES + 1):
            try:
                self._make_folder(target.parent)
                written.replace(target)
                break
            except FileNotFoundError:  # another table's clean-up may just have removed a folder that was empty
                if attempt == _FOLDER_TRIES or not written.exists():
                    raise
        _sync(target.parent)

    def _link(self, data: bytes, path: str) -> None:
        """Create a local file with all its content at once; FileExistsError when it is there."""
        target = Path(self._at(path))
        self._make_folder(target.parent)
        with self.scratch(".json") as written:
            written.write_bytes(data)
            _sync(written)
            try:
                os.link(written, target)
            except FileExistsError:
                raise
            except OSError:  # no hard links here (exFAT, some network shares): exclusive, but not in one step
                with target.open("xb") as file:
                    file.write(data)
                _sync(target)
        _sync(target.parent)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, each entry durable."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
        _sync(folder.parent)

    def _walk(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        """Every file below a local folder, sorted, without those that are removed meanwhile."""
        found = []
        for parent, _, names in os.walk(self._at(folder), onerror=_raise_unless_gone):
            for name in names:
                path = Path(parent, name)
                with suppress(FileNotFoundError):
                    found.append((self._relative(path.as_posix()), path.stat()))
        yield from sorted(found, key=lambda entry: entry[0])

    def _prune(self, folder: Path) -> None:
        """Remove empty folders upwards, down to the lake's root exclusively."""
        while folder != Path(self._root) and folder.is_relative_to(self._root):
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone already
                return
            folder = folder.parent

    @contextmanager
    def _told(self, verb: str, path: str) -> Iterator[None]:
        """Turn whatever the storage raises into a LakeError that says what was tried where."""
        try:
            yield
        except (FileExistsError, LakeError):
            raise
        except Exception as error:
            raise LakeError(
                f"Cannot {verb} {path} in the lake {self.url}: {type(error).__name__}: {error}. "
                "Check that the store can be reached and that there are space and permission; then run again."
            ) from error


def _local_stamp(found: os.stat_result) -> str:
    return f"{found.st_size}:{found.st_mtime_ns}"


def _stamp(info: Mapping[str, Any]) -> str:
    """Size and, whichever the store tells, ETag or time of the last change."""
    version = next((info[name] for name in ("ETag", "etag", "LastModified", "mtime", "created") if info.get(name)), "")
    return f"{info['size']}:{version}"


def _sync(path: Path) -> None:
    """Make a file or a folder entry survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
