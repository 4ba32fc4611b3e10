"""Watermarks in blocks that are two connections' at once; and what stands in for them in tests keeps the same contract.

The contract of `BlockWatermarks` itself runs in `test_retry.py`, whose server it shares.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from intercom.errors import ConfigurationError
from intercom.lake.watermark import WatermarkStore, to_record
from intercom.orchestration.server import watermark_store
from intercom.orchestration.server.watermark_store import BlockWatermarks, document_name, saved_at_the_end
from tests.support.nursery import FileWatermarks
from tests.support.rig import MemoryWatermarks
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


def test_two_connections_that_are_one_name_to_prefect_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, saved = watermark("My_Acme"), to_record(watermark("my-acme"))
    document = SimpleNamespace(name=document_name(asked.connection, asked.table, asked.lake_id), data=saved)
    monkeypatch.setattr(watermark_store, "documents_named", lambda _kind, _names: [document])
    with pytest.raises(ConfigurationError, match="'My_Acme' and 'my-acme' are one name to Prefect"):
        BlockWatermarks().load(asked.connection, asked.table, asked.lake_id)
    assert BlockWatermarks().load("my-acme", asked.table, asked.lake_id) is not None
