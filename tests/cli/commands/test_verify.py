"""The command `verify`: its exit statuses and output, what it sends and says before, and the result that it leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from intercom.cli.app import main
from intercom.lake.run_summaries import RunSummaries
from intercom.report.history import read_history
from tests.lake.stores.limits import mode
from tests.support.rig import CONNECTION, Rig

TABLES = ("contacts", "contact_tags", "tags")


@pytest.fixture(autouse=True)
def no_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No Prefect API, whatever this process has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture
def options(rig: Rig, tmp_path: Path) -> list[str]:
    file = rig.connections_file(tmp_path, rig.server.token)
    return ["--connection", "acme", "--connections-file", str(file), "--lake", rig.lake_url]


def shell(*arguments: str) -> int:
    return main(["verify", *arguments])


def left(rig: Rig) -> list[dict[str, Any]]:
    """The results in the lake, the oldest first."""
    summaries = RunSummaries(rig.lake(), CONNECTION, "verified")
    return [summaries.read(name) or {} for name in summaries.names()]


def damage(rig: Rig) -> None:
    path = rig.lake_folder / "data" / CONNECTION / "tags" / "data.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def test_a_sound_lake_is_proven_by_no_more_requests_than_it_was_said(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rig.sync(TABLES)
    before = rig.lake().stamps("")
    rig.server.clear_log()
    assert shell(*options, "--most-requests", "30") == 0
    told = capsys.readouterr()
    assert told.err == "This verification sends at most 61 requests to Intercom, and changes no table.\n"
    assert 3 < len(rig.server.log) <= 61
    assert told.out.splitlines()[-1].startswith("3 tables proven; ")
    assert max(map(len, told.out.splitlines()[:4])) <= 80
    after = rig.lake().stamps("")
    assert {path: after.get(path) for path in before} == before
    (result,) = after.keys() - before.keys()
    assert re.fullmatch(rf"_state/{CONNECTION}/verified/\d{{8}}T\d{{6}}Z-verify-[0-9a-f-]{{36}}\.json", result)


def test_the_result_is_in_the_lake_for_the_report(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As it is printed, of a verification of the files alone and of one that asks Intercom."""
    rig.sync(TABLES)
    assert shell(*options, "--local-only", "--json") == 0
    assert left(rig) == [json.loads(capsys.readouterr().out)]
    damage(rig)
    assert shell(*options) == 1
    told = capsys.readouterr().out
    found = read_history(rig.lake(), CONNECTION).verifications
    assert sorted(one.ok for one in found) == [False, True]
    assert {f"{one.message}." for one in found if not one.ok} == {told.splitlines()[-1]}


def test_results_are_deleted_after_400_days_by_intercoms_clock(rig: Rig, options: list[str]) -> None:
    """A verification of the files alone asks nobody for the time, and deletes none."""
    rig.sync(["tags"])
    summaries = RunSummaries(rig.lake(), CONNECTION, "verified")
    for days in (500, 399):
        summaries.save({"days": days}, datetime.now(UTC) - timedelta(days=days), "old")
    assert shell(*options, "--local-only") == 0
    assert [one.get("days") for one in left(rig)] == [500, 399, None]
    assert shell(*options) == 0
    assert [one.get("days") for one in left(rig)] == [399, None, None]


def test_a_lake_that_may_only_be_read_is_proven_all_the_same(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error says that the result is not in the lake."""
    rig.sync(TABLES)
    with ExitStack() as stack:
        for folder in (rig.lake_folder, *(path for path in rig.lake_folder.rglob("*") if path.is_dir())):
            stack.enter_context(mode(folder, 0o555))
        assert shell("--connection", CONNECTION, "--lake", rig.lake_url, "--local-only", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["ok"] is True
    assert told.err.startswith("note: This result could not be left in the lake. Cannot write ")
    assert left(rig) == []


def test_files_alone_are_read_without_a_connection_and_a_difference_ends_with_1(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.sync(TABLES)
    damage(rig)
    rig.server.clear_log()
    assert shell("--connection", CONNECTION, "--lake", rig.lake_url, "--local-only", "--json") == 1
    told = capsys.readouterr()
    assert told.err == ""
    found = json.loads(told.out)
    assert found["ok"] is False
    assert [(table["table"], len(table["differences"])) for table in found["tables"]] == [
        ("contacts", 0), ("tags", 1), ("contact_tags", 0),
    ]  # fmt: skip
    assert len(rig.server.log) == 0


def test_what_was_repaired_is_right_after_the_next_sync(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rig.sync(TABLES)
    damage(rig)
    assert shell(*options, "--local-only", "--repair") == 1
    assert "tags: the next sync reads it from the beginning" in capsys.readouterr().err
    rig.sync(TABLES)
    assert shell(*options, "--local-only", "--tables", "tags") == 0


def test_a_row_that_is_gone_from_the_workspace_is_found_and_removed(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rig.sync(TABLES)
    rig.workspace.travel(7200)
    gone = rig.workspace.rows("contacts")[7]["id"]
    rig.workspace.delete("contacts", gone)
    assert shell(*options, "--tables", "contacts") == 1
    assert f"extra: expected no such rows, found 1 in the lake ({gone})" in capsys.readouterr().out
    assert shell(*options, "--tables", "contacts", "--repair") == 0
    assert "contacts: 0 records were read again: 0 rows new, 0 changed, 1 removed" in capsys.readouterr().err
    assert gone not in rig.rows("contacts").column("id").to_pylist()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--connection", "nobody"], "of connection 'nobody': nothing was synced under that name. It has tables of"),
        (["--tables", "contact"], "There is no table 'contact'. Did you mean 'contacts'?"),
        (["--lookback", "soon"], "The lookback 'soon' is not a duration"),
        (["--lake", "what://lake"], "cannot be used"),
    ],
)
def test_a_wrong_setting_ends_with_2(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    rig.sync(["tags"])
    assert shell(*options, *wrong) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
