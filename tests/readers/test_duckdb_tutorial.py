"""The tutorial on DuckDB, run as it stands there."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from intercom.cli.app import main
from tests.support.markdown import DOCS, blocks, commands

from .conftest import ReadableLake

PAGE = (DOCS / "tutorials" / "duckdb.md").read_text(encoding="utf-8")


def test_its_commands_and_its_queries_run_from_top_to_bottom(
    lake: ReadableLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(lake.folder("contacts").parent, tmp_path / "lake/demo/data/demo")
    monkeypatch.chdir(tmp_path)
    views, opened = commands(PAGE)
    assert main(views.removeprefix("intercom-lake ").partition(" > ")[0].split()) == 0
    assert opened == "duckdb intercom.duckdb < views.sql"
    printed = capsys.readouterr().out
    before_views = PAGE.partition(views)[0]
    with duckdb.connect("intercom.duckdb") as session:
        for place, block in enumerate(blocks(PAGE, "sql")):
            if place == len(blocks(before_views, "sql")):
                session.execute(printed)
            assert session.execute(block.text).fetchall(), block.text
