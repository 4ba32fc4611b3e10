"""First loads that tests copy: a copy is what a run leaves, and nothing is copied that a run would not leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intercom.lake.layout import TableFormat
from tests.support.declarations import EARLIER, declared
from tests.support.fuses import Fuse, FusedWatermarks
from tests.support.rig import Rig, in_both_formats

TABLES = ("contacts", "tags")
FEW: dict[str, Any] = {"contacts": 7, "companies": 0, "conversations": 0, "articles": 0, "tags": 3, "history_days": 20}


@pytest.fixture
def make(make_rig: Callable[..., Rig], tmp_path: Any) -> Callable[..., Rig]:
    """Rigs over workspaces of the same rows; the first of a test has been read, unless a test before did that."""
    made: list[Rig] = []

    def make(**given: Any) -> Rig:
        made.append(make_rig(lake=str(tmp_path / str(len(made))), **{**FEW, **given}))
        return made[-1]

    make().load(TABLES)
    return make


@in_both_formats
def test_a_copy_is_complete_and_the_next_run_goes_on_from_it(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.load(TABLES)
    assert rig.server.requests() == []
    rig.check(TABLES)
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", rig.workspace.rows("contacts")[0]["id"], name="changed")
    read, merged = rig.sync(TABLES)["contacts"]
    assert (read.reason, merged.changed, merged.new) == ("incremental", 1, 0)
    rig.check(TABLES)


def another_row(rig: Rig) -> None:
    rig.workspace.create("contacts")


def one_row_less(rig: Rig) -> None:
    rig.workspace.delete("tags", rig.workspace.rows("tags")[0]["id"])


def another_time(rig: Rig) -> None:
    rig.workspace.travel(86_400)


def another_answer(rig: Rig) -> None:
    rig.workspace.options.contacts_by_second = True


def a_fault(rig: Rig) -> None:
    rig.server.fail("/tags", status=502)


def a_hook(rig: Rig) -> None:
    rig.server.before_request(lambda request: None)


def marked_deletions(rig: Rig) -> None:
    rig.options["deleted"] = "mark"


def steps_that_are_counted(rig: Rig) -> None:
    rig.store = FusedWatermarks(rig.store, Fuse(None))


@pytest.mark.parametrize(
    "differ",
    [
        another_row, one_row_less, another_time, another_answer, a_fault, a_hook, marked_deletions,
        steps_that_are_counted,
    ],
)  # fmt: skip
def test_where_anything_differs_the_workspace_is_read(make: Callable[..., Rig], differ: Callable[[Rig], None]) -> None:
    rig = make()
    differ(rig)
    rig.load(TABLES)
    assert rig.server.requests("/contacts/search")
    rig.check(TABLES)


def test_a_lake_has_the_format_of_the_rig(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.table_format = TableFormat.DELTA
    rig.load(TABLES)
    assert (rig.lake_folder / "data" / rig.connection / "tags" / "_delta_log").is_dir()
    rig.check(TABLES)


@pytest.mark.parametrize("differ", [{"seed": 8}, {"timezone": "Asia/Kolkata"}, {"contacts": 8}])
def test_a_workspace_of_other_options_is_read(make: Callable[..., Rig], differ: dict[str, Any]) -> None:
    rig = make(**differ)
    rig.load(TABLES)
    assert rig.server.requests("/contacts/search")


def test_other_columns_are_read(make: Callable[..., Rig]) -> None:
    rig = make()
    with declared(contacts=EARLIER["fewer columns"]):
        rig.load(TABLES)
        rig.check(TABLES)
    assert rig.server.requests("/contacts/search")
