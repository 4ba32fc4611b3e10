"""Tests that every `WatermarkStore` must pass: the store of runs, and those that replace it in tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from intercom.lake.watermark import Watermark, WatermarkStore


def watermark(connection: str = "My_Acme") -> Watermark:
    """A watermark whose connection and table have names that are not valid in a block name."""
    return Watermark(
        connection=connection,
        table="data_attributes",
        lake_id="1a2b3c4d5e6f",
        lake_url="s3://bucket/prefix",
        cursor_field="updated_at",
        value=1_790_000_000,
        run_id="first",
        rows=12,
        saved_at=datetime(2026, 11, 2, 9, 0, 0, 123456, tzinfo=UTC),
    )


class WatermarkStoreContract:
    """A subclass gives the fixture `store`, which may hold what other tests have saved."""

    @pytest.fixture
    def first(self) -> Watermark:
        """A watermark of a connection that no other test uses."""
        return watermark(f"My_Acme_{uuid4().hex}")

    def test_what_was_saved_last_is_loaded_as_it_was(self, store: WatermarkStore, first: Watermark) -> None:
        """Also if the saved value is earlier, as after a full refresh; no field of an older watermark remains."""
        assert _loaded(store, first) is None
        for saved in (
            first,
            replace(first, value=1_780_000_000, rows=0, run_id="second"),
            replace(first, value=None, run_id="third"),
        ):
            store.save(saved)
            assert _loaded(store, first) == saved

    @pytest.mark.parametrize(
        "change",
        [
            {"connection": f"another_{uuid4().hex}"},
            {"table": "tags"},
            {"lake_id": "ffffffffffff"},
            {"lake_id": "1a2b3c4dffff"},  # same first eight characters, which name the document
        ],
        ids=["connection", "table", "lake", "lake of a like name"],
    )
    def test_it_counts_for_one_connection_table_and_lake(
        self, store: WatermarkStore, first: Watermark, change: dict[str, Any]
    ) -> None:
        other = replace(first, **change, run_id="other")
        store.save(first)
        assert _loaded(store, other) is None
        store.save(other)
        assert _loaded(store, other) == other


def _loaded(store: WatermarkStore, like: Watermark) -> Watermark | None:
    return store.load(like.connection, like.table, like.lake_id)
