"""A run that was suspended between a check and a write, on a disk that cannot check which file a rename replaces."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.rig import CONNECTION, Rig
from tests.support.runs import Order

CONTACTS = ["contacts"]
QUICK = (0.2, 1.0, 0.05)
MONTH = 31 * 86_400


@pytest.mark.parametrize(
    ("first", "second", "below"),
    [
        pytest.param(0, -MONTH, "", id="before it puts rows that go to another month"),
        pytest.param(-MONTH, MONTH, "created_month=2026-11", id="before it removes a month that gets its rows back"),
    ],
)
def test_a_run_that_was_overtaken_changes_no_file_when_it_goes_on(
    make_rig: Callable[..., Rig], nursery: Nursery, tmp_path: Path, first: int, second: int, below: str
) -> None:
    rig = make_rig(contacts=12, companies=0, conversations=0, history_days=2)
    (tmp_path / "watermarks").mkdir()

    def order(run_id: str) -> Order:
        return Order(
            run_id, CONNECTION, rig.server.base_url, rig.server.token, rig.lake_url, str(tmp_path / "watermarks"),
            CONTACTS, locks=QUICK,
        )  # fmt: skip

    def change(by: int) -> None:
        rig.workspace.travel(7200)
        for row in rig.workspace.rows("contacts"):
            name, created_at = f"at {rig.workspace.now()}", row["created_at"] + by
            rig.workspace.update("contacts", row["id"], name=name, created_at=created_at)

    assert nursery.do(order("first")).well
    change(first)
    at = f"data/{CONNECTION}/contacts/{below}"
    suspended = nursery.start(replace(order("suspended"), at_step=1, at_path=at, at_step_signal=int(signal.SIGSTOP)))
    assert nursery.stopped(suspended)
    change(second)
    assert nursery.do(order("second")).well
    rig.check(CONTACTS)
    nursery.go_on(suspended)
    ended = nursery.wait(suspended)
    rig.check(CONTACTS)
    assert "overtaken by another run" in str(ended.error)
