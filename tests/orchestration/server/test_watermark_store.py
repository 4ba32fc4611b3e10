"""Watermarks in blocks that are two connections' at once; and what stands in for them in tests keeps the same contract.

The contract of `BlockWatermarks` itself runs in `test_retry.py`, whose server it shares.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from intercom.errors import ConfigurationError, PrefectError
from intercom.lake.watermark import Watermark, WatermarkStore, to_record
from intercom.orchestration.server import watermark_store
from intercom.orchestration.server.watermark_store import (
    BlockWatermarks,
    RunWatermarks,
    document_name,
    saved_at_the_end,
)
from tests.support.rig import MemoryWatermarks
from tests.support.runs import FileWatermarks
from tests.support.watermark_contract import WatermarkStoreContract, watermark


class TestMemoryWatermarks(WatermarkStoreContract):
    @pytest.fixture
    def store(self) -> WatermarkStore:
        return MemoryWatermarks()


class TestFileWatermarks(WatermarkStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> WatermarkStore:
        return FileWatermarks(tmp_path)


@pytest.mark.parametrize("fails", [False, True])
def test_of_the_watermarks_of_a_tables_steps_the_last_is_saved_however_they_end(fails: bool) -> None:
    store, first = MemoryWatermarks(), watermark()
    with suppress(RuntimeError), saved_at_the_end(store) as steps:
        steps.save(first)
        steps.save(last := replace(first, rows=13))
        assert steps.load(first.connection, first.table, first.lake_id) is None
        if fails:
            raise RuntimeError
    assert list(store.kept.values()) == [last]


class Refusing(MemoryWatermarks):
    """A server that lets nobody write blocks."""

    def save(self, watermark: Watermark) -> None:
        raise PrefectError("no", refused=True)


def test_an_error_of_the_steps_is_told_and_not_that_their_watermark_could_not_be_saved() -> None:

    def step(error: Exception | None) -> None:
        with saved_at_the_end(Refusing()) as steps:
            steps.save(watermark())
            if error is not None:
                raise error

    with pytest.raises(RuntimeError, match="a step"):
        step(RuntimeError("a step"))
    with pytest.raises(PrefectError):
        step(None)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Watermark]:
    """What goes to Prefect's server, which refuses tags."""
    saved: list[Watermark] = []

    def save(_store: BlockWatermarks, mark: Watermark) -> None:
        if mark.table == "tags":
            raise PrefectError("no", refused=True)
        saved.append(mark)

    monkeypatch.setattr(BlockWatermarks, "save", save)
    return saved


def test_a_short_run_saves_its_watermarks_at_its_end_each_once_and_names_the_refused(saved: list[Watermark]) -> None:
    run, first = RunWatermarks(), watermark()
    others = [replace(first, table=table) for table in ("tags", "contacts")]
    for mark in (first, *others, last := replace(first, rows=13)):
        run.save(mark)
    assert saved == []
    assert list(run.save_kept()) == ["tags"]
    assert saved == [last, others[1]]
    assert run.save_kept() == {}
    assert len(saved) == 2


def test_a_long_run_saves_a_tables_watermark_when_the_table_is_done(
    saved: list[Watermark], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunWatermarks, "SHORT_SECONDS", -1.0)
    run, first = RunWatermarks(), watermark()
    run.save(first)
    assert saved == [first]
    with pytest.raises(PrefectError, match="no"):
        run.save(replace(first, table="tags"))
    assert run.save_kept() == {}


def test_at_the_end_of_a_run_a_server_that_is_gone_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def gone(what: str, _ask: object) -> None:
        asked.append(what)
        raise PrefectError("It was asked for 5 minutes.", refused=False)

    monkeypatch.setattr(watermark_store, "call_server", gone)
    run = RunWatermarks()
    for table in ("contacts", "companies", "articles"):
        run.save(replace(watermark(), table=table))
    assert run.save_kept() == {}
    assert len(asked) == 1
    for table in ("contacts", "companies", "articles"):
        assert f"{table}: It was asked for 5 minutes. The watermark is in the lake's own record" in caplog.text


def test_tables_that_wait_for_the_same_answer_do_not_each_ask_a_server_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0

    def gone(_kind: object, _names: object) -> list[object]:
        nonlocal asked
        asked += 1
        raise PrefectError("gone", refused=False)

    monkeypatch.setattr(watermark_store, "documents_named", gone)
    first = watermark("acme")
    store = BlockWatermarks([document_name("acme", table, first.lake_id) for table in ("contacts", "companies")])
    for table in ("contacts", "companies"):
        with pytest.raises(PrefectError, match="gone"):
            store.load("acme", table, first.lake_id)
    assert asked == 1


def test_two_connections_that_are_one_name_to_prefect_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, saved = watermark("My_Acme"), to_record(watermark("my-acme"))
    document = SimpleNamespace(name=document_name(asked.connection, asked.table, asked.lake_id), data=saved)
    monkeypatch.setattr(watermark_store, "documents_named", lambda _kind, _names: [document])
    with pytest.raises(ConfigurationError, match="'My_Acme' and 'my-acme' are one name to Prefect"):
        BlockWatermarks().load(asked.connection, asked.table, asked.lake_id)
    assert BlockWatermarks().load("my-acme", asked.table, asked.lake_id) is not None
