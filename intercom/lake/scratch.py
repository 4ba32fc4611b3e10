"""Private folders for unfinished files: one for each process, removed once it is empty.

A killed process leaves its folder behind. The folder's name identifies the process. The next run removes the folder if
it can see that the process is gone. If it cannot see that, because the process belonged to another machine or
container, it removes the folder after a day.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock

from intercom.lake.process import Process

_PREFIX = "intercom-lake"
_NAME = re.compile(rf"{_PREFIX}-([0-9a-f]{{12}})-(\d+)-(\d+|x)-[0-9a-f]{{12}}")
_ABANDONED_SECONDS = 24 * 3600

_lock = Lock()
_open: dict[tuple[int, Path], tuple[Path, int]] = {}
"""(process id, base folder) -> private folder and its number of users. A forked process has its own folders."""


class ScratchFolder:
    """Where unfinished files of a lake are written: below the folder `own`, or the system's temporary folder if None.

    Files that killed processes have left there are removed before the first file is made. Raises OSError.
    """

    def __init__(self, own: Path | None) -> None:
        self._own, self._swept = own, False

    @property
    def base(self) -> Path:
        """The parent of the processes' private folders."""
        return self._own or Path(tempfile.gettempdir())

    def discard(self, owner: Process) -> None:
        """As `discard`, on a local lake; a process cannot publish what is in another lake's temporary folder."""
        if self._own is not None:
            discard(self._own, owner)

    @contextmanager
    def file(self, suffix: str) -> Iterator[Path]:
        """As `scratch_file`."""
        self._prepare()
        with scratch_file(self.base, suffix) as path:
            yield path

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the private folder for the time of the block, in which many files are made one after the other."""
        self._prepare()
        key = (os.getpid(), self.base)
        _enter(key)
        try:
            yield
        finally:
            _leave(key)

    def _prepare(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            sweep(self.base)
            if self._own is not None:
                _sweep_loose(self._own)


@contextmanager
def scratch_file(base: Path, suffix: str) -> Iterator[Path]:
    """A new empty file that only this user can read; it is removed at the end if it still exists.

    `base` is the parent of the private folders. Raises OSError.
    """
    key = (os.getpid(), base)
    folder = _enter(key)
    path = folder / f"{uuid.uuid4().hex}{suffix}"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        _leave(key)


def private_folder(base: Path) -> Path:
    """A new folder of this process below `base`. The caller removes it; `sweep` does if the process was killed."""
    folder = base / _name(Process.current())
    folder.mkdir(mode=0o700)
    return folder


def sweep(base: Path) -> None:
    """Remove folders below `base` whose process is gone, or cannot be seen from here and wrote nothing for a day.

    Links and folders of other users are kept. Errors, for example when another process sweeps too, are ignored.
    """
    here, oldest = Process.current(), time.time() - _ABANDONED_SECONDS
    with suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found and entry.is_dir(follow_symlinks=False) and _is_left(found, Path(entry.path), here, oldest):
                shutil.rmtree(entry.path, ignore_errors=True)


def discard(base: Path, owner: Process) -> None:
    """Remove the folders of a process below `base`, whether it still runs or not; it cannot publish their files then.

    Nothing happens if the process does not know its host's namespace, since its folders then have other names.
    """
    if owner.space is None:
        return
    with suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if entry.name.startswith(_names_begin(owner)) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)


def _sweep_loose(base: Path) -> None:
    """Remove files directly in `base` that are older than a day; older package versions left files there."""
    oldest = time.time() - _ABANDONED_SECONDS
    for path in base.iterdir():
        with suppress(OSError):  # another process sweeps too, or the file is another user's
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()


def _enter(key: tuple[int, Path]) -> Path:
    with _lock:
        folder, users = _open.get(key) or (key[1] / _name(Process.current()), 0)
        if not users:
            folder.mkdir(mode=0o700)
        _open[key] = folder, users + 1
    return folder


def _leave(key: tuple[int, Path]) -> None:
    with _lock:
        folder, users = _open[key]
        if users > 1:
            _open[key] = folder, users - 1
            return
        del _open[key]
        with suppress(OSError):
            folder.rmdir()


def _name(process: Process) -> str:
    return f"{_names_begin(process)}{uuid.uuid4().hex[:12]}"


def _names_begin(process: Process) -> str:
    started = "x" if process.started is None else process.started
    return f"{_PREFIX}-{_place(process)}-{process.pid}-{started}-"


def _place(process: Process) -> str:
    """12 hex digits for the host and namespace in which a process id is valid; random if the process does not know."""
    place = uuid.uuid4().hex if process.space is None else f"{process.host} {process.space}"
    return hashlib.sha256(place.encode()).hexdigest()[:12]


def _is_left(name: re.Match[str], folder: Path, here: Process, oldest: float) -> bool:
    place, pid, started = name.groups()
    if hasattr(os, "getuid") and folder.stat(follow_symlinks=False).st_uid != os.getuid():
        return False
    if here.space is not None and place == _place(here):
        return here.has_outlived(replace(here, pid=int(pid), started=None if started == "x" else int(started)))
    return max(path.stat(follow_symlinks=False).st_mtime for path in (folder, *folder.iterdir())) < oldest
