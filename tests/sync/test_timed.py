"""From what one task of a table gives to the next to the table's line in the summary."""

from __future__ import annotations

from intercom.api.traffic import Traffic
from intercom.compaction.compact import Compacted
from intercom.sync.ingest import Ingested
from intercom.sync.summary import failures, verdict
from intercom.sync.timed import Timed

REFUSED = "a full refresh would remove 60 of 150 rows (40 %), which two reads lack"


def test_a_table_that_was_refused_has_failed_although_it_was_read_and_merged() -> None:
    ingested = Ingested(90, Traffic(), 5, 9, "a full refresh was asked for", refused=REFUSED)
    summary = Timed(1.0, ingested, Compacted(rows=150, changed=2)).summary("contacts")
    assert failures([summary]) == [f"contacts failed: {REFUSED}"]
    assert verdict([summary]).startswith("1 of 1 tables failed:")
