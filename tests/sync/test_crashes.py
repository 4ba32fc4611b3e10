"""A process that dies between any two steps of a run: the next run makes the lake exact."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intercom.extract.limits import ReadLimits
from tests.support.effort import effort, tried
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed, fused_commits
from tests.support.rig import MemoryWatermarks, Rig, in_both_formats

TABLES = ("contacts", "articles", "tags")
in_few_rows = pytest.mark.parametrize(
    "limits", [ReadLimits(smallest_slice=3, between_checkpoints=0)], ids=["in few rows"]
)
"""Searches are split down to a few rows, and each slice is noted as soon as it is read."""


def run_until(rig: Rig, burns_at: int | None, **options: Any) -> int | None:
    """A run that dies at a step; gives the number of steps when it came to its end instead."""
    fuse = Fuse(burns_at)
    plain = rig.store
    rig.store = FusedWatermarks(plain, fuse)
    try:
        with fused_commits(fuse):
            rig.sync(TABLES, lake=FusedLake(rig.lake_url, fuse), **options)
    except Killed:
        return None
    finally:
        rig.store = plain
    return fuse.steps


def every_crash(make: Callable[[], Rig], **options: Any) -> Iterator[tuple[int, Rig]]:
    """A rig for each step at which a run can die, just after it died there.

    `make test` takes each ninth, beginning at a random one, and the last; `make soak` takes all.
    """
    steps = run_until(make(), None, **options)
    assert steps is not None
    assert steps > 10
    stride = effort(9, 1)
    died = 0
    for burns_at in sorted({*range(random.randint(1, stride), steps + 1, stride), steps}):
        rig = make()
        if run_until(rig, burns_at, **options) is None:  # else it took fewer steps: reads in parallel differ by some
            died += 1
            yield burns_at, rig
    assert died >= max(1, steps // stride - 2)
    tried("crashes", died)


@pytest.fixture
def small(make_rig: Callable[..., Rig], tmp_path: Path) -> Callable[[], Rig]:
    """Rigs of few rows in two or three months, each with its own lake."""
    numbers = iter(range(10_000))

    def make() -> Rig:
        return make_rig(
            lake=str(tmp_path / f"lake-{next(numbers)}"),
            contacts=12, companies=0, conversations=0, articles=4, tags=2, segments=0, history_days=20,
        )  # fmt: skip

    return make


def change(rig: Rig) -> None:
    """Changes further from the last run and from the next one than the lookback, which would make up for a loss."""
    rig.workspace.travel(7200)
    for row in rig.workspace.rows("contacts")[::4]:
        rig.workspace.update("contacts", row["id"], name="changed")
    rig.workspace.create("contacts")
    rig.workspace.create("tags")
    rig.workspace.travel(7200)


@pytest.fixture
def loaded(small: Callable[[], Rig], tmp_path: Path) -> Callable[[], Rig]:
    """Rigs with a first load behind them, and changes to come: copies of one lake, over one workspace."""
    rig = small()
    rig.load(TABLES)
    change(rig)
    numbers = iter(range(10_000))

    def make() -> Rig:
        lake = tmp_path / f"copy-{next(numbers)}"
        shutil.copytree(rig.lake_url, lake)
        return replace(rig, lake_url=str(lake), store=MemoryWatermarks(rig.store.kept))

    return make


@in_both_formats
def test_a_first_load_that_dies_at_any_step_is_repaired_by_the_next_run(small: Callable[[], Rig]) -> None:
    for step, rig in every_crash(small):
        change(rig)
        rig.sync(TABLES)
        check(rig, step)


@in_both_formats
def test_an_increment_that_dies_at_any_step_is_repaired_by_the_next_run(loaded: Callable[[], Rig]) -> None:
    for step, rig in every_crash(loaded):
        rig.sync(TABLES)
        check(rig, step)


def test_a_full_refresh_that_dies_at_any_step_is_repaired_by_the_next_full_refresh(loaded: Callable[[], Rig]) -> None:
    workspace = loaded().workspace
    for row in workspace.rows("contacts")[::3]:
        workspace.delete("contacts", row["id"])
    for step, rig in every_crash(loaded, full_refresh=True):
        rig.sync(TABLES, full_refresh=True)
        check(rig, step)


def test_a_crash_never_shows_a_reader_a_key_twice_or_a_broken_file(loaded: Callable[[], Rig]) -> None:
    for step, rig in every_crash(loaded):
        for table in TABLES:
            ids = rig.rows(table).column("id").to_pylist()
            assert len(ids) == len(set(ids)), (step, table)


def test_a_folder_lost_after_a_crash_before_compaction_is_read_again(loaded: Callable[[], Rig]) -> None:
    """The watermark is saved by then, and staged rows of the increment are all that is left of the table."""

    for step, rig in every_crash(loaded):
        for path in rig.lake().list("data"):
            (rig.lake_folder / path).unlink()
        rig.sync(TABLES)
        check(rig, step)


@in_few_rows
def test_a_run_that_dies_at_any_step_and_is_tried_again_is_exact(small: Callable[[], Rig]) -> None:
    """The same run, by its id: what the dead attempt noted is built upon, wherever it stopped."""
    for step, rig in every_crash(small, run_id="again"):
        rig.sync(TABLES, run_id="again")
        check(rig, step)


@in_few_rows
def test_an_increment_that_dies_and_is_tried_again_is_exact(loaded: Callable[[], Rig]) -> None:
    for step, rig in every_crash(loaded, run_id="again"):
        rig.sync(TABLES, run_id="again")
        check(rig, step)


def check(rig: Rig, step: int) -> None:
    try:
        rig.check(TABLES)
    except AssertionError as error:
        raise AssertionError(f"after a crash at step {step}: {error}") from error
