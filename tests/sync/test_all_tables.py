"""Every table of the catalogue in one lake, compared whole with what the workspace has.

A first load and three increments of one day. In each, every table gets rows and changes of rows, rows go to another
month, lists inside rows lose elements, parents lose children, and lists lose rows. Runs are killed at a step, and some
leave their rows to be merged later. `make soak` has longer days.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from intercom.compaction.policy import CompactionMode
from intercom.lake.layout import TableFormat
from intercom.tables.catalogue import TABLES
from intercom.tables.selection import select_tables
from tests.support.changes import change
from tests.support.effort import effort
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed, fused_commits
from tests.support.rig import Rig

EVERY = select_tables(list(TABLES)).names
SMALL = {"contacts": 8, "companies": 5, "conversations": 6, "articles": 4, "further": 5, "history_days": 32}
MONTH = 31 * 86_400
MOST_STEPS = 150
"""Steps of a run over all tables, about."""


@pytest.fixture
def table_format(moments: random.Random) -> TableFormat:
    """Either one, by the seed that repeats a day."""
    return moments.choice(list(TableFormat))


@pytest.mark.parametrize("_day", range(effort(1, 6)))
def test_the_lake_is_what_the_workspace_is_after_each_run_of_a_day(
    make_rig: Callable[..., Rig], moments: random.Random, _day: int
) -> None:
    rig = make_rig(seed=moments.randrange(1000), **SMALL)
    rig.sync(EVERY)
    rig.check(EVERY)
    for number in range(effort(3, 30)):
        rig.workspace.travel(moments.choice((600, 1_200, 5_000)))
        for table in TABLES.values():
            change(rig.workspace, table, moments)
        rig.workspace.travel(1)
        # The second run of a day leaves what it has read to the third one.
        waits = number % 3 == 1
        run_id = f"increment-{number}"
        if not waits and moments.random() < 0.7:
            kill(rig, moments, run_id)
            if moments.random() < 0.5:
                run_id += "-again"
        rig.sync(EVERY, run_id=run_id, when=CompactionMode.NEVER if waits else CompactionMode.ALWAYS)
        if not waits:
            rig.check(EVERY)


def kill(rig: Rig, moments: random.Random, run_id: str) -> None:
    """A run that dies at a step."""
    fuse = Fuse(moments.randint(1, MOST_STEPS))
    plain, rig.store = rig.store, FusedWatermarks(rig.store, fuse)
    with fused_commits(fuse), suppress(Killed):
        rig.sync(EVERY, run_id=run_id, lake=FusedLake(rig.lake_url, fuse))
    rig.store = plain
