"""A lake: files under one root URL, each whole or absent. The only module that touches fsspec.

Local folders and any fsspec URL behave alike. Files are written aside, on local disk, and published by one atomic
step: a rename on local lakes, a single put on object stores. ``with fs.open(path, "wb")`` is never used for data,
since it publishes what was written so far when its body raises.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from intercom.config.redaction import has_password, without_passwords
from intercom.config.secret_masking import SecretMask
from intercom.config.storage_options import secret_values
from intercom.errors import ConfigurationError, LakeError, OvertakenError
from intercom.lake import bulk_delete as objects
from intercom.lake import conditional_put as conditional
from intercom.lake import local as disk
from intercom.lake import object_store as exclusive
from intercom.lake.byte_ranges import ByteRanges
from intercom.lake.layout import LAKE_FILE
from intercom.lake.parquet import footer_of
from intercom.lake.scratch import scratch_file, sweep
from intercom.lake.state import FORMAT

log = logging.getLogger(__name__)

ANY: Final = "any"
"""No stamp: whatever lies there, or nothing, is replaced."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

_probed: dict[str, bool] = {}
_conditions: dict[str, bool] = {}
_probed_lock = Lock()


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
        if has_password(url):
            raise ConfigurationError(
                f"The lake URL {without_passwords(url)!r} has a password or a signature in it, which would get into "
                "logs and records. Give credentials in the environment or in fsspec's configuration instead."
            )
        named = {name: os.environ.get(name, "") for name in _SECRET_VARIABLES}
        self._mask = SecretMask(secret_values({**options, "environment": named}), label="[secret]")
        if url.startswith(("s3://", "s3a://")):
            # Listings of another writer's objects must never come from a cache: a part that is not seen is lost.
            options |= {"use_listings_cache": False, "skip_instance_cache": True}
        try:
            self._fs, root = fsspec.core.url_to_fs(url, **options)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(
                f"The lake URL {url!r} cannot be used: {self._told_by(error)}. Give a folder or a URL that fsspec "
                "knows, for example ./lake or s3://bucket/prefix."
            ) from self._cause(error)
        if url.startswith(("s3://", "s3a://")) and not root.strip("/"):
            raise ConfigurationError(f"The lake URL {url!r} names no bucket. Give one: s3://bucket/prefix.")
        self.local = isinstance(self._fs, LocalFileSystem)
        self.at_a_time = 2 if self.local else 4
        """Files that pay to be moved at the same time: more where each is waited for."""
        self._root = os.path.normpath(root) if self.local else root.rstrip("/")
        self.url = f"file://{self._root}" if self.local else self._fs.unstrip_protocol(self._root)
        self._swept = False
        self._gives_ranges = True  # until one does not, although it gives whole files

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem, for what has to find the same store in another way."""
        return self._fs

    # -- files --------------------------------------------------------------------------------------------------

    @contextmanager
    def scratch(self, suffix: str = ".parquet") -> Iterator[Path]:
        """A local path for a file to be written and published; what is left of it is removed at the end.

        On a local lake it lies below ``_tmp/``, on the lake's own disk, so that publishing is a rename; else in the
        system's folder for such files. Nobody but this user can read it. What the operating system refuses while it is
        written is a LakeError.
        """
        folder = self._scratch_folder()
        path = folder
        try:
            with scratch_file(folder, suffix) as path:
                yield path
        except FileExistsError:  # the answer to who wants to create a file
            raise
        except OSError as error:
            raise self._refused("write", str(path), error) from self._cause(error)

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

    @contextmanager
    def open(self, path: str, size: int) -> Iterator[Path | ByteRanges]:
        """A file of `size` bytes to read pieces of: the file itself on a local lake, else what asks for byte ranges."""
        if self.local:
            yield Path(self._at(path))
            return
        file = ByteRanges(lambda start, end: self._range(path, start, end), size)
        if self._gives_ranges and self._has_end(file, path):
            yield file
            return
        with self.fetch(path) as copy:
            self._gives_ranges = False
            yield copy

    def publish(self, written: Path, path: str, *, rows: int, over: str | None = ANY) -> int:
        """Put a finished Parquet file of exactly `rows` rows at `path` in one atomic step; gives its size in bytes.

        `over` is the stamp of the file that it replaces, None where there is none: raises OvertakenError when another
        one lies there. Where `replaces_conditionally` the store itself sees to that, else it is looked at just before.
        """
        with self._told("write", path):
            found = footer_of(written).num_rows
            if found != rows:
                raise LakeError(f"{path} was written with {found} rows instead of {rows}; it was not published.")
            size = written.stat().st_size
            self._put(written, path, over)
            if not self.local and self._fs.info(self._at(path))["size"] != size:
                raise LakeError(f"{path} has another size in {self.url} than what was sent; run the flow again.")
        return size

    def list(self, folder: str) -> dict[str, int]:
        """Every file below a folder, path -> bytes, from a fresh listing; empty when there is no such folder."""
        with self._told("list", folder):
            if self.local:
                return {self._relative(name): found.st_size for name, found in disk.walk(self._at(folder))}
            self._fs.invalidate_cache()
            found = self._fs.find(self._at(folder), detail=True)
            return {self._relative(name): int(info["size"] or 0) for name, info in sorted(found.items())}

    def stamps(self, folder: str) -> dict[str, str]:
        """Every file below a folder, path -> what its storage says of it; two versions of a file differ in that.

        Size and time of the last change on a local lake, size and ETag on S3. A copy of a lake has other stamps.
        """
        with self._told("list", folder):
            if self.local:
                return {self._relative(name): _local_stamp(found) for name, found in disk.walk(self._at(folder))}
            self._fs.invalidate_cache()
            found = self._fs.find(self._at(folder), detail=True)
            return {self._relative(name): _stamp(info) for name, info in sorted(found.items())}

    def stamp(self, path: str) -> str:
        """One file's entry of `stamps`."""
        with self._told("read", path):
            at = self._at(path)
            return _local_stamp(Path(at).stat()) if self.local else _stamp(self._fs.info(at))

    def stamp_before(self, written: Path) -> str | None:
        """The stamp that a local file will have once it is published; None where the store decides it.

        Asked afterwards, it might be that of a file which another run has put just then.
        """
        return _local_stamp(written.stat()) if self.local else None

    def check_stamp(self, path: str, over: str | None) -> None:
        """Raise OvertakenError unless the file of this stamp lies there; None: unless there is no file."""
        try:
            found = self.stamp(path)
        except LakeError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            found = None
        if found != over:
            raise self._overtaken(path)

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already are no error. Folders of a local lake that get empty go too."""
        wanted = list(dict.fromkeys(paths))
        if not wanted:
            return
        others = f" and {len(wanted) - 1} more" if len(wanted) > 1 else ""
        with self._told("delete", f"{wanted[0]}{others}"):
            if self.local:
                disk.delete(map(self._at, wanted), self._root)
            else:
                objects.remove(self._fs, [self._at(path) for path in wanted])

    # -- records ------------------------------------------------------------------------------------------------

    def read_json(self, path: str) -> Any | None:
        """The parsed JSON file, None when there is none. ValueError when it is no JSON."""
        text = self.read_bytes(path)
        return None if text is None else json.loads(text)

    def read_bytes(self, path: str) -> bytes | None:
        """A small file, None when there is none."""
        with self._told("read", path):
            try:
                text: bytes = Path(self._at(path)).read_bytes() if self.local else self._fs.cat_file(self._at(path))
            except FileNotFoundError:
                return None
        return text

    def read_with_etag(self, path: str) -> tuple[bytes, str] | None:
        """The content of a small file and what `replace_json` replaces it by; None when there is none."""
        with self._told("read", path):
            return conditional.stored(self._fs, self._at(path))

    def names(self, folder: str) -> Iterable[str]:
        """Names of what lies directly in a folder, from a fresh listing; none when there is no such folder."""
        with self._told("list", folder):
            try:
                if self.local:
                    return {path.name for path in Path(self._at(folder)).iterdir()}
                self._fs.invalidate_cache()
                found = self._fs.ls(self._at(folder), detail=False)
                return {str(name).rstrip("/").rpartition("/")[2] for name in found}
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
        """Write a small JSON file unless it exists; False when it does. Exclusive where `creates_exclusively` says so.

        After a break in the network False may also mean that this very call has written it before.
        """
        data = json.dumps(record, indent=1).encode()
        exclusively = self.local or self.creates_exclusively()
        with self._told("create", path):
            if exclusively:
                return self._create(path, data)
            if self._fs.exists(self._at(path)):
                return False
            self._fs.pipe_file(self._at(path), data)
        return True

    def replace_json(self, path: str, record: Mapping[str, Any], etag: str | None) -> str:
        """Write a small JSON file over the version `etag`, or where there is none if that is None; gives its own.

        Only where `replaces_conditionally`. Raises OvertakenError when another version, or none, is there.
        """
        with self._told("write", path):
            try:
                return conditional.replace(self._fs, self._at(path), _as_json(record), etag)
            except conditional.ConditionFailed as error:
                raise self._overtaken(path) from error

    def replaces_conditionally(self) -> bool:
        """Whether this store replaces a file only while it is the version that was seen; tried out once, as below."""
        if self.local or not hasattr(self._fs, "call_s3") or not self.creates_exclusively():
            return False
        with _probed_lock:
            if self._store not in _conditions:
                obstacle = self._probe(lambda at: conditional.why_not_conditional(self._fs, at))
                _conditions[self._store] = obstacle is None
                if obstacle is not None:
                    log.info("The lake %s does not replace files by If-Match: %s", self.url, obstacle)
            return _conditions[self._store]

    def creates_exclusively(self) -> bool:
        """Whether of two creators of one file exactly one succeeds here; tried out once per process and lake.

        A store that cannot do that is named in the log, once. LakeError when the lake cannot be written at all.
        """
        with _probed_lock:
            if self._store not in _probed:
                obstacle = self._obstacle()
                _probed[self._store] = obstacle is None
                if obstacle is not None:
                    log.warning(
                        "The lake %s does not create files exclusively: %s. So there is no lock between two runs over "
                        "the same table: keep the concurrency limit of 1 on every deployment that writes to it.",
                        self.url,
                        obstacle,
                    )
            return _probed[self._store]

    def modified(self, path: str) -> datetime | None:
        """When a file was last written, by the store's own clock; None when it is gone or the store does not say."""
        with self._told("read", path):
            try:
                self._fs.invalidate_cache()
                found: datetime = self._fs.modified(self._at(path))
            except (FileNotFoundError, NotImplementedError):
                return None
        return found

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

    def _create(self, path: str, data: bytes) -> bool:
        if not self.local:
            return exclusive.create(self._fs, self._at(path), data)
        try:
            self._link(data, path)
        except FileExistsError:
            return False
        return True

    def _obstacle(self) -> str | None:
        """Why this store does not create files exclusively; None when it does."""
        if not self.local and exclusive.looks_before_it_writes(self._fs):
            return "its filesystem looks for the file and then writes it"
        return self._probe(
            lambda at: exclusive.why_not_exclusive(
                lambda: self._create(self._relative(at), b"{}"), lambda: self.write_json(self._relative(at), {})
            )
        )

    def _probe(self, obstacle: Callable[[str], str | None]) -> str | None:
        """Ask for an obstacle with a file of its own, full path, which is gone afterwards."""
        path = f"_locks/probe-{uuid.uuid4().hex}.json"
        try:
            with self._told("create", path):
                return obstacle(self._at(path))
        finally:
            with suppress(LakeError):  # what stays does no harm, and what went wrong before is to be told
                self.delete([path])

    def _has_end(self, file: ByteRanges, path: str) -> bool:
        """Whether a store gives parts of a file; some send the checksum of the whole with them, which is refused."""
        try:
            file.read_end()
        except (LakeError, OSError) as error:
            log.debug("%s is fetched as a whole, since a part of it was not to be had: %s", path, error)
            return False
        return True

    def _range(self, path: str, start: int, end: int) -> bytes:
        with self._told("read", path):
            return bytes(self._fs.cat_file(self._at(path), start=start, end=end))

    @property
    def _store(self) -> str:
        return f"{self.url} {getattr(self._fs, 'endpoint_url', '')}"

    def _put(self, written: Path, path: str, over: str | None = ANY) -> None:
        """Publish a local file in one atomic step."""
        if over != ANY and self.replaces_conditionally():
            etag = None if over is None else f'"{over.partition(":")[2]}"'
            try:
                conditional.replace_by_file(self._fs, self._at(path), written, etag)
            except conditional.ConditionFailed as error:
                raise self._overtaken(path) from error
            return
        if over != ANY:
            self.check_stamp(path, over)
        if self.local:
            disk.publish(written, Path(self._at(path)))
        else:
            self._fs.put_file(str(written), self._at(path))

    def _link(self, data: bytes, path: str) -> None:
        """Create a local file with all its content at once; FileExistsError when it is there."""
        with self.scratch(".json") as written:
            written.write_bytes(data)
            disk.create(written, Path(self._at(path)))

    def _scratch_folder(self) -> Path:
        folder = Path(self._at("_tmp")) if self.local else Path(tempfile.gettempdir())
        with self._told("write", str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            if not self._swept:
                self._swept = True
                sweep(folder)
                if self.local:
                    disk.sweep(folder)
        return folder

    @contextmanager
    def _told(self, verb: str, path: str) -> Iterator[None]:
        """Turn whatever the storage raises into a LakeError that says what was tried where."""
        try:
            yield
        except LakeError:
            raise
        except Exception as error:
            raise self._refused(verb, path, error) from self._cause(error)

    def _overtaken(self, path: str) -> OvertakenError:
        return OvertakenError(
            f"This run was overtaken by another run, which has changed {path} in the lake {self.url} since this one "
            "read it. Nothing more is written by this run, and its watermark has not moved; run again."
        )

    def _refused(self, verb: str, path: str, error: Exception) -> LakeError:
        return LakeError(
            f"Cannot {verb} {path} in the lake {self.url}: {type(error).__name__}: {self._told_by(error).rstrip('.')}. "
            f"{_cure(error)}; then run again."
        )

    def _told_by(self, error: BaseException) -> str:
        """An error's text in one line, without secrets of the store's options and signatures in addresses."""
        return self._mask.clean(without_passwords(str(error)))

    def _cause(self, error: BaseException) -> BaseException | None:
        """The error to be shown as the cause: none when it, or what caused it, tells a secret."""
        cause: BaseException | None = error
        while cause is not None:
            if without_passwords(str(cause)) != str(cause) or self._mask.finds(str(cause)):
                return None
            cause = cause.__cause__ or cause.__context__
        return error


def stamped_size(stamp: str | None) -> int:
    """The bytes that a stamp tells; 0 without a stamp."""
    return 0 if stamp is None else int(stamp.split(":")[0])


def _as_json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1, ensure_ascii=False).encode()


def _local_stamp(found: os.stat_result) -> str:
    return f"{found.st_size}:{found.st_mtime_ns}"


def _stamp(info: Mapping[str, Any]) -> str:
    """Size and, whichever the store tells, ETag or time of the last change.

    Some stores spell them in one way in a listing and in another when they are asked for one file.
    """
    version = next((info[name] for name in ("ETag", "etag", "LastModified", "mtime", "created") if info.get(name)), "")
    if isinstance(version, datetime):
        version = version.timestamp()
    return f"{info['size']}:{version}".replace('"', "")


def _cure(error: Exception) -> str:
    """What to do about a refusal; pyarrow's errors tell their number in the text only."""
    number = getattr(error, "errno", None)
    if number in _FULL or any(f"[errno {full}]" in str(error).lower() for full in _FULL):
        return "Make room there"
    if isinstance(error, PermissionError):
        return "Check the credentials, and what they, or this user, have permission to do there"
    if isinstance(error, FileNotFoundError):
        return "Check that its bucket or folder exists"
    return "Check that the store can be reached, and that what is there can be used"
