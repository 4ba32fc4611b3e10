"""Kills runs before a chosen step that changes the lake, the watermarks or a Delta log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from intercom.lake.delta.log import DeltaLog
from intercom.lake.storage import ANY, Lake
from intercom.lake.store import FileStat
from intercom.lake.watermark import Watermark
from tests.support.rig import MemoryWatermarks


class Killed(BaseException):
    """Stands for the death of the process, so no code under test may catch it."""


class Fuse:
    """Raises Killed at the `burns_at`-th step that changes the lake or the watermarks, and at every later step."""

    def __init__(self, burns_at: int | None) -> None:
        self.steps = 0
        self.burns_at = burns_at

    def step(self, act: Callable[[], Any]) -> Any:
        """Count and do a step. Dying just after a step is the same as dying before the next one."""
        self.steps += 1
        if self.burns_at is not None and self.steps >= self.burns_at:
            raise Killed
        return act()


class FusedLake(Lake):
    def __init__(self, url: str, fuse: Fuse) -> None:
        super().__init__(url)
        self._fuse = fuse

    def publish(self, written: Path, path: str, *, rows: int, over: str | None = ANY, **more: Any) -> FileStat:
        act = partial(super().publish, written, path, rows=rows, over=over, **more)
        there: FileStat = self._fuse.step(act)
        return there

    def write_json(self, path: str, record: Mapping[str, Any]) -> None:
        self._fuse.step(lambda: super(FusedLake, self).write_json(path, record))

    def create_json(self, path: str, record: Mapping[str, Any]) -> bool:
        return bool(self._fuse.step(lambda: super(FusedLake, self).create_json(path, record)))

    def delete(self, paths: Any) -> None:
        for path in paths:
            self._fuse.step(partial(super().delete, [path]))


class FusedWatermarks(MemoryWatermarks):
    def __init__(self, inner: MemoryWatermarks, fuse: Fuse) -> None:
        self.kept = inner.kept
        self._fuse = fuse

    def save(self, watermark: Watermark) -> None:
        self._fuse.step(lambda: super(FusedWatermarks, self).save(watermark))


@contextmanager
def fused_commits(fuse: Fuse) -> Iterator[None]:
    """Commits of Delta tables, which do not pass through the lake, are steps as well."""
    commit = DeltaLog.commit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeltaLog, "commit", lambda *given: fuse.step(lambda: commit(*given)))
        yield
