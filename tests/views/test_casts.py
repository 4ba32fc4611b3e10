"""Views with the types of earlier versions, run in DuckDB over a lake, and parsed by the grammar of Athena."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from intercom.cli.app import main
from intercom.tables.catalogue import TABLES
from intercom.tables.earlier_types import EARLIER_KINDS
from tests.support.rig import CONNECTION, Rig


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["ddl", *arguments]) == 0
    return capsys.readouterr().out


def test_duckdb_shows_the_old_types_and_the_values_that_fit_them(
    make_rig: Callable[..., Rig], capsys: pytest.CaptureFixture[str]
) -> None:
    rig = make_rig(contacts=4, conversations=3, articles=2, companies=0, tags=0, segments=0)
    for row, owner in zip(rig.workspace.rows("contacts"), (991_267_000, "c3po", None, 0), strict=True):
        rig.workspace.update("contacts", row["id"], owner_id=owner)
    rig.sync([*EARLIER_KINDS])
    script = printed(capsys, "duckdb", "--connection", CONNECTION, "--lake", rig.lake_url, "--casts")
    with duckdb.connect() as session:
        session.execute(script)
        for table, kinds in EARLIER_KINDS.items():
            shown = session.table(f"{table}_v1")
            types = dict(zip(shown.columns, map(str, shown.types), strict=True))
            assert {types[name] for name in kinds} == {"BIGINT"}
            months = ["created_month"] * (TABLES[table].month_field is not None)
            assert shown.columns == [*TABLES[table].schema.arrow.names, *months]
        owners: list[Any] = session.sql("SELECT owner_id FROM contacts_v1 ORDER BY owner_id NULLS LAST").fetchall()
    assert owners == [(0,), (991_267_000,), (None,), (None,)]


def test_athena_reads_its_own_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    place = ("athena", "--connection", CONNECTION, "--lake", "s3://bucket/prefix", "--casts", "--tables", "contacts")
    for options, tables_in in ((("--database", "acme"), "acme"), (("--tables-in", "lake"), "lake"), ((), "")):
        script = printed(capsys, *place, *options)
        *_, view = sqlglot.parse(script, dialect="athena")
        assert isinstance(view, exp.Create)
        assert view.kind == "VIEW"
        assert view.this.name == "contacts_v1"
        rows = view.find(exp.From).this
        assert (rows.db, rows.name) == (tables_in, "contacts")
        assert 'TRY_CAST("owner_id" AS BIGINT) AS "owner_id"' in script


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--casts", "--views", "ingestr"), "without --views"),
        (("--tables-in", "acme"), "--views or --casts"),
        (("--casts", "--tables", "tags"), "None of these tables"),
    ],
)
def test_a_mistake_is_said(
    make_rig: Callable[..., Rig], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    rig = make_rig(contacts=1, conversations=0, articles=0, companies=0, tags=1, segments=0)
    rig.sync(["contacts", "tags"])
    assert main(["ddl", "duckdb", "--connection", CONNECTION, "--lake", rig.lake_url, *arguments]) == 2
    assert said in capsys.readouterr().err
