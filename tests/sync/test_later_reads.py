"""Which version is the newer one: what was read later, where every run reads all rows; else the cursor decides."""

from __future__ import annotations

import pytest

from intercom.compaction.policy import CompactionMode
from tests.support.rig import Rig, in_both_formats

WHOLE = ["companies", "articles"]
NAMES = {"companies": "name", "articles": "title", "contacts": "name"}


@in_both_formats
@pytest.mark.parametrize("moved", [-40 * 86_400, None], ids=["goes back", "becomes null"])
def test_new_content_with_an_older_cursor_value_is_taken_from_tables_that_are_read_whole(
    rig: Rig, moved: int | None
) -> None:
    rig.load(WHOLE)
    marks = {mark.table: mark.value for mark in rig.store.kept.values()}
    for table in WHOLE:
        row = rig.workspace.rows(table)[0]
        cursor = None if moved is None else row["updated_at"] + moved
        rig.workspace.update(table, row["id"], updated_at=cursor, **{NAMES[table]: "new"})
    results = rig.sync(WHOLE)
    rig.check(WHOLE)
    assert [results[table][1].changed for table in WHOLE] == [1, 1]
    assert {mark.table: mark.value for mark in rig.store.kept.values()} == marks


def test_an_older_cursor_value_and_then_the_same_again_is_written_once(rig: Rig) -> None:
    rig.load(["companies"])
    row = rig.workspace.rows("companies")[0]
    rig.workspace.update("companies", row["id"], updated_at=row["updated_at"] - 5, name="new")
    assert [rig.sync(["companies"])["companies"][1].files for _ in range(2)] == [1, 0]


def test_of_several_waiting_runs_the_later_read_is_the_newest(rig: Rig) -> None:
    rig.load(WHOLE)
    for name, back in (("first", -5), ("second", -60), ("third", None)):
        for table in WHOLE:
            row = rig.workspace.rows(table)[0]
            cursor = None if back is None else row["updated_at"] + back
            rig.workspace.update(table, row["id"], updated_at=cursor, **{NAMES[table]: name})
        rig.sync(WHOLE, when=CompactionMode.NEVER)
    rig.sync(WHOLE)
    rig.check(WHOLE)


def test_a_search_that_answers_from_an_older_index_makes_nothing_older(rig: Rig) -> None:
    rig.load(["contacts"])
    row = max(rig.workspace.rows("contacts"), key=lambda one: one["updated_at"])
    rig.workspace.update("contacts", row["id"], updated_at=row["updated_at"] - 60, name="of an older index")
    rig.sync(["contacts"])
    rig.workspace.update("contacts", row["id"], updated_at=row["updated_at"], name=row["name"])
    rig.check(["contacts"])
