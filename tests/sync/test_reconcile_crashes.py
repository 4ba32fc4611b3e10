"""A reconcile that dies between any two steps: the next one ends right, and nothing that is there was removed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intercom.sync import vanished
from tests.support.effort import effort, tried
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed, fused_commits
from tests.support.rig import Rig, removing_and_marking

TABLES = ("contacts", "articles")
MARKED = {"deleted": "mark"}
HIDDEN = 2
"""Contacts that no search shows, and that are there by their own address."""


@pytest.fixture
def small(make_rig: Callable[..., Rig], tmp_path: Path) -> Callable[[], Rig]:
    numbers = iter(range(10_000))

    def make() -> Rig:
        return make_rig(
            lake=str(tmp_path / f"lake-{next(numbers)}"),
            contacts=14, companies=0, conversations=0, articles=5, tags=0, segments=0, history_days=20,
        )  # fmt: skip

    return make


def run_until(rig: Rig, burns_at: int | None, **options: Any) -> int | None:
    """A reconcile that dies at a step; the number of steps when it came to its end instead."""
    fuse = Fuse(burns_at)
    plain = rig.store
    rig.store = FusedWatermarks(plain, fuse)
    try:
        with fused_commits(fuse):
            rig.reconcile(TABLES, lake=FusedLake(rig.lake_url, fuse), **options)
    except Killed:
        return None
    finally:
        rig.store = plain
    return fuse.steps


def prepared(rig: Rig, marks: bool) -> set[str]:
    """A lake that has rows which are gone, changed, new, and hidden from search; gives the ids of the hidden."""
    rig.options = MARKED if marks else {}
    rig.load(TABLES)
    rig.workspace.travel(7200)
    for table in TABLES:
        rows = rig.workspace.rows(table)
        for row in rows[:2]:
            rig.workspace.delete(table, row["id"])
        rig.workspace.update(table, rows[4]["id"], name="changed")
        rig.workspace.create(table)
    hidden = {row["id"] for row in rig.workspace.rows("contacts")[3 : 3 + HIDDEN]}
    rows = [row for row in rig.workspace.rows("contacts") if row["id"] not in hidden]
    body = {"type": "list", "data": rows, "total_count": len(rows), "pages": None}
    rig.server.fail("/contacts/search", status=200, body=body, times=100_000)
    return hidden


@removing_and_marking
def test_after_a_crash_at_any_step_the_next_reconcile_is_exact(small: Callable[[], Rig], marks: bool) -> None:
    rig = small()
    prepared(rig, marks)
    steps = run_until(rig, None)
    assert steps is not None
    stride, died = effort(16, 1), 0
    for burns_at in sorted({*range(random.randint(1, stride), steps + 1, stride), steps}):
        rig = small()
        hidden = prepared(rig, marks)
        alive = {table: {str(row["id"]) for row in rig.workspace.rows(table)} for table in TABLES}
        before = {table: set(map(str, rig.rows(table).column("id").to_pylist())) for table in TABLES}
        if run_until(rig, burns_at) is not None:
            continue
        died += 1
        for table in TABLES:  # before anything is mended: what is there has not gone
            assert before[table] & alive[table] <= set(map(str, rig.rows(table).column("id").to_pylist()))
        rig.reconcile(TABLES)
        assert hidden <= set(rig.rows("contacts").column("id").to_pylist())
        rig.check(TABLES)
    assert died
    tried("crashes", died)


def test_a_try_that_dies_after_its_commit_is_ended_by_the_next_try_of_the_same_run(small: Callable[[], Rig]) -> None:
    """It has read everything, and asks for no row again: what is gone is in the record."""
    for burns_at in range(1, 200):
        rig = small()
        prepared(rig, marks=False)
        if run_until(rig, burns_at, run_id="once") is None:
            state = rig.lake_table("contacts").state()
            if state.sweep is None or state.run_id != "once":
                continue
        rig.server.clear_log()
        ingested, merged = rig.reconcile(TABLES, run_id="once")["contacts"]
        assert ingested.earlier_try
        assert merged.removed == 2
        assert not [one for one in rig.server.requests() if one.path == "/contacts/search"]
        rig.check(TABLES)
        return
    pytest.fail("no step lies between the commit and the removal")


def test_a_decision_that_a_killed_run_has_left_does_not_outlive_a_row_that_is_met(
    small: Callable[[], Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row comes back, unchanged, before the removal was carried out."""
    rig = small()
    rig.load(TABLES)
    row = rig.workspace.rows("articles")[0]
    rig.workspace.delete("articles", row["id"])
    monkeypatch.setattr("tests.support.rig.remove_gone", lambda *given: given[-1])  # the run is killed before it
    rig.reconcile(TABLES)
    monkeypatch.undo()
    state = rig.lake_table("articles").state()
    assert rig.lake_table("articles").sweep(state).gone == {str(row["id"])}
    rig.workspace.create("articles", **row)
    assert rig.sync(TABLES)["articles"][1].removed == 0
    rig.check(TABLES)


@pytest.mark.parametrize("what", ["as it was", "missing", "damaged", "of another run"])
def test_a_sweep_that_cannot_be_believed_is_ignored(
    small: Callable[[], Rig], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Rows are then missing for the first time again; else the second sweep, and one row that is asked, decide."""
    monkeypatch.setattr(vanished, "ASKED_ONE_BY_ONE", 0)
    rig = small()
    rig.load(["contacts"])
    for row in rig.workspace.rows("contacts")[:2]:
        rig.workspace.delete("contacts", row["id"])
    rig.reconcile(["contacts"])
    path = rig.lake_folder / "_state/acme/contacts.sweep.parquet"
    content = path.read_bytes()
    match what:
        case "missing":
            path.unlink()
        case "damaged":
            path.write_bytes(content[:-20])
        case "of another run":
            rig.reconcile(["contacts"])
            path.write_bytes(content)
    monkeypatch.setattr(vanished, "ASKED_ONE_BY_ONE", 1)
    ingested, merged = rig.reconcile(["contacts"])["contacts"]
    assert (ingested.undecided, merged.removed) == ((0, 2) if what == "as it was" else (2, 0))
