"""Who holds tables now, told without taking a lock."""

from __future__ import annotations

import os
from dataclasses import replace

from intercom.lake.locks.holders import holders_of
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.process import Process
from tests.support.rig import Rig

TABLES = ("tags", "teams", "contacts")


def test_a_run_at_work_is_told_with_its_tables_and_nothing_is_written(rig: Rig) -> None:
    lake = rig.lake()
    with TableLocks(lake, "acme", ["teams", "tags"], "run-7"):
        before = lake.stamps("")
        (holder,) = holders_of(lake, "acme", TABLES)
        assert (holder.run_id, holder.tables, holder.at_work) == ("run-7", ("tags", "teams"), True)
        assert holder.since <= holder.renewed_at
        assert lake.stamps("") == before
        assert holders_of(lake, "other", TABLES) == []
    assert holders_of(lake, "acme", TABLES) == []


def test_a_dead_run_is_told_from_one_that_cannot_be_seen_from_here(rig: Rig) -> None:
    here = Process.current()
    dead = replace(here, pid=os.getpid(), started=1)  # a later process has its id
    TableLocks(rig.lake(), "acme", ["tags"], "dead", process=dead).acquire()
    TableLocks(rig.lake(), "acme", ["teams"], "away", process=replace(here, host="elsewhere")).acquire()
    found = {holder.run_id: (holder.at_work, holder.host) for holder in holders_of(rig.lake(), "acme", TABLES)}
    assert found == {"dead": (False, here.host), "away": (None, "elsewhere")}
