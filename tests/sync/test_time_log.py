"""Runs over the log of activities, end to end: the lake has exactly what the sandbox has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from intercom.errors import ApiError
from intercom.extract.limits import ReadLimits
from intercom.extract.windows import DAY_SECONDS
from intercom.sync.run import asked_range
from intercom.tables.catalogue import TABLES
from intercom.tables.table import MOST_PER_PAGE
from tests.conftest import NOW
from tests.support.rig import Rig, in_four_months

LOG = "activity_logs"
PATH = TABLES[LOG].path
IN_SLICES = ReadLimits(smallest_slice=2 * MOST_PER_PAGE, between_checkpoints=1)
"""Slices of two pages, each of which is kept once it is read."""


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Four pages of entries, of three months."""
    return make_rig(**dict.fromkeys(("contacts", "companies", "conversations", "articles"), 0), activity_logs=70)


def newest(rig: Rig) -> int:
    return max(int(row["created_at"]) for row in rig.workspace.rows(LOG))


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("inclusive", [True, False])
def test_a_first_load_and_three_increments_of_one_day_are_exact(rig: Rig, newest_first: bool, inclusive: bool) -> None:
    """Some entries come late into the second of the watermark, and some into the second in which a run begins."""
    rig.limits = IN_SLICES
    rig.workspace.options.log.newest_first, rig.workspace.options.log.inclusive = newest_first, inclusive
    rig.sync([LOG])
    rig.check([LOG])
    for step in range(3):
        rig.workspace.create(LOG, created_at=newest(rig))
        rig.workspace.travel(3_000)
        for _ in range(25 * (step + 1)):
            rig.workspace.create(LOG)
        read, compacted = rig.sync([LOG])[LOG]
        rig.check([LOG])
        assert (compacted.new, compacted.changed, compacted.removed) == (1 + 25 * (step + 1), 0, 0)
        assert (read.reason, read.notes, read.watermark_after) == ("incremental", (), newest(rig))


def test_entries_that_arrive_during_a_run_come_with_the_next(rig: Rig) -> None:
    rig.load([LOG])
    rig.workspace.options.log.arriving = 45
    rig.workspace.travel(60)
    for _ in range(30):
        rig.workspace.create(LOG)
        rig.sync([LOG])
        rig.workspace.travel(5)
        if not rig.workspace.options.log.arriving:
            break
    rig.sync([LOG])
    rig.check([LOG])


@in_four_months
def test_a_run_that_is_broken_off_goes_on_with_its_slices(rig: Rig) -> None:
    rig.limits = IN_SLICES
    rig.in_flight = 1
    rig.server.fail(PATH, status=422, after=22, times=1_000)
    with pytest.raises(ApiError):
        rig.sync([LOG], run_id="run")
    rig.server.clear_faults()
    rig.server.clear_log()
    rig.sync([LOG], run_id="run")
    rig.check([LOG])
    assert len(rig.server.requests(PATH)) < 9  # which all slices would cost, beside the 17 to cut them


def test_backfills_bring_the_days_that_are_asked_for(rig: Rig) -> None:
    first, last = (datetime.fromtimestamp(NOW - days * DAY_SECONDS, UTC).date() for days in (40, 10))
    since, until = asked_range(first, last, full_refresh=False)
    assert isinstance(since, int)
    assert until is not None
    rig.sync([LOG], history_from=since, until=until)
    expected = {row["id"] for row in rig.workspace.rows(LOG) if since <= row["created_at"] < until}
    assert set(rig.rows(LOG).column("id").to_pylist()) == expected
    assert 0 < len(expected) < 70
    rig.sync([LOG])
    rig.check([LOG])


def test_a_full_refresh_keeps_entries_that_are_not_served_any_more(rig: Rig) -> None:
    rig.load([LOG])
    gone = min(rig.workspace.rows(LOG), key=lambda row: int(row["created_at"]))
    rig.workspace.delete(LOG, gone["id"])
    read, compacted = rig.sync([LOG], full_refresh=True)[LOG]
    assert compacted.removed == 0
    assert gone["id"] in rig.rows(LOG).column("id").to_pylist()
    assert any("entries of a log stay" in note for note in read.notes)
    _, compacted = rig.sync([LOG], full_refresh=True, allow_mass_removal=True)[LOG]
    assert compacted.removed == 1
    rig.check([LOG])
