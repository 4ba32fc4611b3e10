"""The files of a lake on a local disk. Each file is complete or absent, even after a power cut."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from intercom.lake.conditional_put import ConditionalPut
from intercom.lake.store import FileStat

_FOLDER_TRIES = 50


class LocalStore:
    """Files below a folder; paths are relative to it, and errors are those of the operating system."""

    at_a_time = 2
    conditional: ConditionalPut | None = None
    looks_first = False

    def __init__(self, root: str) -> None:
        self.root = os.path.normpath(root)
        self.url = self.key = f"file://{self.root}"

    def walk(self, folder: str) -> dict[str, FileStat]:
        """Every file below a folder, except files removed during the walk; links to folders are not followed."""
        found: list[tuple[str, FileStat]] = []
        folders = [self._at(folder)]
        while folders:
            try:
                entries = os.scandir(folders.pop())
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif not entry.is_dir():
                        with suppress(FileNotFoundError):
                            found.append((entry.path[len(self.root) + 1 :], FileStat.of(entry.stat())))
        return dict(sorted(found))

    def names(self, folder: str, prefix: str = "") -> set[str]:
        """Names of the files and folders in a folder that begin with the prefix."""
        return {name for name in os.listdir(self._at(folder)) if name.startswith(prefix)}  # noqa: PTH208 - names only

    def stat(self, path: str) -> FileStat:
        """Size and stamp of one file."""
        return FileStat.of(Path(self._at(path)).stat())

    def modified(self, path: str) -> datetime | None:
        """When a file was last written, by the disk's clock."""
        return datetime.fromtimestamp(Path(self._at(path)).stat().st_mtime, UTC)

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file's content, or a range of it."""
        with Path(self._at(path)).open("rb") as file:
            file.seek(start or 0)
            return file.read() if end is None else file.read(end - file.tell())

    def local_path(self, path: str) -> Path | None:
        """The file itself."""
        return Path(self._at(path))

    def download(self, path: str, copy: Path) -> None:
        """Copy a file."""
        shutil.copyfile(self._at(path), copy)

    def put(self, written: Path, path: str) -> FileStat | None:
        """Rename a finished file to its final path, in one step; missing folders are created."""
        target = self._finish(written, path)
        found = FileStat.of(written.stat())
        _place(target, lambda: written.replace(target))
        return found

    def create(self, written: Path, path: str) -> bool:
        """Link a finished file to its final path, in one step; False when a file is there already."""
        target = self._finish(written, path)
        try:
            _place(target, lambda: _link(written, target))
        except FileExistsError:
            return False
        return True

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files, then the folders that are empty now, except the root. A missing file is no error.

        The removal survives a power cut: each folder that lost an entry is synced, once.
        """
        folders = set()
        for path in map(self._at, paths):
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - a Path for each of many thousand files costs more than their removal
            folders.add(os.path.dirname(path))  # noqa: PTH120
        self._prune(folders)

    def move_out(self, path: str, aside: Path) -> None:
        """Remove a file by moving it to a file elsewhere on the disk, in one step, which fails if that one's folder is
        gone; then as `delete`."""
        Path(self._at(path)).replace(aside)
        self._prune({os.path.dirname(self._at(path))})  # noqa: PTH120

    def _prune(self, folders: Iterable[str]) -> None:
        for folder in {_prune(folder, self.root) for folder in folders}:
            with suppress(FileNotFoundError):  # the folder never existed, or was removed since
                sync(Path(folder))

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}"

    def _finish(self, written: Path, path: str) -> Path:
        """Make a written file durable and readable for other users; gives its final path."""
        _open_to_readers(written)
        sync(written)
        return Path(self._at(path))


def sync(path: Path) -> None:
    """Make a file or a folder's entries survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_to_readers(written: Path) -> None:
    """Give a file, private so far, the permissions that new files of this process get."""
    with suppress(OSError):  # a filesystem without permissions
        written.chmod(_rights_of_new_files(written.parent))


@cache
def _rights_of_new_files(folder: Path) -> int:
    """0o666 without the umask, read from a probe file once per folder.

    Reading the umask itself needs `os.umask`, which sets it for all threads.
    """
    probe = folder / f"{uuid.uuid4().hex}.probe"
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL, 0o666))
    try:
        return stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink()


def _place(target: Path, step: Callable[[], object]) -> None:
    """Make the target's folder and run `step`; again when another table's clean-up removes the folder in between."""
    for tries_left in reversed(range(_FOLDER_TRIES)):
        try:
            _make_folder(target.parent)
            step()
            break
        except FileNotFoundError:
            if not tries_left:
                raise
    with suppress(FileNotFoundError):  # the file and its folder were removed again
        sync(target.parent)


def _link(written: Path, target: Path) -> None:
    try:
        os.link(written, target)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # no hard links (exFAT, some network shares): exclusive, but not in one step
        _copy(written, target)


def _copy(written: Path, target: Path) -> None:
    with target.open("xb") as file:
        try:
            file.write(written.read_bytes())
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            target.unlink()
            raise


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents, and sync each parent, so that the new entries survive a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    sync(folder.parent)


def _prune(folder: str, root: str) -> str:
    """Remove `folder` and its parents while they are empty, except the root; gives the first folder that is kept."""
    while folder.startswith(f"{root}/"):
        try:
            os.rmdir(folder)  # noqa: PTH106
        except OSError:  # not empty, or gone already
            break
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder
