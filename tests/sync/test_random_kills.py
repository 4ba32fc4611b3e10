"""A run is killed at a random moment, of a first load, an increment or a full refresh: one clean run repairs the lake.

The moments are random in time, so they fall anywhere; `RANDOM_KILLS` repeats those of a seed as far as time can be
repeated. `make soak` kills hundreds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.support.effort import effort
from tests.support.nursery import Nursery
from tests.support.patient import Patient, kill_first_loads, kill_increments
from tests.support.rig import Rig

TABLES = ["contacts", "articles", "tags"]
SMALL = {"contacts": 40, "companies": 4, "conversations": 0, "articles": 8, "history_days": 40}


def test_increments(make_rig: Callable[..., Rig], nursery: Nursery, moments: random.Random, tmp_path: Path) -> None:
    patient = Patient(make_rig(**SMALL), nursery, tmp_path / "watermarks", TABLES)
    kills = effort(10, 100)
    assert kill_increments(patient, moments, kills) >= kills // 2


def test_first_loads(make_rig: Callable[..., Rig], nursery: Nursery, moments: random.Random, tmp_path: Path) -> None:
    rig = make_rig(**SMALL)
    loads = effort(8, 60)
    lakes = (replace(rig, lake_url=str(tmp_path / f"lake-{number}")) for number in range(loads))
    patients = (Patient(lake, nursery, Path(f"{lake.lake_url}-watermarks"), TABLES) for lake in lakes)
    assert kill_first_loads(patients, moments) >= loads // 2
