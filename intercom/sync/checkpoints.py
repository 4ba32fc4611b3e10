"""What a run has planned and finished of a table, kept beside its staged parts for later attempts at the run.

A run that is tried again (by Prefect, or from its UI) has the same id, and asks only for what is missing. Each attempt
has a folder of its own, since two may be alive: a worker that was given up, and its successor. A checkpoint is ignored
unless all parts that it counts are there. The next run's compaction removes what dead runs leave.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import uuid4

from intercom.errors import LakeError
from intercom.extract.completeness import Completeness
from intercom.extract.search_slices import SlicePlan
from intercom.extract.windows import Window
from intercom.lake.staged_run import StagedRun
from intercom.lake.table import LakeTable
from intercom.sync.staged import Staged

log = logging.getLogger(__name__)

_LONGEST = timedelta(days=1)
"""An older plan is not resumed: its counts are outdated, and a full refresh would keep rows deleted since then."""
_PLAN = "plan"
_DONE = "done"


@dataclass(frozen=True, slots=True)
class ResumeKey:
    """What an attempt has to share with an earlier one to go on from it.

    `workspace` is Intercom's code, None when it could not be asked; `doubt` is how far, in seconds, the server's clock
    may have been behind the start of the run. `after`: where deleted rows are marked, the time (text) after
    which rows have to be read to count as alive; else None.
    """

    fingerprint: str
    window: Window
    lake_id: str
    workspace: str | None
    doubt: int = 0
    after: str | None = None


class RunCheckpoints:
    """Writes the checkpoints of one attempt; knows those of earlier attempts at the same run. Is a `Resumable`.

    `run_start` (unix seconds) and `ingested_at` are those of the first attempt: its rows are as old as that.
    """

    def __init__(
        self, lake_table: LakeTable, run_id: str, key: ResumeKey, run_start: int, ingested_at: datetime
    ) -> None:
        self.attempt = f"{run_id}.{uuid4().hex[:8]}"
        self.run_start, self.ingested_at = run_start, ingested_at
        self.earlier: dict[str, Staged] = {}
        """Attempt -> what it has staged, for attempts that followed the same plan."""
        self._lake_table, self._key = lake_table, key
        self._plan: SlicePlan | None = None
        self._plan_id = uuid4().hex

    @classmethod
    def opened(
        cls, lake_table: LakeTable, run_id: str, key: ResumeKey, *, run_start: int, ingested_at: datetime
    ) -> Self:
        """The checkpoints of a new attempt, which resumes earlier attempts at the run with the same key, if any."""
        checkpoints = cls(lake_table, run_id, key, run_start, ingested_at)
        files = lake_table.staged_files()
        attempts = sorted(
            {name for path in files if (name := lake_table.paths.attempt_of(path)).startswith(f"{run_id}.")}
        )
        if attempts:
            checkpoints._go_on(attempts, Counter((part.attempt, part.number) for part in lake_table.parts_of(files)))
        return checkpoints

    def recalled(self) -> Completeness:
        """How complete the slices are that earlier attempts have finished, each counted once.

        A parent that one of them could not read is owed, whatever the others say: that may be of an older version.
        """
        whole = Completeness()
        for one in {place: one for staged in self.earlier.values() for place, one in staged.slices.items()}.values():
            whole.add(one)
        # The end of a slice tells of parents of others, too, so that of each attempt counts.
        told = [one.owed for staged in self.earlier.values() for one in staged.slices.values()]
        whole.owed = {key: None for owed in told for key in owed}
        whole.owed |= {key: parent for owed in told for key, parent in owed.items() if parent is not None}
        return whole

    # -- Resumable: the side of the extraction --------------------------------------------------------------------

    def plan(self) -> SlicePlan | None:
        """The plan of an earlier attempt."""
        return self._plan

    def keep(self, plan: SlicePlan) -> None:
        """Write the plan down."""
        self._plan = plan
        self._write_plan()

    def finished(self) -> set[int]:
        """Places that earlier attempts have finished."""
        return {place for staged in self.earlier.values() for place in staged.slices}

    # -- the lake's side ------------------------------------------------------------------------------------------

    def save(self, staged: Staged) -> None:
        """Write down what this attempt has staged until now, in place of its previous checkpoint.

        Raises LakeError when the lock is lost: a run that was overtaken need not read to the end.
        """
        self._lake_table.write_checkpoint(self.attempt, _DONE, {"plan_id": self._plan_id, **staged.to_json()})

    def staged_runs(self) -> list[StagedRun]:
        """Parts of earlier attempts that this one builds on, for the table's record."""
        now = int(datetime.now(UTC).timestamp())
        return [
            StagedRun(attempt, staged.parts, rows=staged.rows, committed_at=now)
            for attempt, staged in self.earlier.items()
            if staged.parts
        ]

    def _go_on(self, attempts: Sequence[str], parts: Counter[tuple[str, int]]) -> None:
        plans = {attempt: record for attempt in attempts if (record := self._read(attempt, _PLAN)) is not None}
        fitting = {
            attempt: record
            for attempt, record in plans.items()
            if record.get("beginning") == self._began() and str(record.get("saved_at")) >= self._oldest()
        }
        if not fitting:
            return
        first = min(fitting.values(), key=lambda record: str(record["saved_at"]))
        try:
            self._plan = SlicePlan.from_json(first["plan"])
            self._plan_id = str(first["plan_id"])
            self.run_start = int(first["run_start"])
            self.ingested_at = datetime.fromisoformat(first["ingested_at"])
        except (KeyError, TypeError, ValueError) as error:
            log.warning("%s: a plan of an earlier try is damaged (%s) and is ignored", self._table, error)
            self._plan = None
            return
        for attempt in fitting:
            staged = self._staged(attempt)
            if staged is not None and all(parts[attempt, number] == 1 for number in range(staged.parts)):
                self.earlier[attempt] = staged
        self._write_plan()
        log.info(
            "%s: going on with an earlier try of this run: %d of %d slices are there",
            *(self._table, len(self.finished()), len(self._plan.parts)),
        )

    def _staged(self, attempt: str) -> Staged | None:
        record = self._read(attempt, _DONE)
        try:
            if record is None or record["plan_id"] != self._plan_id:
                return None
            return Staged.from_json(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("%s: what an earlier try has finished is damaged (%s) and is ignored", self._table, error)
            return None

    def _write_plan(self) -> None:
        assert self._plan is not None
        record = {
            "plan_id": self._plan_id,
            "beginning": self._began(),
            "run_start": self.run_start,
            "ingested_at": self.ingested_at.isoformat(),
            "saved_at": datetime.now(UTC).isoformat(),
            "plan": self._plan.to_json(),
        }
        self._lake_table.write_checkpoint(self.attempt, _PLAN, record)

    def _read(self, attempt: str, name: str) -> dict[str, Any] | None:
        try:
            record = self._lake_table.lake.read_json(self._lake_table.paths.checkpoint(attempt, name))
        except (ValueError, LakeError) as error:
            log.warning("%s: %s of an earlier try cannot be read (%s)", self._table, name, error)
            return None
        return record if isinstance(record, dict) else None

    def _oldest(self) -> str:
        return (datetime.now(UTC) - _LONGEST).isoformat()

    def _began(self) -> Mapping[str, Any]:
        began = asdict(self._key)
        if self._key.after is None:
            del began["after"]  # as plans of earlier versions are written
        return began

    @property
    def _table(self) -> str:
        return self._lake_table.paths.table
