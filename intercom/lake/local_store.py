"""Files of a lake on a local disk: each whole or absent, also after a power cut. Paths are absolute."""

from __future__ import annotations

import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

_FOLDER_TRIES = 50
_ABANDONED_SECONDS = 24 * 3600


def publish(written: Path, target: Path) -> None:
    """Move a finished file to where it is to be seen, in one step; folders are made."""
    _open_to_readers(written)
    sync(written)
    _place(target, lambda: written.replace(target))


def create(written: Path, target: Path) -> None:
    """Show a finished file under a name that nobody has yet, in one step; FileExistsError when somebody has."""
    _open_to_readers(written)
    sync(written)
    _place(target, lambda: _link(written, target))


def walk(folder: str) -> list[tuple[str, os.stat_result]]:
    """Every file below a folder, sorted, without those that are removed meanwhile; does not follow links to folders."""
    found, folders = [], [folder]
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
                        found.append((entry.path, entry.stat()))
    return sorted(found, key=lambda one: one[0])


def delete(paths: Iterable[str], root: str) -> None:
    """Remove files below the root, gone ones too, and then the folders that got empty, but not the root.

    What is gone stays gone after a power cut: each folder that lost an entry is synced, once.
    """
    folders = set()
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - a Path for each of many thousand files costs more than their removal
        folders.add(os.path.dirname(path))  # noqa: PTH120
    for folder in {_prune(folder, root) for folder in folders}:
        with suppress(FileNotFoundError):  # there never was one, or somebody has removed it since
            sync(Path(folder))


def sweep(folder: Path) -> None:
    """Remove files of a day ago from a folder of unfinished ones, where older versions have left them."""
    oldest = time.time() - _ABANDONED_SECONDS
    for path in folder.iterdir():
        with suppress(OSError):  # another process sweeps too, or the file is another user's
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()


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


def _rights_of_new_files(folder: Path) -> int:
    """0o666 less the umask, which can only be asked for by setting it, for all threads; so by a file."""
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
