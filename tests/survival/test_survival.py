"""Short lives of lakes, long ones in `make soak ONLY=survival`; and that what goes wrong in one is noticed."""

from __future__ import annotations

import json
import random
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.lake.layout import TableFormat
from tests.support.faulty_s3 import FAULTS, S3Faults
from tests.support.nursery import Nursery
from tests.support.rig import CONNECTION, Rig
from tests.support.runs import Order
from tests.survival.__main__ import Report
from tests.survival.judge import WrongLakeError, check_keys, check_truth
from tests.survival.lane import Lane
from tests.survival.life import GROUPS
from tests.survival.places import OnDisk

CONTACTS = ["contacts", "contact_tags"]


@pytest.mark.parametrize(
    ("lane", "cycles", "groups"),
    [("local-parquet", 2, GROUPS), ("local-delta", 1, GROUPS), ("s3-parquet", 1, [["contacts", "contact_tags"]])],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_lake_lives_through_what_befalls_it(
    lane: str, cycles: int, groups: list[list[str]], nursery: Nursery, moments: random.Random, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        lives = Lane(lane, tmp_path, nursery, stack)
        seed = moments.randrange(1 << 30)
        assert lives.one_life(seed, 1, cycles=cycles, groups=groups) is None
    assert lives.tally["clean runs"] >= cycles
    assert lives.tally["rows compared"] > 0


@pytest.fixture
def loaded(make_rig: Callable[..., Rig]) -> Rig:
    rig = make_rig(contacts=12, companies=0, conversations=0, articles=0, history_days=40)
    rig.sync(CONTACTS)
    return rig


@pytest.fixture
def place(loaded: Rig) -> OnDisk:
    return OnDisk(loaded.lake_folder.parent, TableFormat.PARQUET)


def months(rig: Rig) -> list[Path]:
    return sorted((rig.lake_folder / "data" / CONNECTION / "contacts").rglob("data.parquet"))


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(change(rows), path)


def test_a_lake_that_is_exact_is_found_right(loaded: Rig, place: OnDisk) -> None:
    rows = len(loaded.workspace.rows("contacts"))
    assert check_keys(place, ["contacts"]) == rows
    assert check_truth(loaded, place, CONTACTS) > rows


def test_a_row_that_is_lost_is_found(loaded: Rig, place: OnDisk) -> None:
    rewrite(months(loaded)[0], lambda rows: rows.slice(1))
    check_keys(place, CONTACTS)
    with pytest.raises(WrongLakeError) as found:
        check_truth(loaded, place, CONTACTS)
    assert found.value.counts == {"lost": 1}


def test_a_key_that_is_there_twice_is_found(loaded: Rig, place: OnDisk) -> None:
    rewrite(months(loaded)[-1], lambda rows: pa.concat_tables([rows, rows.slice(0, 2)]))
    for check in (lambda: check_keys(place, CONTACTS), lambda: check_truth(loaded, place, CONTACTS)):
        with pytest.raises(WrongLakeError) as found:
            check()
        assert found.value.counts == {"doubled": 2}


def test_a_row_of_before_is_found(loaded: Rig, place: OnDisk) -> None:
    loaded.workspace.update("contacts", loaded.workspace.rows("contacts")[0]["id"], name="changed")
    with pytest.raises(WrongLakeError) as found:
        check_truth(loaded, place, CONTACTS)
    assert found.value.counts == {"stale": 1}


def test_a_row_that_should_be_gone_is_found(loaded: Rig, place: OnDisk) -> None:
    loaded.workspace.delete("contacts", loaded.workspace.rows("contacts")[0]["id"])
    with pytest.raises(WrongLakeError) as found:
        check_truth(loaded, place, ["contacts"])
    assert found.value.counts == {"stale": 1}


@pytest.fixture
def order(loaded: Rig, tmp_path: Path) -> Iterator[Callable[..., Order]]:
    (tmp_path / "watermarks").mkdir()

    def make(run_id: str, **given: Any) -> Order:
        server = loaded.server
        return Order(
            run_id, CONNECTION, server.base_url, server.token, loaded.lake_url, str(tmp_path / "watermarks"), CONTACTS,
            **given,
        )  # fmt: skip

    return make


def test_a_run_that_stops_before_a_step_is_overtaken_by_another_and_told_so(
    order: Callable[..., Order], loaded: Rig, nursery: Nursery
) -> None:
    quick = (0.2, 1.0, 0.05)
    loaded.workspace.travel(7200)
    loaded.workspace.create("contacts")
    frozen = nursery.start(order("frozen", at_step=12, at_step_signal=signal.SIGSTOP, locks=quick))
    assert nursery.stopped(frozen)
    assert nursery.do(order("second", locks=quick)).well
    loaded.check(CONTACTS)
    nursery.go_on(frozen)
    assert re.search("lost by frozen|overtaken by another run", str(nursery.wait(frozen).error))
    assert nursery.do(order("third", locks=quick)).well
    loaded.check(CONTACTS)


def test_a_run_on_another_host_with_another_clock_is_exact(
    order: Callable[..., Order], loaded: Rig, nursery: Nursery
) -> None:
    rows = loaded.rows("contacts")
    for run_id, clock in (("ahead", 90_000.0), ("behind", -90_000.0)):
        loaded.workspace.travel(7200)
        loaded.workspace.create("contacts")
        assert nursery.do(order(run_id, host=f"host-{run_id}", clock=clock)).well
        loaded.check(CONTACTS)
    ahead = max(loaded.rows("contacts").column("_ingested_at").to_pylist()) - max(
        rows.column("_ingested_at").to_pylist()
    )
    assert 90_000 < ahead.total_seconds() < 91_000, "the clock behind does not set it back"


def test_a_disk_that_is_full_ends_a_run_with_an_error(
    order: Callable[..., Order], loaded: Rig, nursery: Nursery
) -> None:
    loaded.workspace.travel(7200)
    loaded.workspace.create("contacts")
    assert "File too large" in str(nursery.do(order("full", file_bytes=2_000)).error)
    assert nursery.do(order("later")).well
    loaded.check(CONTACTS)


def test_all_faults_of_a_store_are_drawn() -> None:
    faults = S3Faults()
    assert faults.draw() is None
    faults.begin(1.0, seed=1)
    assert {faults.draw() for _ in range(100)} == set(FAULTS)
    faults.end()
    assert faults.draw() is None
    assert sum(faults.counts.values()) == 100


def test_what_lanes_tell_is_added_up_and_a_failure_is_told_with_what_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report(seed=7)
    failed = "local-delta, life 3 of seed 7: WrongLakeError: contacts ...\n  kill: run-1 (at step 3) -> killed"
    report.listen(
        StringIO(
            '{"lane": "local-delta", "worker": 1, "tally": {"kills": 2}, "spoilt": {}}\n'
            '{"lane": "local-delta", "worker": 1, "tally": {"kills": 5, "lost": 1}, "spoilt": {}}\n'
            '{"lane": "s3-delta", "worker": 2, "tally": {"kills": 1200}, "spoilt": {"reset": 3}}\n'
            + json.dumps({"lane": "local-delta", "life": 3, "failed": failed})
        )
    )
    assert failed in capsys.readouterr().out
    assert report.line(2).startswith("   2 min: 1,205 kills, 0 freezes")
    rows = [line.split() for line in report.table().splitlines()]
    assert rows == [
        ["local-delta", "s3-delta", "all"],
        ["kills", "5", "1,200", "1,205"],
        ["spoilt", "requests:", "reset", "0", "3", "3"],
        ["lost", "1", "0", "1"],
        ["doubled", "0", "0", "0"],
        ["stale", "0", "0", "0"],
    ]
    assert failed in report.end()
    assert "python -m tests.survival --seed 7 --lane local-delta --life 3" in report.end()
    assert report.status == 1
    cut = Report(seed=7)
    assert cut.status == 0
    cut.cut_off = 12.0
    assert "ended by a signal after 12 minutes" in cut.end()
    assert cut.status == 1
