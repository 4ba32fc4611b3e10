"""As `test_random_kills`, on S3, where a moment may fall into an upload. Of few tables: moto takes its time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BUCKET
from tests.support.effort import effort
from tests.support.nursery import Nursery
from tests.support.patient import Patient, kill_first_loads, kill_increments
from tests.support.rig import Rig

TABLES = ["contacts", "tags"]


@pytest.fixture
def rig(make_rig: Callable[..., Rig], s3_storage: dict[str, Any]) -> Rig:
    made = make_rig(contacts=40, companies=4, conversations=0, articles=0, history_days=20)
    made.storage = {**s3_storage, "key": "test", "secret": "test"}  # the nursery's environment has none
    return made


def test_increments(rig: Rig, nursery: Nursery, moments: random.Random, tmp_path: Path) -> None:
    rig.lake_url = f"s3://{BUCKET}/lake"
    kills = effort(2, 24)
    assert kill_increments(Patient(rig, nursery, tmp_path / "watermarks", TABLES), moments, kills) >= max(1, kills // 2)


def test_first_loads(rig: Rig, nursery: Nursery, moments: random.Random, tmp_path: Path) -> None:
    loads = effort(1, 16)
    lakes = (replace(rig, lake_url=f"s3://{BUCKET}/lake-{number}") for number in range(loads))
    patients = (Patient(lake, nursery, tmp_path / lake.lake_url[-1], TABLES) for lake in lakes)
    assert kill_first_loads(patients, moments) >= max(1, loads // 2)
