"""A lake whose runs are killed at random moments and repaired by a clean one."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.effort import tried
from tests.support.nursery import Nursery, Order
from tests.support.rig import CONNECTION, Rig

_runs = count(1)


class Patient:
    """A lake, and runs over it that are killed or not."""

    def __init__(self, rig: Rig, nursery: Nursery, folder: Path, tables: list[str]) -> None:
        self.rig, self.tables, self._nursery, self._watermarks = rig, tables, nursery, folder
        folder.mkdir()

    def run(self, seconds: float | None = None, **options: Any) -> float | None:
        """Do a run, killed after `seconds` if given; gives the seconds it took, None if it was killed."""
        order = Order(
            f"run-{next(_runs)}", CONNECTION, self.rig.server.base_url, self.rig.server.token, self.rig.lake_url,
            str(self._watermarks), self.tables, self.rig.storage, seconds=seconds, **options,
        )  # fmt: skip
        return self._nursery.run(order)

    def check_scratch(self) -> None:
        """A clean run has left no unfinished file, of its own or of one that was killed."""
        if "://" not in self.rig.lake_url:
            assert list((self.rig.lake_folder / "_tmp").iterdir()) == []

    def change(self) -> None:
        """Change rows two hours later: beyond the lookback, so that a lost row is never read again."""
        workspace = self.rig.workspace
        workspace.travel(7200)
        for row in workspace.rows("contacts")[::3]:
            workspace.update("contacts", row["id"], name=f"at {workspace.now()}")
        workspace.update("tags", workspace.rows("tags")[0]["id"], name=f"at {workspace.now()}")
        workspace.create("contacts")
        workspace.travel(1)


def kill_increments(patient: Patient, moments: random.Random, kills: int) -> int:
    """Kill `kills` increments of one lake, every fifth a full refresh; each time a clean run must make it exact.

    Gives how many were killed; the others had ended before.
    """
    whole = patient.run()
    killed = 0
    for number in range(kills):
        patient.change()
        assert whole is not None
        killed += patient.run(moments.uniform(0, 1.1 * whole), full_refresh=number % 5 == 4) is None
        whole = patient.run()
        patient.rig.check(patient.tables)
        patient.check_scratch()
    tried("killed runs", killed)
    return killed


def kill_first_loads(patients: Iterable[Patient], moments: random.Random) -> int:
    """Kill the first load of each lake; a clean run makes it exact. Gives how many were killed."""
    whole, killed = 0.5, 0
    for patient in patients:
        killed += patient.run(moments.uniform(0, 1.1 * whole)) is None
        whole = patient.run() or whole
        patient.rig.check(patient.tables)
        patient.check_scratch()
    tried("killed first loads", killed)
    return killed
