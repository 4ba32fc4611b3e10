"""The numbers of a report are those that DuckDB counts in the same files, where each row is once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from intercom.lake.layout import TableFormat
from intercom.report.facts import FIRST_CLOSE, FIRST_REPLY, LakeFacts, read_facts
from intercom.report.tallies import ListedTexts, Names, Values, WeeklyMedians
from intercom.report.trust import trust
from tests.support.reported import MADE_AT, SCRIPT, reported_lake
from tests.support.rig import Rig


class Sql:
    """DuckDB over the files of a lake; each table is a view without its deleted rows, `all_<table>` one with them."""

    def __init__(self, folder: Path, connection: str) -> None:
        self._duckdb = duckdb.connect()
        self._duckdb.execute("SET TimeZone = 'UTC'")
        for path in sorted((folder / "data" / connection).iterdir()):
            files = f"'{path}/**/*.parquet'"
            if (path / "_delta_log").exists():
                files = str([file.removeprefix("file://") for file in DeltaTable(str(path)).file_uris()])
            self._duckdb.execute(
                f"CREATE VIEW all_{path.name} AS SELECT * FROM read_parquet({files}, hive_partitioning = true, "
                "hive_types_autocast = false)"
            )
            self._duckdb.execute(f"CREATE VIEW {path.name} AS FROM all_{path.name} WHERE _deleted_at IS NULL")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._duckdb.execute(query).fetchall()

    def counts(self, query: str) -> dict[Any, int]:
        """Of a query whose last column is a count; the others are the key."""
        return {row[0] if len(row) == 2 else row[:-1]: row[-1] for row in self.rows(query)}

    def close(self) -> None:
        self._duckdb.close()


@pytest.fixture(scope="module")
def sql(reported: Rig) -> Iterator[Sql]:
    sql = Sql(reported.lake_folder, reported.connection)
    yield sql
    sql.close()


def tally(facts: LakeFacts, table: str, name: str) -> Any:
    return facts.tables[table].tallies[name]


def test_rows_of_each_table_are_those_that_are_not_marked_as_deleted(facts: LakeFacts, sql: Sql) -> None:
    for name, table in facts.tables.items():
        assert sql.rows(f"SELECT count(*), count(_deleted_at) FROM all_{name}") == [
            (table.scan.rows + table.scan.marked, table.scan.marked)
        ]
    assert facts.tables["contacts"].scan.marked == 10
    assert facts.tables["contact_tags"].scan.marked > 0


def test_months_times_and_what_is_kept_beside_the_columns(facts: LakeFacts, sql: Sql) -> None:
    for name in ("contacts", "companies", "conversations", "articles", "tickets"):
        fresh = facts.tables[name].freshness
        assert fresh.by_month == sql.counts(f"SELECT created_month, count(*) FROM {name} GROUP BY 1")
        assert [(fresh.newest_change, fresh.extra_rows)] == sql.rows(
            f"SELECT max(updated_at), count(_extra) FROM {name}"
        )
        assert fresh.extra == sql.counts(f"SELECT unnest(json_keys(_extra)), count(*) FROM {name} GROUP BY 1")
    assert SCRIPT in facts.tables["contacts"].freshness.extra


def test_new_and_changed_rows_by_day(facts: LakeFacts, sql: Sql) -> None:
    for name in ("contacts", "companies", "conversations", "articles", "tickets"):
        days = facts.tables[name].days
        assert days is not None
        assert days.new == sql.counts(f"SELECT created_at::DATE, count(*) FROM {name} GROUP BY 1")
        assert days.changed == sql.counts(
            f"SELECT updated_at::DATE, count(*) FROM {name} WHERE updated_at::DATE > created_at::DATE GROUP BY 1"
        )
        assert days.changed.total()
    assert facts.tables["tags"].days is None
    assert facts.tables["contact_tags"].days is None


def test_volume_and_medians_of_conversations_by_week(facts: LakeFacts, sql: Sql) -> None:
    weeks = tally(facts, "conversations", "weeks")
    assert isinstance(weeks, WeeklyMedians)
    assert weeks.rows == sql.counts(
        "SELECT date_trunc('week', created_at)::DATE, count(*) FROM conversations GROUP BY 1"
    )
    for column in (FIRST_REPLY, FIRST_CLOSE):
        found = sql.rows(
            f"SELECT date_trunc('week', created_at)::DATE, median({column}), count({column}) FROM conversations "
            f"WHERE {column} IS NOT NULL GROUP BY 1"
        )
        assert len(found) > 10
        assert weeks.medians[column] == {week: median for week, median, _ in found}
        assert weeks.counts[column] == {week: count for week, _, count in found}


def test_open_conversations_by_team_and_the_teams_names(facts: LakeFacts, sql: Sql) -> None:
    opened = tally(facts, "conversations", "open")
    assert isinstance(opened, Values)
    assert {key: count for key, count in opened.counts.items() if key[0]} == sql.counts(
        "SELECT open, team_assignee_id, count(*) FROM conversations WHERE open GROUP BY 1, 2"
    )
    names = tally(facts, "teams", "names")
    assert isinstance(names, Names)
    assert list(names.by_id.items()) == sql.rows("SELECT id, name FROM teams")


def test_tags_of_conversations_by_name_and_of_contacts_by_id(facts: LakeFacts, sql: Sql) -> None:
    for table, column in (("conversations", "tag_names"), ("contacts", "tag_ids")):
        tags = tally(facts, table, "tags")
        assert isinstance(tags, ListedTexts)
        assert tags.counts == sql.counts(
            f"SELECT tag, count(DISTINCT id) FROM (SELECT id, unnest({column}::JSON::VARCHAR[]) AS tag FROM {table}) "
            "GROUP BY 1"
        )
    assert tally(facts, "conversations", "tags").counts[SCRIPT] > 10


def test_contacts_by_country_and_role_and_articles_by_state(facts: LakeFacts, sql: Sql) -> None:
    assert tally(facts, "contacts", "people").counts == sql.counts(
        "SELECT location_country, role, count(*) FROM contacts GROUP BY 1, 2"
    )
    states = {state: count for (state,), count in tally(facts, "articles", "states").counts.items()}
    assert states == sql.counts("SELECT state, count(*) FROM articles GROUP BY 1")


def test_rejected_records_and_verifications_are_told(facts: LakeFacts) -> None:
    assert facts.tables["companies"].rejected == Counter(
        {"no usable key 'id' (absent, null, empty, or of another type)": 1}
    )
    listings = {one.title: one.numbers.rows for one in trust(facts).listings}
    assert [row[1:3] for row in listings["Verifications"]] == [
        ("proven", "all tables; compared with Intercom"),
        ("not proven", "tags; files only"),
    ]
    assert [row[2] for row in listings["Rejected records"]] == ["1"]


def test_a_delta_table_is_counted_in_its_current_version(tmp_path: Path) -> None:
    sizes = {"contacts": 60, "conversations": 40, "companies": 8, "articles": 4, "tickets": 4, "history_days": 32}
    with reported_lake(str(tmp_path), hostile=False, table_format=TableFormat.DELTA, **sizes) as rig:
        facts = read_facts(rig.lake(), rig.connection, MADE_AT)
        sql = Sql(rig.lake_folder, rig.connection)
    for name, table in facts.tables.items():
        assert sql.rows(f"SELECT count(*) FROM {name}") == [(table.scan.rows,)]
    assert tally(facts, "contacts", "people").counts == sql.counts(
        "SELECT location_country, role, count(*) FROM contacts GROUP BY 1, 2"
    )
    sql.close()
