"""What plan, check and ddl say of a connection that protects columns."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from intercom.cli.app import main
from intercom.tables.column_rules import key_id_of
from tests.support.rig import CONNECTION, Rig

KEY = "key of protected columns"
COLUMNS = {"contacts": {"exclude": ["avatar", "location_city"], "hash": ["email", "last_seen_at"]}}


@pytest.fixture
def options(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a shell in an empty folder without Prefect, over a lake with two protected tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    rig.options = {"columns": COLUMNS, "hash_key": KEY}
    file = rig.connections_file(tmp_path, rig.server.token)
    file.write_text(file.read_text() + f"      columns: {json.dumps(COLUMNS)}\n      hash_key: {KEY}\n")
    rig.sync(["contacts", "tags"])
    return ["--connection", CONNECTION, "--lake", rig.lake_url]


def test_plan_and_check_say_what_is_protected_and_never_the_key(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = f"4 of contacts (avatar, email, last_seen_at, location.city); hashed with the key {key_id_of(KEY)}"
    for command in (["plan", "--tables", "contacts"], ["check", "--tables", "contacts"]):
        main([*command, *options])
        out = capsys.readouterr().out
        assert told in " ".join(out.split())
        assert KEY not in out


def test_a_plan_says_that_a_rule_which_is_gone_reads_the_table_again(
    rig: Rig, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan", "--tables", "contacts", *options])
    assert "its rows have to be read again" not in capsys.readouterr().out
    rig.connections_file(tmp_path, rig.server.token)
    main(["plan", "--tables", "contacts", *options])
    assert "its rows have to be read again" in " ".join(capsys.readouterr().out.split())


def test_ddl_has_the_columns_that_the_lake_has_and_views_have_null_for_the_others(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect() as session:
        for more in ((), ("--views", "fivetran")):
            assert main(["ddl", "duckdb", *options, *more]) == 0
            session.execute("SET TimeZone = 'UTC'")
            session.execute(capsys.readouterr().out)
        names = [row[0] for row in session.execute("DESCRIBE contacts").fetchall()]
        assert "avatar" not in names
        assert {"email", "location_country"} <= set(names)
        emails = session.execute("SELECT email, last_seen_at FROM contacts").fetchall()
        assert all(value is None or len(value) == 64 for row in emails for value in row)
        seen = session.execute("SELECT DISTINCT avatar, location_city, last_seen_at FROM contact_history").fetchall()
        assert seen == [(None, None, None)]
        assert main(["ddl", "athena", *options[:2], "--lake", rig.lake_url]) == 2  # no S3
