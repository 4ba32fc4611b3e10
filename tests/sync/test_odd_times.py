"""Times that nobody expects: of the first and the last year, before 1970, or of no year at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from intercom.lake.layout import TableFormat
from tests.support.rig import Rig

MERGED = ("contacts", "companies", "conversations", "articles")
FIRST, LAST = -62_135_596_800, 253_402_300_799  # of the years 1 and 9999


@pytest.mark.parametrize(
    ("table_format", "tables"), [(TableFormat.PARQUET, MERGED), (TableFormat.DELTA, ("contacts", "companies"))]
)
def test_rows_of_any_month_are_kept_by_run_change_and_full_refresh(
    make_rig: Callable[..., Rig], tables: tuple[str, ...]
) -> None:
    rig = make_rig(contacts=9, companies=9, conversations=9, articles=9, history_days=9)
    odd = {
        f"{value}": value
        for value in (FIRST, FIRST + 86_400 * 400_000, -1, LAST, LAST + 1, FIRST - 1, 2**63 - 1, -(2**63))
    }
    for table in tables:
        for name, value in odd.items():
            rig.workspace.create(table, id=f"odd {name}", created_at=value)
    rig.sync(tables)
    rig.check(tables)
    rig.workspace.travel(60)
    for table in tables:
        rig.workspace.update(table, f"odd {FIRST}")
    rig.sync(tables)
    rig.check(tables)
    rig.sync(tables, full_refresh=True)
    rig.check(tables)
    assert "created_month=0001-01" in {path.split("/")[3] for path in rig.lake().list("data/acme/contacts")}


@pytest.mark.parametrize("value", [LAST + 1, FIRST - 1])
def test_beyond_the_years_a_number_is_milliseconds_and_within_them_it_never_is(rig: Rig, value: int) -> None:
    rig.workspace.create("companies", id="seconds", created_at=LAST)
    rig.workspace.create("companies", id="milliseconds", created_at=value)
    rig.sync(["companies"])
    found = {row["id"]: row["created_at"] for row in rig.rows("companies").to_pylist()}
    assert found["seconds"] == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert found["milliseconds"].year in (1978, 1968)


def test_a_table_that_ended_before_1970_has_a_watermark_of_then(rig: Rig) -> None:
    for row in rig.workspace.rows("companies"):
        rig.workspace.update("companies", row["id"], updated_at=-(row["created_at"] // 1000))
    newest = max(row["updated_at"] for row in rig.workspace.rows("companies"))
    first, _ = rig.sync(["companies"])["companies"]
    assert first.watermark_after == newest < 0
    rig.check(["companies"])
    rig.workspace.update("companies", rig.workspace.rows("companies")[0]["id"], updated_at=newest + 1, name="later")
    second, _ = rig.sync(["companies"])["companies"]
    assert second.watermark_after == newest + 1
    rig.check(["companies"])
