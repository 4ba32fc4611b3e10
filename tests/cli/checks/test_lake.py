"""Lines about the lake: whether it can be used, by whom it is held, and whose tables it has."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.process import Process
from tests.conftest import BUCKET
from tests.support.checked import Check
from tests.support.rig import CONNECTION, Rig


def test_a_lake_in_use_is_named_and_left_as_it_was(rig: Rig, checked: Check) -> None:
    rig.sync(["tags"])
    before = rig.lake().stamps("")
    found = checked()
    assert found.status == 0
    assert found["lake"]["facts"]["id"] == rig.lake().identity().id
    assert found["workspace"]["status"] == "ok"
    assert rig.lake().stamps("") == before


def test_a_lake_of_another_workspace_is_told(rig: Rig, checked: Check) -> None:
    rig.sync(["tags", "teams"])
    rig.workspace.options.app_id = "other123"
    found = checked()
    assert (found.status, found.failed()) == (2, ["workspace"])
    assert found["workspace"]["facts"] == {"lake": "sbx7k2qd", "token": "other123", "tables": ["tags", "teams"]}
    assert checked(tables="admins").status == 0


def test_a_lake_that_cannot_be_written(rig: Rig, here: Path, checked: Check) -> None:
    (here / "lake").write_text("a file in place of a folder")
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (1, ["lake"])
    assert found["lake"]["detail"].startswith("Cannot ")
    assert found["lake"]["cure"]
    assert found["tags"]["status"] == "ok"


def test_a_lake_that_is_damaged_or_of_a_later_version(rig: Rig, checked: Check) -> None:
    for text, told in ((b"{}", "is damaged"), (b'{"id": "x", "format": 99}', "format 99")):
        rig.lake().write_bytes("_state/lake.json", text)
        found = checked(tables="tags")
        assert (found.status, found.failed()) == (1, ["lake"])
        assert told in found["lake"]["detail"]


def test_a_lake_on_s3(rig: Rig, checked: Check, s3_storage: dict[str, Any]) -> None:
    options = json.dumps({"endpoint_url": s3_storage["endpoint_url"]})
    found = checked(tables="tags", lake=f"s3://{BUCKET}/some/lake", storage_options=options)
    assert found.status == 0
    assert "a changed file is not replaced" in found["lock"]["detail"]
    missing = checked(tables="tags", lake="s3://no-such-bucket-here/lake", storage_options=options)
    assert (missing.status, missing.failed()) == (1, ["lake"])
    assert "bucket" in missing["lake"]["cure"]


def test_a_store_without_locks_is_a_warning(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intercom.lake.object_store.create", lambda *_: True)
    found = checked(tables="tags", lake="memory://check-without-locks")
    assert (found.status, found["lock"]["status"]) == (0, "warn")
    assert "a second one replaced the first" in found["lock"]["detail"]
    assert "concurrency limit" in found["lock"]["cure"]


def test_a_run_that_holds_tables_is_told_and_is_no_fault(rig: Rig, checked: Check) -> None:
    with TableLocks(rig.lake(), CONNECTION, ["tags", "teams"], "run-9"):
        found = checked(tables="tags")
    assert (found.status, found["running"]["status"]) == (0, "note")
    assert found["running"]["facts"]["tables"] == ["tags", "teams"]
    assert "run run-9" in found["running"]["detail"]
    assert "is working on" in found["running"]["detail"]
    assert "running" not in checked(tables="tags").states()


def test_the_lock_of_a_run_that_died_or_is_elsewhere(rig: Rig, checked: Check) -> None:
    here = Process.current()
    TableLocks(rig.lake(), CONNECTION, ["tags"], "dead", process=replace(here, started=1)).acquire()
    assert "has died" in checked(tables="tags")["running"]["detail"]
    shutil.rmtree(rig.lake_folder / "_locks")
    TableLocks(rig.lake(), CONNECTION, ["tags"], "away", process=replace(here, host="elsewhere")).acquire()
    assert "last sign of life" in checked(tables="tags")["running"]["detail"]
