"""A run is killed at a random moment, of a first load, an increment or a full refresh: one clean run repairs the lake.

The moments are random in time, so they fall anywhere, also into an upload; `RANDOM_KILLS` repeats those of a seed as
far as time can be repeated.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BUCKET
from tests.support.nursery import Nursery, Order
from tests.support.rig import CONNECTION, Rig

TABLES = ["contacts", "articles", "tags"]
SMALL = {"contacts": 40, "companies": 4, "conversations": 0, "articles": 8, "history_days": 70}
KEYS = {"key": "test", "secret": "test"}  # the nursery's environment has none
_runs = count(1)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


class Patient:
    """A lake, and runs over it that are killed or not."""

    def __init__(self, rig: Rig, nursery: Nursery, folder: Path) -> None:
        self.rig, self._nursery, self._watermarks = rig, nursery, folder
        folder.mkdir()

    def run(self, seconds: float | None = None, **options: Any) -> float | None:
        order = Order(
            f"run-{next(_runs)}", CONNECTION, self.rig.server.base_url, self.rig.server.token, self.rig.lake_url,
            str(self._watermarks), TABLES, self.rig.storage, seconds=seconds, **options,
        )  # fmt: skip
        return self._nursery.run(order)

    def change(self) -> None:
        """Beyond the lookback, so that a row which is lost once is lost for ever."""
        workspace = self.rig.workspace
        workspace.travel(7200)
        for row in workspace.rows("contacts")[::3]:
            workspace.update("contacts", row["id"], name=f"at {workspace.now()}")
        workspace.update("articles", workspace.rows("articles")[0]["id"], title=f"at {workspace.now()}")
        workspace.create("contacts")
        workspace.travel(1)


def kill_and_repair(patient: Patient, moments: random.Random, kills: int) -> int:
    """Kill so many increments of one lake, every fifth a full refresh; each time a clean run makes the lake exact."""
    whole = patient.run()
    killed = 0
    for number in range(kills):
        patient.change()
        assert whole is not None
        killed += patient.run(moments.uniform(0, 1.1 * whole), full_refresh=number % 5 == 4) is None
        whole = patient.run()
        patient.rig.check(TABLES)
    return killed


@pytest.fixture
def moments() -> random.Random:
    seed = int(os.environ.get("RANDOM_KILLS", "0")) or random.SystemRandom().randrange(1, 10**9)
    print(f"RANDOM_KILLS={seed}")  # shown when the test fails
    return random.Random(seed)


@pytest.mark.parametrize("store", ["local", "s3"])
def test_increments(
    make_rig: Callable[..., Rig], nursery: Nursery, moments: random.Random, tmp_path: Path, s3_storage: Any, store: str
) -> None:
    rig = make_rig(**SMALL)
    if store == "s3":
        rig.lake_url, rig.storage = f"s3://{BUCKET}/lake", {**s3_storage, **KEYS}
    kills = 40 if store == "local" else 20
    killed = kill_and_repair(Patient(rig, nursery, tmp_path / "watermarks"), moments, kills)
    assert killed >= kills // 2  # the others had ended before


@pytest.mark.parametrize("store", ["local", "s3"])
def test_first_loads(
    make_rig: Callable[..., Rig], nursery: Nursery, moments: random.Random, tmp_path: Path, s3_storage: Any, store: str
) -> None:
    rig, kills, killed = make_rig(**SMALL), 25 if store == "local" else 15, 0
    whole = 0.5
    for number in range(kills):
        rig.lake_url = str(tmp_path / f"lake-{number}") if store == "local" else f"s3://{BUCKET}/lake-{number}"
        rig.storage = {} if store == "local" else {**s3_storage, **KEYS}
        patient = Patient(rig, nursery, tmp_path / f"watermarks-{number}")
        killed += patient.run(moments.uniform(0, 1.1 * whole)) is None
        whole = patient.run() or whole
        rig.check(TABLES)
    assert killed >= kills // 2
