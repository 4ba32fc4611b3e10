"""The files of a lake in a store other than the local disk, as objects of an fsspec filesystem.

``with fs.open(path, "wb")`` is never used for data, because it publishes an incomplete object when its body raises. A
file is written to the local disk first, and uploaded by one put.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from intercom.lake import bulk_delete
from intercom.lake.conditional_put import ConditionalPut, create
from intercom.lake.store import FileStat


class ObjectStore:
    """Objects below a root; paths are relative to it, and errors are those of the filesystem."""

    at_a_time = 4

    def __init__(self, filesystem: Any, root: str) -> None:
        self._fs, self._root = filesystem, root.rstrip("/")
        self.url: str = filesystem.unstrip_protocol(self._root)
        self.key = f"{self.url} {getattr(filesystem, 'endpoint_url', '')}"
        self.conditional = ConditionalPut(filesystem, self._root) if hasattr(filesystem, "call_s3") else None
        self.looks_first = bool(filesystem.pipe_file.__qualname__ == "AbstractFileSystem.pipe_file")

    def walk(self, folder: str) -> dict[str, FileStat]:
        """Every object whose path begins with the folder's."""
        self._fs.invalidate_cache()
        found = self._fs.find(self._at(folder), detail=True)
        return {str(name)[len(self._root) + 1 :]: _stat(info) for name, info in sorted(found.items())}

    def names(self, folder: str, prefix: str = "") -> set[str]:
        """Names of the objects in a folder, and of folders in it, that begin with the prefix.

        S3 is asked for the prefix only, so that the listing of a folder with many objects stays short.
        """
        self._fs.invalidate_cache()
        if self.conditional is None or not prefix:
            names = {str(name).rstrip("/").rpartition("/")[2] for name in self._fs.ls(self._at(folder), detail=False)}
            return {name for name in names if name.startswith(prefix)}
        below = len(self._at(folder)) + 1
        return {str(path)[below:].split("/")[0] for path in self._fs.find(self._at(folder), prefix=prefix)}

    def stat(self, path: str) -> FileStat:
        """Size and stamp of one object, as the store reports them."""
        return _stat(self._fs.info(self._at(path)))

    def modified(self, path: str) -> datetime | None:
        """When the object was last written; None where the fsspec filesystem does not report it."""
        self._fs.invalidate_cache()
        try:
            found: datetime = self._fs.modified(self._at(path))
        except NotImplementedError:
            return None
        return found

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """An object's content, or a range of it, in one request."""
        return bytes(self._fs.cat_file(self._at(path), start=start, end=end))

    def local_path(self, path: str) -> Path | None:  # noqa: ARG002 - as of every object
        """None: an object has to be downloaded."""
        return None

    def download(self, path: str, copy: Path) -> None:
        """Write an object's content into a local file."""
        self._fs.get_file(self._at(path), str(copy))

    def put(self, written: Path, path: str) -> FileStat | None:
        """Upload a file; a large one in pieces, which the store puts together in one step."""
        self._fs.put_file(str(written), self._at(path))
        return None

    def create(self, written: Path, path: str) -> bool:
        """Upload a small file unless the object exists, by a conditional request."""
        return create(self._fs, self._at(path), written.read_bytes())

    def delete(self, paths: Iterable[str]) -> None:
        """Remove objects, up to 1,000 in one request where the store has such a request."""
        bulk_delete.remove(self._fs, [self._at(path) for path in paths])

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def _stat(info: Mapping[str, Any]) -> FileStat:
    """Size, and a stamp of the size with the ETag or, where the store reports none, the time of the last change.

    Quotes are removed, because some stores quote an ETag in a listing but not for a single object, or the reverse.
    """
    version = next((info[name] for name in ("ETag", "etag", "LastModified", "mtime", "created") if info.get(name)), "")
    if isinstance(version, datetime):
        version = version.timestamp()
    size = int(info["size"] or 0)
    return FileStat(size, f"{size}:{version}".replace('"', ""))
