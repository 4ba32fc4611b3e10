"""Watermarks in blocks that are two connections' at once; and what stands in for them in tests keeps the same contract.

The contract of `BlockWatermarks` itself runs in `test_retry.py`, whose server it shares.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from intercom.errors import ConfigurationError
from intercom.lake.watermark import WatermarkStore, to_record
from intercom.orchestration.server import watermark_store
from intercom.orchestration.server.watermark_store import BlockWatermarks
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


def test_two_connections_that_are_one_name_to_prefect_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, saved = watermark("My_Acme"), to_record(watermark("my-acme"))
    monkeypatch.setattr(watermark_store, "load_values", lambda _slug, _name: saved)
    with pytest.raises(ConfigurationError, match="'My_Acme' and 'my-acme' are one name to Prefect"):
        BlockWatermarks().load(asked.connection, asked.table, asked.lake_id)
    assert BlockWatermarks().load("my-acme", asked.table, asked.lake_id) is not None
