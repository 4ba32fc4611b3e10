"""What every `WatermarkStore` does: the one of runs, and those that stand in for it in tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from intercom.lake.watermark import Watermark, WatermarkStore

FIRST = Watermark(
    connection="My_Acme",
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
    """A subclass gives the fixture `store`: one that knows no watermark of `FIRST`'s connection."""

    def test_what_was_saved_last_is_loaded_as_it_was(self, store: WatermarkStore) -> None:
        """Also an earlier one, which a full refresh may leave, and nothing that an older one had."""
        assert _loaded(store, FIRST) is None
        for saved in (
            FIRST,
            replace(FIRST, value=1_780_000_000, rows=0, run_id="second"),
            replace(FIRST, value=None, run_id="third"),
        ):
            store.save(saved)
            assert _loaded(store, FIRST) == saved

    @pytest.mark.parametrize(
        "other",
        [
            replace(FIRST, connection="My_Acme_2"),
            replace(FIRST, table="tags"),
            replace(FIRST, lake_id="ffffffffffff"),
            replace(FIRST, lake_id="1a2b3c4dffff"),  # alike in the eight characters that a document is named by
        ],
        ids=["connection", "table", "lake", "lake of a like name"],
    )
    def test_it_counts_for_one_connection_table_and_lake(self, store: WatermarkStore, other: Watermark) -> None:
        store.save(FIRST)
        assert _loaded(store, other) is None
        store.save(replace(other, run_id="other"))
        assert _loaded(store, other) == replace(other, run_id="other")


def _loaded(store: WatermarkStore, like: Watermark) -> Watermark | None:
    return store.load(like.connection, like.table, like.lake_id)
