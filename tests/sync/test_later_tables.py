"""A table that is selected for the first time in a lake that has others catches up alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from intercom.errors import RetriableApiError
from tests.support.rig import BY_DEFAULT, Rig


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=20, companies=5, conversations=10, articles=3, tickets=12)


def change(rig: Rig) -> None:
    """An hour later, one contact and one ticket are others."""
    rig.workspace.travel(3600)
    for table in ("contacts", "tickets"):
        rig.workspace.update(table, rig.workspace.rows(table)[0]["id"])
    rig.workspace.travel(1)


def test_a_table_that_is_added_later_begins_at_its_beginning_and_the_others_go_on(rig: Rig) -> None:
    first = rig.sync()
    change(rig)
    done = {name: ingested for name, (ingested, _) in rig.sync([*BY_DEFAULT, "tickets"]).items()}
    rig.check([*BY_DEFAULT, "tickets"])
    assert done["tickets"].watermark_before is None
    assert done["tickets"].reason == "the lake has no record of this table"
    assert done["tickets"].rows == len(rig.workspace.rows("tickets")) > 1
    for name in BY_DEFAULT:
        assert done[name].watermark_before == first[name][0].watermark_after
    assert done["contacts"].watermark_before is not None
    assert done["contacts"].rows < len(rig.workspace.rows("contacts"))

    change(rig)
    latest = rig.sync([*BY_DEFAULT, "tickets"])
    rig.check([*BY_DEFAULT, "tickets"])
    for name in ("contacts", "tickets"):
        assert latest[name][0].watermark_before == done[name].watermark_after
        assert latest[name][1].changed == 1


def test_a_table_that_could_not_catch_up_holds_back_no_other(rig: Rig) -> None:
    rig.load(["contacts"])
    change(rig)
    rig.server.fail("/tickets/search", kind="status", status=500, times=99)
    with pytest.raises(RetriableApiError):
        rig.sync(["contacts", "tickets"])
    assert rig.lake_table("tickets").state() is None
    moved = rig.lake_table("contacts").state()
    rig.server.clear_faults()
    change(rig)
    done = rig.sync(["contacts", "tickets"])
    rig.check(["contacts", "tickets"])
    assert moved is not None
    assert done["contacts"][0].watermark_before == moved.watermark
    assert done["tickets"][0].watermark_before is None
