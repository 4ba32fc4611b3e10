"""The files of a lake on a local disk: each whole or absent, also after a power cut."""

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
        """Every file below a folder, without those that are removed meanwhile; does not follow links to folders."""
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

    def names(self, folder: str) -> set[str]:
        """Names of the files and folders in a folder."""
        return set(os.listdir(self._at(folder)))  # noqa: PTH208 - names are asked for

    def stat(self, path: str) -> FileStat:
        """What the disk says of one file."""
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
        """Move a finished file to where it is to be seen, in one step; folders are made."""
        target = self._finish(written, path)
        found = FileStat.of(written.stat())
        _place(target, lambda: written.replace(target))
        return found

    def create(self, written: Path, path: str) -> bool:
        """Show a finished file under a name that nobody has yet, in one step; False when somebody has."""
        target = self._finish(written, path)
        try:
            _place(target, lambda: _link(written, target))
        except FileExistsError:
            return False
        return True

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files, gone ones too, and then the folders that got empty, but not the root.

        What is gone stays gone after a power cut: each folder that lost an entry is synced, once.
        """
        folders = set()
        for path in map(self._at, paths):
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - a Path for each of many thousand files costs more than their removal
            folders.add(os.path.dirname(path))  # noqa: PTH120
        for folder in {_prune(folder, self.root) for folder in folders}:
            with suppress(FileNotFoundError):  # there never was one, or somebody has removed it since
                sync(Path(folder))

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}"

    def _finish(self, written: Path, path: str) -> Path:
        """Make a written file durable and readable for others; gives its place."""
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
    """Give a file that was private while it was written the rights that new files have in the process."""
    with suppress(OSError):  # a disk without rights
        written.chmod(_rights_of_new_files(written.parent))


@cache
def _rights_of_new_files(folder: Path) -> int:
    """0o666 less the umask, which can only be asked for by setting it, for all threads; so by a file, once a folder."""
    probe = folder / f"{uuid.uuid4().hex}.probe"
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL, 0o666))
    try:
        return stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink()


def _place(target: Path, step: Callable[[], object]) -> None:
    """Take a step that puts a file into its folder, which another table's clean-up may remove just before."""
    for tries_left in reversed(range(_FOLDER_TRIES)):
        try:
            _make_folder(target.parent)
            step()
            break
        except FileNotFoundError:
            if not tries_left:
                raise
    with suppress(FileNotFoundError):  # somebody has removed the file again, and its folder with it
        sync(target.parent)


def _link(written: Path, target: Path) -> None:
    try:
        os.link(written, target)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # no hard links here (exFAT, some network shares): exclusive, but not in one step
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
    """Make a folder and those above it, each entry durable."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    sync(folder.parent)


def _prune(folder: str, root: str) -> str:
    """Remove empty folders upwards, down to the root exclusively; gives the first that stays."""
    while folder.startswith(f"{root}/"):
        try:
            os.rmdir(folder)  # noqa: PTH106
        except OSError:  # not empty, or gone already
            break
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder
