"""A lake: files under one root URL, each complete or absent. The only module that imports fsspec.

Local folders and all fsspec URLs behave alike. A file is first written to the local disk, and then published by one
atomic step of the store.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from intercom.config.redaction import has_password, without_passwords
from intercom.errors import ConfigurationError, LakeError
from intercom.lake.byte_ranges import ByteRanges
from intercom.lake.capabilities import Capabilities
from intercom.lake.conditional_put import ConditionFailed
from intercom.lake.identity import LakeIdentity
from intercom.lake.layout import FORMAT, LAKE_FILE
from intercom.lake.local_store import LocalStore
from intercom.lake.object_store import ObjectStore
from intercom.lake.own_parts import OwnParts
from intercom.lake.parquet import Written, footer_of
from intercom.lake.process import Process
from intercom.lake.scratch import ScratchFolder
from intercom.lake.storage_errors import StorageErrors, overtaken, replaced
from intercom.lake.store import FileStat, Store, stamped_etag

log = logging.getLogger(__name__)

ANY: Final = "any"
"""In place of a stamp: a write replaces whatever file is there, or none."""
_SMALL_BYTES: Final = 64 << 20

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


class Lake:
    """Files under one root URL; paths are relative to it.

    Raises ConfigurationError for a URL that no installed filesystem understands, LakeError when the storage refuses.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        options = dict(storage_options or {})
        if has_password(url):
            raise ConfigurationError(
                f"The lake URL {without_passwords(url)!r} has a password or a signature in it, which would get into "
                "logs and records. Give credentials in the environment or in fsspec's configuration instead."
            )
        on_s3 = url.startswith(("s3://", "s3a://"))
        if on_s3:
            # Listings must never come from a cache: a part of another writer that is not listed is lost.
            options |= {"use_listings_cache": False, "skip_instance_cache": True}
        try:
            self.filesystem, root = fsspec.core.url_to_fs(url, **options)
        except (ValueError, ImportError) as error:
            told = StorageErrors(url, storage_options or {})
            raise ConfigurationError(
                f"The lake URL {url!r} cannot be used: {told.text(error)}. Give a folder or a URL that fsspec "
                "knows, for example ./lake or s3://bucket/prefix."
            ) from told.cause(error)
        if on_s3 and not root.strip("/"):
            raise ConfigurationError(f"The lake URL {url!r} names no bucket. Give one: s3://bucket/prefix.")
        self._bucket = root.strip("/").split("/")[0] if on_s3 else None
        self.local = isinstance(self.filesystem, LocalFileSystem)
        self.store: Store = LocalStore(root) if self.local else ObjectStore(self.filesystem, root)
        self.url, self.at_a_time = self.store.url, self.store.at_a_time
        self._errors = StorageErrors(self.url, storage_options or {})
        self._told = self._errors.told
        self._capabilities = Capabilities(self.store, self._errors, self.scratch)
        self._scratch = ScratchFolder(self.store.local_path("_tmp"))
        self.own_parts = OwnParts()
        self._gives_ranges = True  # until the store fails to give a range of a file that it gives whole

    def each(self, work: Callable[[_Item], _Done], items: Sequence[_Item], size: int) -> list[_Done]:
        """The results of `work` on items whose files have `size` bytes in all; in several threads where that is faster.

        For small files on a local disk, two threads per table use a third more CPU and save no time, because the other
        tables of the run have threads of their own.
        """
        if self.local and size < _SMALL_BYTES:
            return [work(item) for item in items]
        with ThreadPoolExecutor(self.at_a_time, thread_name_prefix="lake") as pool:
            return list(pool.map(work, items))

    # -- files --------------------------------------------------------------------------------------------------

    @contextmanager
    def scratch(self, suffix: str = ".parquet") -> Iterator[Path]:
        """A local path for a file to be written and published; the file is removed at the end if it still exists.

        For a local lake the path is below ``_tmp/`` on the lake's own disk, so that publishing is a rename; else it is
        in the system's temporary folder. Only this user can read the file. An OSError in the block becomes a LakeError,
        and any error an OvertakenError if `discard_scratch` has removed the file.
        """
        path = self._scratch.base
        try:
            with self._scratch.file(suffix) as path:
                try:
                    yield path
                except Exception as error:
                    if self.local and not path.parent.exists():
                        raise replaced(self.url) from error
                    raise
        except OSError as error:
            gone = isinstance(error, FileNotFoundError) and path == self._scratch.base
            if self.local and gone and path.is_dir():  # else it could not be made
                raise replaced(self.url) from error
            raise self._errors.refused("write", str(path), error) from self._errors.cause(error)

    @contextmanager
    def keeping_scratch(self) -> Iterator[None]:
        """Make the folder of scratch files once for the time of the block, and not anew for each of hundreds of files.

        If `discard_scratch` removes it, whatever the process writes in the rest of the block is an OvertakenError.
        """
        with ExitStack() as stack:
            with self._told("write", str(self._scratch.base)):
                stack.enter_context(self._scratch.kept())
            yield

    @contextmanager
    def fetch(self, path: str) -> Iterator[Path]:
        """A local, readable copy of a file for the time of the block; the file itself on a local lake."""
        here = self.store.local_path(path)
        if here is not None:
            yield here
            return
        with self.scratch() as copy:
            with self._told("read", path):
                self.store.download(path, copy)
            yield copy

    @contextmanager
    def open(self, path: str, size: int) -> Iterator[Path | ByteRanges]:
        """A file of `size` bytes for reading parts of it: the file itself on a local lake, else a `ByteRanges`."""
        here = self.store.local_path(path)
        if here is not None:
            yield here
            return
        file = ByteRanges(lambda start, end: self._range(path, start, end), size)
        if self._gives_ranges and self._has_end(file, path):
            yield file
            return
        with self.fetch(path) as copy:
            self._gives_ranges = False
            yield copy

    @contextmanager
    def still_there(self, path: str) -> Iterator[None]:
        """For reading a staged file that this run has listed: an OvertakenError where another run has removed it."""
        try:
            yield
        except (FileNotFoundError, LakeError) as error:
            missing = isinstance(error, FileNotFoundError) or isinstance(error.__cause__, FileNotFoundError)
            if missing and self._is_gone(path):
                raise overtaken(self.url, path) from error
            raise

    def _is_gone(self, path: str) -> bool:
        with self._told("read", path):
            try:
                self.store.stat(path)
            except FileNotFoundError:
                return True
        return False

    def publish(
        self, written: Path, path: str, *, rows: int, over: str | None = ANY, wrote: Written | None = None
    ) -> FileStat:
        """Put a finished Parquet file of exactly `rows` rows at `path` in one atomic step; gives size and stamp.

        `wrote` is what its writer says of it; without that, the rows are those of the file's footer.

        `over` is the stamp of the file that it replaces, None if there is none. Raises OvertakenError when another file
        is there. If `replaces_conditionally`, the store checks that; else the stamp is read just before the write.
        """
        with self._told("write", path):
            size = written.stat().st_size
            found = wrote or Written(footer_of(written).num_rows, size)
            if found.rows != rows:
                raise LakeError(f"{path} was written with {found.rows} rows instead of {rows}; it was not published.")
            if found.size != size:
                raise LakeError(f"{path} was written with {size} bytes instead of {found.size}; it was not published.")
            there = self._put(written, path, over) or self.store.stat(path)
            if there.size != size:
                raise LakeError(f"{path} has another size in {self.url} than what was sent; run the flow again.")
        return there

    def discard_scratch(self, owner: Process) -> None:
        """Remove the unfinished files of a process, where they lie in the lake: it can publish none of them any more.

        For a run that takes over the tables of a run that was suspended. That one may have made all its checks already,
        and a local disk cannot check by itself which version of a file a rename replaces.
        """
        self._scratch.discard(owner)

    def list(self, folder: str) -> dict[str, int]:
        """Every file below a folder, path -> bytes, from a fresh listing; empty when there is no such folder."""
        with self._told("list", folder):
            return {path: found.size for path, found in self.store.walk(folder).items()}

    def stamps(self, folder: str) -> dict[str, str]:
        """Every file below a folder, path -> its `FileStat.stamp`; else as `list`."""
        with self._told("list", folder):
            return {path: found.stamp for path, found in self.store.walk(folder).items()}

    def stamp(self, path: str) -> str:
        """One file's entry of `stamps`."""
        with self._told("read", path):
            return self.store.stat(path).stamp

    def check_stamp(self, path: str, over: str | None) -> None:
        """Raise OvertakenError unless the file has the stamp `over`; for None, unless there is no file."""
        with self._told("read", path):
            try:
                found: str | None = self.store.stat(path).stamp
            except FileNotFoundError:
                found = None
        if found != over:
            raise overtaken(self.url, path)

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; a missing file is no error. On a local lake, folders that become empty are removed, too."""
        wanted = list(dict.fromkeys(paths))
        if not wanted:
            return
        others = f" and {len(wanted) - 1} more" if len(wanted) > 1 else ""
        with self._told("delete", f"{wanted[0]}{others}"):
            self.store.delete(wanted)

    def drop(self, path: str, over: str) -> None:
        """Remove the file whose stamp is `over`. Raises OvertakenError if another file is there, or as `scratch`."""
        self.check_stamp(path, over)
        if isinstance(self.store, LocalStore):
            with self.scratch() as aside, self._told("delete", path):
                self.store.move_out(path, aside)
        else:
            self.delete([path])

    # -- records ------------------------------------------------------------------------------------------------

    def read_json(self, path: str) -> Any | None:
        """The parsed JSON file; None if there is no file. ValueError if it is not JSON."""
        text = self.read_bytes(path)
        return None if text is None else json.loads(text)

    def read_bytes(self, path: str) -> bytes | None:
        """The content of a small file; None if there is no file."""
        with self._told("read", path):
            try:
                return self.store.read(path)
            except FileNotFoundError:
                return None

    def read_with_etag(self, path: str) -> tuple[bytes, str] | None:
        """Content and ETag of a small file, the ETag as `replace_json` takes it; None if there is no file.

        Like `replace_json`, only for a store that `replaces_conditionally`.
        """
        assert self.store.conditional is not None
        with self._told("read", path):
            return self.store.conditional.read(path)

    def names(self, folder: str, prefix: str = "") -> Iterable[str]:
        """Names of the files and folders directly in a folder, from a fresh listing; none if it does not exist.

        With a `prefix` only names that begin with it, which S3 lists without the others.
        """
        with self._told("list", folder):
            try:
                return self.store.names(folder, prefix)
            except FileNotFoundError:
                return ()

    def write_json(self, path: str, record: Mapping[str, Any]) -> None:
        """Write or replace a small JSON file in one atomic step."""
        self.write_bytes(path, _as_json(record))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write or replace a small file in one atomic step."""
        with self.scratch(".json") as written:
            written.write_bytes(data)
            with self._told("write", path):
                self._put(written, path)

    def create_json(self, path: str, record: Mapping[str, Any]) -> bool:
        """Write a small JSON file unless it exists; False if it exists. Atomic if `creates_exclusively`.

        After a network error, False may also mean that a first request of this very call has written the file.
        """
        exclusively = self.local or self.creates_exclusively()
        with self.scratch(".json") as written:
            written.write_bytes(_as_json(record))
            with self._told("create", path):
                if exclusively:
                    return self.store.create(written, path)
                with suppress(FileNotFoundError):
                    self.store.stat(path)
                    return False
                self.store.put(written, path)
        return True

    def replace_json(self, path: str, record: Mapping[str, Any], etag: str | None) -> str:
        """Replace the version `etag` of a small JSON file, or create the file if `etag` is None; gives the new ETag.

        Raises OvertakenError when another version, or no file, is there.
        """
        assert self.store.conditional is not None
        with self._told("write", path):
            try:
                return self.store.conditional.replace(path, _as_json(record), etag)
            except ConditionFailed as error:
                raise overtaken(self.url, path) from error

    def modified(self, path: str) -> datetime | None:
        """When a file was last written, by the store's own clock; None when it is gone or the store does not say."""
        with self._told("read", path):
            try:
                return self.store.modified(path)
            except FileNotFoundError:
                return None

    # -- what the store can do ------------------------------------------------------------------------------------

    def creates_exclusively(self) -> bool:
        """As `Capabilities.creates_exclusively`."""
        return self._capabilities.creates_exclusively()

    def replaces_conditionally(self) -> bool:
        """As `Capabilities.replaces_conditionally`."""
        return self._capabilities.replaces_conditionally()

    def why_not_exclusively(self) -> str | None:
        """As `Capabilities.why_not_exclusively`."""
        return self._capabilities.why_not_exclusively()

    def why_not_conditionally(self) -> str | None:
        """As `Capabilities.why_not_conditionally`."""
        return self._capabilities.why_not_conditionally()

    # -- identity -------------------------------------------------------------------------------------------------

    def identity(self) -> LakeIdentity:
        """The lake's identity from ``_state/lake.json``, made if there is none. Nothing else makes or changes it."""
        found = self._read_identity()
        if found is None:
            new = LakeIdentity.new()
            self.create_json(LAKE_FILE, new.to_json())
            found = self._read_identity() or new  # another run may have been first: ask again
        return self._known(found)

    def known_identity(self) -> LakeIdentity | None:
        """The lake's identity; None if there is none, and none is made. LakeError for a bucket that is not there."""
        found = self._read_identity()
        if found is None and self._bucket is not None:
            with self._told("read", LAKE_FILE):
                if not self.filesystem.exists(self._bucket):
                    raise FileNotFoundError(f"there is no bucket {self._bucket}")
        return None if found is None else self._known(found)

    def _known(self, found: LakeIdentity) -> LakeIdentity:
        """The identity, if this version knows its format; else LakeError."""
        if found.format > FORMAT:
            raise LakeError(
                f"The lake {self.url} has format {found.format}, this version of intercom-lake knows {FORMAT}. "
                "Upgrade intercom-lake; nothing was changed."
            )
        return found

    def _read_identity(self) -> LakeIdentity | None:
        try:
            text = self.read_bytes(LAKE_FILE)
            return None if text is None else LakeIdentity.from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            raise LakeError(
                f"{self.url}/{LAKE_FILE} is damaged. Restore it, or delete it: then the lake counts as new and every "
                "table is read again and merged; no row is lost."
            ) from error

    # -- steps ----------------------------------------------------------------------------------------------------

    def _put(self, written: Path, path: str, over: str | None = ANY) -> FileStat | None:
        """Publish a local file in one atomic step; as `Store.put`."""
        if over != ANY and self.replaces_conditionally():
            assert self.store.conditional is not None
            try:
                self.store.conditional.replace_by_file(path, written, stamped_etag(over))
            except ConditionFailed as error:
                raise overtaken(self.url, path) from error
            return None
        if over != ANY:
            self.check_stamp(path, over)
        return self.store.put(written, path)

    def _has_end(self, file: ByteRanges, path: str) -> bool:
        """Whether the store gives ranges of a file. Some send the whole file's checksum with a range, which fails."""
        try:
            file.read_end()
        except (LakeError, OSError) as error:
            log.debug("%s is fetched as a whole, since a part of it was not to be had: %s", path, error)
            return False
        return True

    def _range(self, path: str, start: int, end: int) -> bytes:
        with self._told("read", path):
            return self.store.read(path, start, end)


def _as_json(record: Mapping[str, Any]) -> bytes:
    """JSON text, indented for human readers; by msgspec, because `json` indents in Python, many times slower."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1)
