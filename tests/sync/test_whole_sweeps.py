"""Companies and articles, which each run reads whole: the second run in a row that lacks a row removes it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from intercom.compaction.policy import CompactionMode
from tests.support.rig import Rig, in_both_formats

PATHS = {"companies": "/companies/scroll", "articles": "/articles"}
BOTH = pytest.mark.parametrize("table", PATHS)
MARKED = {"deleted": "mark"}
DAY = 86_400


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Few rows in few months."""
    return make_rig(contacts=0, companies=70, conversations=0, articles=12, history_days=20)


def ids(rig: Rig, table: str) -> set[str]:
    return set(rig.rows(table).column("id").to_pylist())


def delete(rig: Rig, table: str, rows: int) -> set[str]:
    gone = [row["id"] for row in rig.workspace.rows(table)[:rows]]
    for one in gone:
        rig.workspace.delete(table, one)
    return set(map(str, gone))


def removed_by_runs(rig: Rig, table: str, runs: int, **options: object) -> list[int]:
    return [rig.sync([table], **options)[table][1].removed for _ in range(runs)]


@BOTH
@in_both_formats
def test_the_second_run_that_lacks_a_row_removes_it_without_a_further_request(rig: Rig, table: str) -> None:
    rig.load([table])
    rig.server.clear_log()
    rig.sync([table])
    usual = len(rig.server.requests())
    delete(rig, table, 3)
    rig.server.clear_log()
    assert removed_by_runs(rig, table, 3) == [0, 3, 0]
    assert len(rig.server.requests()) <= 3 * usual
    rig.check([table])


@BOTH
def test_rows_that_are_gone_are_marked(rig: Rig, table: str) -> None:
    rig.options = MARKED
    rig.sync([table])
    gone = delete(rig, table, 3)
    assert removed_by_runs(rig, table, 3) == [0, 3, 0]
    assert not gone & ids(rig, table)
    rig.check([table])


@BOTH
def test_a_row_that_one_list_lacks_is_not_removed_by_a_later_one_that_lacks_another(rig: Rig, table: str) -> None:
    rig.sync([table])
    for _ in range(3):
        for kind in ("short", "shifted"):
            rig.server.fail(PATHS[table], kind, every=7)  # type: ignore[arg-type]
            assert removed_by_runs(rig, table, 1) == [0]
            rig.server.clear_faults()
        assert removed_by_runs(rig, table, 1) == [0]
        rig.check([table])


@BOTH
def test_a_row_that_comes_back_is_not_missing_any_more(rig: Rig, table: str) -> None:
    rig.load([table])
    row = rig.workspace.rows(table)[3]
    rig.workspace.delete(table, row["id"])
    rig.sync([table])
    assert rig.lake_table(table).state().sweep is not None
    rig.workspace.create(table, **row)
    rig.sync([table])
    assert rig.lake_table(table).state().sweep is None
    rig.workspace.delete(table, row["id"])
    assert removed_by_runs(rig, table, 2) == [0, 1]
    rig.check([table])


def test_a_run_with_an_end_date_decides_nothing(rig: Rig) -> None:
    rig.load(["companies"])
    delete(rig, "companies", 2)
    rig.sync(["companies"])
    now = rig.workspace.now()
    assert removed_by_runs(rig, "companies", 2, history_from=now - 9 * DAY, until=now - 5 * DAY) == [0, 0]
    assert removed_by_runs(rig, "companies", 1) == [2]
    rig.check(["companies"])


def test_rows_that_a_backfill_has_brought_stay(rig: Rig) -> None:
    """They lie before the start date, so that each run passes over them: which is not to lack them."""
    times = sorted(int(row["updated_at"]) for row in rig.workspace.rows("companies"))
    start = times[len(times) // 2] // DAY * DAY
    rig.sync(["companies"], history_from=start)
    rig.sync(["companies"], history_from=times[0] // DAY * DAY, until=start)
    assert removed_by_runs(rig, "companies", 3) == [0, 0, 0]
    rig.check(["companies"])


def test_a_removal_waits_with_the_merge_and_happens_with_it(rig: Rig) -> None:
    rig.load(["companies"])
    gone = delete(rig, "companies", 3)
    for _ in range(2):
        rig.workspace.create("companies")
        _, merged = rig.sync(["companies"], when=CompactionMode.NEVER)["companies"]
        assert (merged.removed, bool(merged.waiting)) == (0, True)
    assert gone <= ids(rig, "companies")
    _, merged = rig.sync(["companies"])["companies"]
    assert merged.removed == 3
    rig.check(["companies"])


def test_a_fifth_of_the_companies_goes_only_with_permission(rig: Rig) -> None:
    for _ in range(40):
        rig.workspace.create("companies")
    rig.sync(["companies"])
    delete(rig, "companies", 40)
    rig.sync(["companies"])
    ingested, merged = rig.sync(["companies"])["companies"]
    assert (merged.removed, ingested.refused, ingested.undecided) == (0, None, 40)
    assert any("--allow-mass-removal" in note for note in ingested.notes)
    assert removed_by_runs(rig, "companies", 1, allow_mass_removal=True) == [40]
    rig.check(["companies"])


def test_files_are_not_read_again_where_every_row_of_the_lake_was_met(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intercom.sync import sweep

    rig.sync(["companies"])
    rig.workspace.create("companies")
    rig.workspace.update("companies", rig.workspace.rows("companies")[0]["id"], name="changed")
    monkeypatch.setattr(sweep, "find_missing", lambda *_: pytest.fail("read the lake's files"))
    rig.sync(["companies"])
    rig.check(["companies"])


def test_a_record_that_cannot_be_a_row_is_not_a_row_that_is_gone(rig: Rig) -> None:
    """Which row it is is not known; the row that the lake has of it stays."""
    rig.sync(["articles"])
    rows = rig.workspace.rows("articles")
    bodies: Collection[object] = [{**rows[0], "id": None}, *rows[1:]]
    rig.server.fail(
        "/articles", status=200, times=1000,
        body={"type": "list", "data": bodies, "total_count": len(rows), "pages": None},
    )  # fmt: skip
    assert removed_by_runs(rig, "articles", 3) == [0, 0, 0]
    assert str(rows[0]["id"]) in ids(rig, "articles")
