"""Private folders for unfinished files: one for each process, removed once it is empty.

A killed process leaves its folder. Its name says which process that was, so the next run removes it where it can see
that the process is gone, and after a day where it cannot: it was one of another machine or container.
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
"""By process (a fork has folders of its own) and by what holds it: the folder, and how many use it."""


class ScratchFolder:
    """Where unfinished files of a lake go: below a folder of its `own`, else below the system's folder for such files.

    What killed processes have left there is removed before the first file is made. Raises OSError.
    """

    def __init__(self, own: Path | None) -> None:
        self._own, self._swept = own, False

    @property
    def base(self) -> Path:
        """The folder of private folders."""
        return self._own or Path(tempfile.gettempdir())

    @contextmanager
    def file(self, suffix: str) -> Iterator[Path]:
        """As `scratch_file`."""
        self.base.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            sweep(self.base)
            if self._own is not None:
                _sweep_loose(self._own)
        with scratch_file(self.base, suffix) as path:
            yield path


@contextmanager
def scratch_file(base: Path, suffix: str) -> Iterator[Path]:
    """A file that is there, empty, and can be read by this user alone; what is left of it is removed at the end.

    `base` is a folder of such folders. Raises OSError.
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
    """A new folder of this process below `base`, for whoever makes it to remove; `sweep` does where it was killed."""
    folder = base / _name(Process.current())
    folder.mkdir(mode=0o700)
    return folder


def sweep(base: Path) -> None:
    """Remove what processes have left below `base` that are gone, or that cannot be seen and wrote nothing for a day.

    Folders of other users and links stay; so does what another process removes at the same time.
    """
    here, oldest = Process.current(), time.time() - _ABANDONED_SECONDS
    with suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found and entry.is_dir(follow_symlinks=False) and _is_left(found, Path(entry.path), here, oldest):
                shutil.rmtree(entry.path, ignore_errors=True)


def _sweep_loose(base: Path) -> None:
    """Remove files of a day ago that lie in `base` itself, where older versions have left them."""
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
    started = "x" if process.started is None else process.started
    return f"{_PREFIX}-{_place(process)}-{process.pid}-{started}-{uuid.uuid4().hex[:12]}"


def _place(process: Process) -> str:
    """Where a process's number means something, in few letters; of a process that does not know it nobody can say."""
    place = uuid.uuid4().hex if process.space is None else f"{process.host} {process.space}"
    return hashlib.sha256(place.encode()).hexdigest()[:12]


def _is_left(name: re.Match[str], folder: Path, here: Process, oldest: float) -> bool:
    place, pid, started = name.groups()
    if hasattr(os, "getuid") and folder.stat(follow_symlinks=False).st_uid != os.getuid():
        return False
    if here.space is not None and place == _place(here):
        return here.has_outlived(replace(here, pid=int(pid), started=None if started == "x" else int(started)))
    return max(path.stat(follow_symlinks=False).st_mtime for path in (folder, *folder.iterdir())) < oldest
