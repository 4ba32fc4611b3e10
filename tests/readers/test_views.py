"""Views with the names of other tools' tables, in DuckDB over a lake that real runs have made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from intercom.cli.app import main
from intercom.sandbox import SandboxServer, Workspace
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Table
from intercom.views.definition import View
from intercom.views.fivetran import FIVETRAN
from intercom.views.ingestr import INGESTR
from intercom.views.statements import DuckDB, statements
from tests.conftest import NOW
from tests.support.rig import Rig
from tests.support.truth import Row, exploded

COPIED = [name for name in TABLES if name in {*FIVETRAN.tables, *INGESTR.tables}]  # parents first
SETS = {"fivetran": FIVETRAN, "ingestr": INGESTR}
VIEWS = [pytest.param(tool, view, id=f"{tool}-{view.name}") for tool, views in SETS.items() for view in views.views]


THEN = datetime(2025, 11, 20, 12, 30, 5, tzinfo=UTC)
WHOLE: dict[str, dict[str, Any]] = {
    "contacts": {
        "id": "c1", "role": "lead", "owner_id": 814, "created_at": int(THEN.timestamp()),
        "avatar": {"type": "avatar", "image_url": "https://example.com/a.png"}, "location": {"country": "Peru"},
        "custom_attributes": None,
    },
    "companies": {"id": "o1", "plan": {"type": "plan", "id": "p9", "name": "Pro"}, "monthly_spend": 12.5},
    "conversations": {
        "id": "v1", "admin_assignee_id": 0, "team_assignee_id": 77, "first_contact_reply": None,
        "conversation_rating": {"rating": 4, "remark": "it's fine", "created_at": int(THEN.timestamp())},
        "sla_applied": {"type": "conversation_sla_summary", "sla_name": "Gold", "sla_status": "hit"},
        "statistics": {"first_admin_reply_at": int(THEN.timestamp()), "median_time_to_reply": 60},
    },
    "articles": {"id": "a1", "author_id": 814, "parent_id": 5, "parent_type": "collection"},
}  # fmt: skip
"""A record of each of the larger tables, with what views take out of it."""


@dataclass(frozen=True)
class Viewed:
    """A lake below `root`, a DuckDB with both sets of views over it, and the records that the workspace serves."""

    root: Path
    session: duckdb.DuckDBPyConnection
    served: dict[str, list[Row]]

    def rows(self, view: str) -> list[dict[str, Any]]:
        relation = self.session.sql(f"SELECT * FROM {view}")
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewed]:
    root = tmp_path_factory.mktemp("viewed") / "lake"
    sizes = {"contacts": 40, "companies": 15, "conversations": 30, "articles": 8}
    workspace = Workspace.seeded(now=NOW, history_days=80, further=12, **sizes)
    for table, record in WHOLE.items():
        workspace.create(table, **record)
    with SandboxServer(workspace) as server:
        Rig(server, str(root)).sync(COPIED)
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'America/New_York'")  # must not show in a timestamp without a zone
        there = {name: TABLES[name] for name in COPIED}
        for tool, views in SETS.items():
            for statement in statements(views, DuckDB("acme", str(root), tool), there):
                session.execute(statement)
        yield Viewed(root, session, {name: served(workspace, TABLES[name]) for name in COPIED})


def served(workspace: Workspace, table: Table) -> list[Row]:
    """The records of a table, for a derived one the rows that follow from those of its parent."""
    if table.access is Access.DERIVED and table.parent is not None:
        return exploded(table, workspace.rows(table.parent.table.name))
    return workspace.rows(table.name)


@pytest.mark.parametrize(("tool", "view"), VIEWS)
def test_a_view_has_its_columns_with_their_types(viewed: Viewed, tool: str, view: View) -> None:
    shown = viewed.session.sql(f"SELECT * FROM {tool}.{view.name}")
    assert list(zip(shown.columns, map(str, shown.types), strict=True)) == [
        (column.name, str(column.kind)) for column in view.columns
    ]


NEVER_FILLED = {
    ("fivetran", "article_history"): {"section_id"}
    | {f"statistics_{name}" for name in ("type", "views", "conversations", "reactions")}
    | {f"statistics_{mood}_reaction_percentage" for mood in ("happy", "neutral", "sad")},
    ("ingestr", "articles"): {"statistics"},
    ("ingestr", "conversations"): {"median_admin_reply_time", "mean_admin_reply_time"},
    ("ingestr", "tags"): {"applied_at", "applied_by"},
}
"""Columns that are null for every record that Intercom sends today."""


@pytest.mark.parametrize(("tool", "view"), VIEWS)
def test_a_view_has_a_row_for_each_record_and_values_wherever_the_records_have_any(
    viewed: Viewed, tool: str, view: View
) -> None:
    rows = viewed.rows(f"{tool}.{view.name}")
    assert len(rows) == viewed.session.sql(f"SELECT * FROM {source_of(viewed, view.table)}").shape[0] > 0
    empty = {column.name for column in view.columns if all(row[column.name] is None for row in rows)}
    served = viewed.served[view.table]
    unsent = {name for name in empty if all(record.get(name) is None for record in served)}
    assert empty - unsent == set()
    assert NEVER_FILLED.get((tool, view.name), set()) <= empty


def source_of(viewed: Viewed, table: str) -> str:
    return DuckDB("acme", str(viewed.root)).rows(table)


def whole(viewed: Viewed, view: str, id: str, *columns: str) -> dict[str, Any]:
    (row,) = (row for row in viewed.rows(view) if row["id"] == id)
    return {name: row[name] for name in columns}


def test_fivetran_views_show_what_was_sent(viewed: Viewed) -> None:
    utc = THEN.replace(tzinfo=None)
    assert whole(viewed, "fivetran.contact_history", "c1", "admin_id", "created_at", "avatar", "location_country") == {
        "admin_id": "814", "created_at": utc, "avatar": "https://example.com/a.png", "location_country": "Peru",
    }  # fmt: skip
    assert whole(viewed, "fivetran.company_history", "o1", "plan_id", "plan_name", "monthly_spend") == {
        "plan_id": "p9", "plan_name": "Pro", "monthly_spend": 12.5,
    }  # fmt: skip
    assert whole(viewed, "fivetran.article_history", "a1", "author_id", "collection_id", "section_id") == {
        "author_id": "814", "collection_id": "5", "section_id": None,
    }  # fmt: skip
    rating = ("conversation_rating_value", "conversation_rating_remark", "sla_name", "sla_status")
    assigned = ("assignee_id", "assignee_type")
    assert whole(viewed, "fivetran.conversation_history", "v1", *rating, *assigned) == {
        "conversation_rating_value": 4, "conversation_rating_remark": "it's fine", "sla_name": "Gold",
        "sla_status": "hit", "assignee_id": "77", "assignee_type": "team",
    }  # fmt: skip


def test_fivetrans_own_columns_say_that_every_row_is_the_valid_one(viewed: Viewed) -> None:
    for row in viewed.rows("fivetran.contact_history"):
        assert row["_fivetran_active"] is True
        assert row["_fivetran_start"] == row["updated_at"] <= row["_fivetran_synced"] < row["_fivetran_end"]
    assert {row["_fivetran_deleted"] for row in viewed.rows("fivetran.admin")} == {False}


def test_relations_are_those_of_the_lists_and_know_when_their_parent_changed(viewed: Viewed) -> None:
    for view, key, other, table, listed in (
        ("contact_tag_history", "contact_id", "tag_id", "contacts", ("tags", "data")),
        ("contact_company_history", "contact_id", "company_id", "contacts", ("companies", "data")),
        ("company_tag_history", "company_id", "tag_id", "companies", ("tags", "tags")),
        ("conversation_tag_history", "conversation_id", "tag_id", "conversations", ("tags", "tags")),
        ("conversation_contact_history", "conversation_id", "contact_id", "conversations", ("contacts", "contacts")),
    ):
        expected = {
            (record["id"], element["id"], record["updated_at"])
            for record in viewed.served[table]
            for element in (record.get(listed[0]) or {}).get(listed[1]) or ()
        }
        changed = f"{key.removesuffix('_id')}_updated_at"
        rows = viewed.rows(f"fivetran.{view}")
        assert {(row[key], row[other], row[changed].replace(tzinfo=UTC).timestamp()) for row in rows} == expected, view
        assert len(rows) == len(expected) > 0
    expected_admins = {(team["id"], str(id)) for team in viewed.served["teams"] for id in team["admin_ids"]}
    assert {(row["team_id"], row["admin_id"]) for row in viewed.rows("fivetran.team_admin")} == expected_admins


def test_parts_know_their_conversation_and_whom_they_assigned_it_to(viewed: Viewed) -> None:
    changed = {record["id"]: record["updated_at"] for record in viewed.served["conversations"]}
    rows = {row["id"]: row for row in viewed.rows("fivetran.conversation_part_history")}
    assert rows.keys() == {part["id"] for part in viewed.served["conversation_parts"]}
    for part in viewed.served["conversation_parts"]:
        row, to = rows[part["id"]], part["assigned_to"] or {}
        assert row["conversation_updated_at"].replace(tzinfo=UTC).timestamp() == changed[row["conversation_id"]]
        assert (row["assigned_to_type"], row["assigned_to_id"]) == (to.get("type"), to.get("id"))
        assert (row["author_type"], row["author_id"]) == (part["author"]["type"], part["author"]["id"])


def test_ingestr_views_show_what_was_sent(viewed: Viewed) -> None:
    seconds = int(THEN.timestamp())
    taken_out = ("location_country", "custom_attributes")
    assert whole(viewed, "ingestr.contacts", "c1", "owner_id", "created_at", *taken_out) == {
        "owner_id": 814, "created_at": seconds, "location_country": "Peru", "custom_attributes": "{}",
    }  # fmt: skip
    assert whole(viewed, "ingestr.companies", "o1", "plan_id", "plan_name") == {"plan_id": "p9", "plan_name": "Pro"}
    assert whole(viewed, "ingestr.conversations", "v1", "team_assignee_id", "first_admin_reply_at") == {
        "team_assignee_id": 77, "first_admin_reply_at": seconds,
    }  # fmt: skip
    for table in ("contacts", "companies", "conversations", "articles"):
        sent = {row["id"]: row["updated_at"] for row in viewed.served[table]}
        assert {row["id"]: row["updated_at"] for row in viewed.rows(f"ingestr.{table}")} == sent


def ddl(*arguments: str) -> int:
    return main(["ddl", *arguments])


def test_the_command_prints_a_script_of_views_and_names_what_it_left_out(
    viewed: Viewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "acme").mkdir(parents=True)
    (tmp_path / "data" / "acme" / "tags").symlink_to(viewed.root / "data" / "acme" / "tags")
    place = ("--connection", "acme", "--lake", str(tmp_path))
    assert ddl("duckdb", *place, "--views", "fivetran", "--database", "intercom") == 0
    shown = capsys.readouterr()
    with duckdb.connect() as session:
        session.execute(shown.out)
        assert session.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == [("tag",)]
        assert len(session.sql("SELECT * FROM intercom.tag").fetchall()) == len(viewed.served["tags"])
    assert "So these views are left out: admin, article_history," in shown.err
    assert "intercom-lake sync --tables default,admins," in shown.err


def test_athenas_views_read_the_tables_of_their_own_database_or_of_the_one_that_is_given(
    viewed: Viewed, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--connection", "acme", "--lake", str(viewed.root), "--views", "fivetran", "--database", "intercom")
    for given, where in (((), "intercom"), (("--tables-in", "crm"), "crm")):
        assert ddl("athena", *place, *given) == 0
        assert f'\nFROM "{where}"."tags";' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["duckdb", "--lake", "LAKE", "--views", "fivetran", "--tables-in", "x"], "--tables-in is for Athena's views"),
        (["athena", "--lake", "s3://b", "--tables-in", "x"], "--tables-in is for Athena's views"),
        (["athena", "--lake", "LAKE", "--views", "ingestr"], "needs a database for each"),
        (["dbt", "--lake", "LAKE", "--views", "fivetran"], "--views is for athena and duckdb"),
        (["duckdb", "--lake", "LAKE", "--views", "airbyte"], '"fivetran", "ingestr"'),
    ],
)
def test_a_mistake_about_views_is_said(
    viewed: Viewed, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert ddl("--connection", "acme", *[str(viewed.root) if word == "LAKE" else word for word in arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
