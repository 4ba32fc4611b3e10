"""How a run from a shell ends where Prefect does not play along, and what its last lines say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from intercom.cli import run
from intercom.cli.launcher import intercom_lake
from intercom.sync.board import BOARD
from tests.support.one_answer import answering
from tests.support.prefect_server import forking, warm_python


def sync(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`intercom-lake sync` in a folder, which is Prefect's, too."""
    env = forking(home, INTERCOM_ACCESS_TOKEN="t", **environment)
    return warm_python().run(["-m", "intercom.cli.app", "sync", "--quiet"], env=env, cwd=home, timeout=120)


def test_an_api_that_refuses_the_run_is_one_sentence(tmp_path: Path) -> None:
    with answering(401, "{}", healthy=True) as url:
        done = sync(tmp_path, PREFECT_API_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Prefect's API has failed")
    assert "401" in line
    assert "intercom-lake check" in line


def test_a_database_that_prefects_server_cannot_use_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_text("no database\n" * 100)
    done = sync(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Prefect's temporary server did not start")
    assert "file is not a database" in line
    assert "PREFECT_HOME" in line


@pytest.mark.parametrize(
    ("lake", "connection", "demo", "told"),
    [
        ("./lake", "acme", False, ["The lake is in ./lake: one folder for each table below ./lake/data/acme."]),
        ("s3://b/", "my eu", False, ["The lake is in s3://b/: one folder for each table below s3://b/data/my%20eu."]),
        (
            "./lake/demo",
            "demo",
            True,
            [
                "The lake is in ./lake/demo: one folder for each table below ./lake/demo/data/demo.",
                "Views for DuckDB: intercom-lake ddl duckdb --lake ./lake/demo --connection demo > demo.sql",
                "Then, if you have DuckDB's shell: duckdb -init demo.sql",
            ],
        ),
    ],
)
def test_the_last_lines_say_where_the_rows_are(lake: str, connection: str, demo: bool, told: list[str]) -> None:
    assert run._where(lake, connection, demo=demo).splitlines() == told


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        ((0, 0), "No table was brought up to date. Run again."),
        ((1, 7200), "1 of 2 tables are in the lake, 7,200 rows are staged. Run again to go on."),
        ((2, 0), "2 of 2 tables are in the lake."),
    ],
)
def test_the_interrupted_line_says_how_far_the_run_is(
    monkeypatch: pytest.MonkeyPatch, reached: tuple[int, int], told: str
) -> None:
    monkeypatch.setattr(BOARD, "reached", lambda: reached)
    assert run._how_far({"tables": ["tags", "teams"]}) == told


def test_ctrl_c_during_the_imports_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("intercom.cli.app.main", interrupted)
    assert intercom_lake.main() == 130
    assert capsys.readouterr().err == "Interrupted.\n"
