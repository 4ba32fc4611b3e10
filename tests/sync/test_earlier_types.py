"""A lake of an earlier version, whose references were integers: its files get the new types, and nothing is read again.

The old declaration is made of the present one: integers for what has another type now, and without the new columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from intercom.lake.layout import TableFormat
from intercom.sync.ingest import ingest_table
from intercom.sync.run import Run
from intercom.tables.catalogue import TABLES
from intercom.tables.earlier_types import EARLIER_KINDS
from intercom.tables.schema import Column, TableSchema
from tests.support.declarations import declared
from tests.support.fuses import Fuse, FusedLake, Killed, fused_commits
from tests.support.rig import CONNECTION, Rig, in_both_formats

NEW = {
    "contacts": "location_country_code location_continent_code tag_ids",
    "conversations": "statistics_handling_time statistics_adjusted_handling_time source_author_is_ai_answer "
    "statistics_assigned_team_first_response_time sla_applied_status conversation_rating_teammate_id tag_names "
    "contact_ids teammate_ids ai_agent_resolution_state",
    "articles": "content_id",
}


def before(table: str) -> TableSchema:
    """The columns of a table as the earlier version declared them."""
    schema, kinds, new = TABLES[table].schema, EARLIER_KINDS[table], NEW[table].split()

    def of_then(columns: tuple[Column, ...]) -> tuple[Column, ...]:
        kept = (column for column in columns if column.name not in new)
        return tuple(replace(column, kind=kinds.get(column.name, column.kind)) for column in kept)

    return TableSchema(of_then(schema.fields), of_then(schema.flat))


BEFORE = {table: before(table) for table in NEW}


@pytest.fixture
def old(make_rig: Callable[..., Rig]) -> Rig:
    """A lake of then. One contact's owner is no number, and one conversation's assignee is nobody as 0."""
    sizes = {"contacts": 6, "conversations": 6, "articles": 4, "companies": 3, "tags": 2, "segments": 1}
    rig = make_rig(**sizes, history_days=32)
    contacts, conversations = (rig.workspace.rows(table) for table in ("contacts", "conversations"))
    for row, owner in zip(contacts, (991_267_000, "c3po", None, 0, 2**53 + 1), strict=False):
        rig.workspace.update("contacts", row["id"], owner_id=owner)
    for row, assignee in zip(conversations, (0, None, 5), strict=False):
        statistics = {"median_time_to_reply": 148.5, "count_reopens": 1, "handling_time": 7}
        rig.workspace.update("conversations", row["id"], admin_assignee_id=assignee, statistics=statistics)
    rig.workspace.travel(4 * 86_400)
    for table in BEFORE:
        rig.workspace.create(table)  # so much later that a lookback reads these alone
    with declared(**BEFORE):
        rig.sync(BEFORE)
        rig.check(BEFORE)
    return rig


def column(rig: Rig, table: str, name: str) -> list[Any]:
    rows = rig.rows(table)
    return [
        value for _, value in sorted(zip(rows.column("id").to_pylist(), rows.column(name).to_pylist(), strict=True))
    ]


def sent(rig: Rig, table: str, name: str) -> list[Any]:
    return [row[name] for row in sorted(rig.workspace.rows(table), key=lambda row: str(row["id"]))]


def as_text(values: list[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


@in_both_formats
def test_integers_become_text_and_new_columns_are_made_of_what_the_lake_has(
    old: Rig, table_format: TableFormat
) -> None:
    watermarks = {table: old.lake_table(table).state().watermark for table in BEFORE}  # type: ignore[union-attr]
    with declared(**BEFORE):
        assert sum(value is None for value in old.rows("contacts").column("owner_id").to_pylist()) >= 2
    results = old.sync(BEFORE)
    old.check(BEFORE)
    assert {read.reason for read, _ in results.values()} == {"incremental"}
    assert {table: read.watermark_before for table, (read, _) in results.items()} == watermarks
    assert results["contacts"][0].rows == results["conversations"][0].rows == 1  # the others come from the lake
    assert {(done.new, done.changed) for _, done in results.values()} == {(0, 0)}
    assert column(old, "contacts", "owner_id") == as_text(sent(old, "contacts", "owner_id"))
    assert {"c3po", "0", "9007199254740993", None} <= set(column(old, "contacts", "owner_id"))
    assert not any("owner_id" in json.loads(extra or "{}") for extra in column(old, "contacts", "_extra"))
    assert {"0", "5", None} <= set(column(old, "conversations", "admin_assignee_id"))
    medians = [(each or {}).get("median_time_to_reply") for each in sent(old, "conversations", "statistics")]
    assert column(old, "conversations", "statistics_median_time_to_reply") == medians
    assert 148.5 in medians
    assert 7.0 in column(old, "conversations", "statistics_handling_time")
    names = [json.dumps([tag["name"] for tag in each["tags"]]) for each in sent(old, "conversations", "tags")]
    assert [json.dumps(json.loads(each)) for each in column(old, "conversations", "tag_names")] == names
    assert column(old, "articles", "content_id") == as_text(sent(old, "articles", "content_id"))
    assert column(old, "articles", "parent_id") == as_text(sent(old, "articles", "parent_id"))


def test_the_run_that_rewrites_tells_of_it_once(old: Rig) -> None:
    (hint,) = (hint for hint in old.sync(["contacts"])["contacts"][0].hints if "type" in hint)
    assert hint == (
        "contacts: columns have another type from now on: owner_id; views with the types of before: "
        "intercom-lake ddl --casts"
    )
    assert not any("type" in hint for hint in old.sync(["contacts"])["contacts"][0].hints)


def test_rows_that_wait_to_be_merged_become_text_too(old: Rig) -> None:
    id = old.workspace.rows("contacts")[0]["id"]
    old.workspace.update("contacts", id, owner_id="r2d2")
    client, table = old.client(), replace(TABLES["contacts"], schema=BEFORE["contacts"])
    run = Run("waiting", CONNECTION, datetime.now(UTC), run_start=old.workspace.now())
    ingest_table(table, client.for_table("contacts", table.scope), old.lake_table("contacts"), old.store, run)
    client.close()
    assert old.lake_table("contacts").state().staged  # type: ignore[union-attr]
    old.workspace.travel(60)
    old.sync(["contacts"])
    old.check(["contacts"])
    assert "r2d2" in column(old, "contacts", "owner_id")


@in_both_formats
@pytest.mark.parametrize("steps", [3, 6])
def test_a_rewriting_that_was_interrupted_is_finished(old: Rig, table_format: TableFormat, steps: int) -> None:
    fuse = Fuse(steps)
    with pytest.raises(Killed), fused_commits(fuse):
        old.sync(["conversations"], lake=FusedLake(old.lake_url, fuse))
    assert old.lake_table("conversations").state().rewriting is not None  # type: ignore[union-attr]
    assert old.sync(["conversations"])["conversations"][0].reason == "incremental"
    old.check(["conversations"])
    assert {"0", "5", None} <= set(column(old, "conversations", "admin_assignee_id"))
