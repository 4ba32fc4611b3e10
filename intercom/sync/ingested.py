"""What a run read of one table: the result of `intercom.sync.ingest`, for the merge, the summary and the artifacts."""

from __future__ import annotations

from dataclasses import dataclass

from intercom.api.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a run read of one table. Watermarks in unix seconds.

    `watermark_before` is the one that counted when the run began, also where it was not used, as in a full refresh.
    `complete`: nothing, or next to nothing, of what Intercom counts was missing. `earlier_try`: an earlier try of the
    run has read the table, this one has not.
    `notes` and `hints` are lines for the end of the run: what is not as it should be, and what is only worth knowing.
    `unchanged` rows were not staged, since the lake has them as they were read.
    `rejected` records could not be rows, and are kept in `rejected_file`, a path in the lake; a folder where files of
    earlier runs have them.
    `kept` rows of the lake were not read and are there by their own address; `undecided` ones were not read, and stay
    until another sweep agrees.
    `refused`: the table has failed, since a large part of it would have been removed; all that was read is committed.
    """

    rows: int
    traffic: Traffic
    watermark_before: int | None
    watermark_after: int | None
    reason: str
    complete: bool = True
    earlier_try: bool = False
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    refused: str | None = None
    unchanged: int = 0
    rejected: int = 0
    rejected_file: str | None = None
    kept: int = 0
    undecided: int = 0
