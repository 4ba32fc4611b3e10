"""Staged rows that wait to be merged: large tables are not rewritten for a few rows, and nothing is lost meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest

from intercom.compact import compact_table
from intercom.due import When
from intercom.ledger import Ledger
from intercom.publish import Month, Outcome, Work, publish_months
from intercom.tables import TABLES, Table
from tests.support.rig import CONNECTION, Rig
from tests.support.truth import read_lake

CONTACTS = TABLES["contacts"]


def change(rig: Rig, name: str) -> None:
    rig.workspace.travel(7200)
    for row in rig.workspace.rows("contacts")[::3]:
        rig.workspace.update("contacts", row["id"], name=name)
    rig.workspace.create("contacts")
    rig.workspace.travel(1)


def names(rig: Rig) -> list[Any]:
    return sorted(read_lake(rig.lake_url, CONNECTION, "contacts").column("name").to_pylist(), key=str)


def test_rows_wait_over_several_runs_and_are_merged_together(rig: Rig) -> None:
    rig.sync(["contacts"])
    before = names(rig)
    for name in ("first", "second"):
        change(rig, name)
        _, compacted = rig.sync(["contacts"], when=When.NEVER)["contacts"]
        assert compacted.waiting > 0
        assert compacted.files == 0
    assert names(rig) == before  # a reader sees what was merged last
    state = rig.ledger("contacts").state()
    assert state is not None
    assert len(state.staged) == 2
    compact_table(CONTACTS, rig.ledger("contacts"), rig.store)
    rig.check(["contacts"])
    assert rig.lake().list("_staging") == {}


def test_a_first_load_may_wait_too(rig: Rig) -> None:
    rig.sync(["contacts", "tags"], when=When.NEVER)
    assert rig.lake().list("data") == {}
    rig.sync(["contacts", "tags"])
    rig.check(["contacts", "tags"])


def test_a_full_refresh_takes_the_place_of_what_waits(rig: Rig) -> None:
    rig.sync(["contacts"])
    change(rig, "waiting")
    rig.sync(["contacts"], when=When.NEVER)
    rig.workspace.delete("contacts", rig.workspace.rows("contacts")[0]["id"])
    rig.sync(["contacts"], full_refresh=True, when=When.AUTO)
    rig.check(["contacts"])


def test_waiting_rows_that_are_lost_are_read_again(rig: Rig) -> None:
    rig.sync(["contacts"])
    change(rig, "lost")
    rig.sync(["contacts"], when=When.NEVER)
    lake = rig.lake()
    lake.delete(list(lake.list("_staging")))
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_months_are_merged_in_pieces_elsewhere(rig: Rig) -> None:
    """As on a task runner: each piece by a ledger of its own, from plain values only."""
    rig.sync(["contacts"])
    change(rig, "changed")
    rig.sync(["contacts"], when=When.NEVER)
    seen: list[int] = []

    def publish(table: Table, ledger: Ledger, work: Work) -> Sequence[Outcome]:
        pieces = list(work.shared_out(1))
        seen.extend(len(piece.months) for piece in pieces)
        assert {type(value) for piece in pieces for value in asdict(piece).values()} <= {str, bool, tuple}
        return [outcome for piece in pieces for outcome in publish_months(table, rig.ledger("contacts"), piece)]

    compact_table(CONTACTS, rig.ledger("contacts"), rig.store, publish=publish)
    assert len(seen) > 1
    assert set(seen) == {1}
    rig.check(["contacts"])


def test_work_is_shared_out_by_size() -> None:
    months = tuple(
        Month(f"2026-{number:02}", (), stored=True, size=size) for number, size in enumerate((5, 5, 20, 1), 1)
    )
    work = Work("v", replaces=False, whole=False, months=months)
    assert [[month.size for month in piece.months] for piece in work.shared_out(10)] == [[5, 5], [20], [1]]
    assert list(Work("v", replaces=False, whole=False, months=()).shared_out(10)) == []


@pytest.mark.parametrize("when", [When.AUTO, When.ALWAYS])
def test_small_tables_are_merged_after_every_run(rig: Rig, when: When) -> None:
    rig.sync(["contacts"], when=when)
    change(rig, "changed")
    rig.sync(["contacts"], when=when)
    rig.check(["contacts"])
