"""The command `report`: what it writes and says, and that it leaves the lake as it is."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from intercom.cli.app import main
from tests.support.rig import Rig


@pytest.fixture(autouse=True)
def no_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No Prefect API, whatever this process has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def test_a_page_is_written_and_the_lake_left_as_it_is(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.sync(["tags", "teams"])
    before = rig.lake().stamps("")
    Path("page.html").write_text("of before")
    assert main(["report", "--lake", rig.lake_url, "--output", "page.html"]) == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out == f"page.html: {len(page.encode()) / 1000:.1f} kB\n"
    assert page.startswith("<!doctype html>")
    assert "<h1><bdi>acme</bdi></h1>" in page
    assert rig.lake().stamps("") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "page.html"]


def test_a_table_that_cannot_be_read_is_told_and_the_page_written(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.sync(["tags", "teams"])
    file = rig.lake_folder / "data" / "acme" / "teams" / "data.parquet"
    shutil.copy(file, file.with_name(f"{'0' * 32}.parquet"))  # as of a Delta table
    assert main(["report", "--lake", rig.lake_url]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("report.html: ")
    assert told.err.startswith("teams: it could not be read: The table 'teams' is in the lake as delta")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "; its numbers are left out." in page


def test_what_is_not_installed_is_said_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert main(["report", "--lake", "nosuch://lake"]) == 2
    assert capsys.readouterr().err == (
        "A report is made with vl-convert-python, which is not installed. Install it where intercom-lake is installed: "
        "it is what the extra [report] adds. Nothing was read.\n"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--lake", "empty"], "has no table: nothing was synced. Check --lake."),
        (["--output", "no/such/folder.html"], "--output no/such/folder.html: no file can be written there."),
        (["--output", "empty"], "--output empty: no file can be written there."),
        (["--connection", "nobody"], "has no table: nothing was synced. Check --lake."),
    ],
)
def test_a_wrong_setting_is_told_and_nothing_written(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    assert main(["report", *options]) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
