"""What a run has planned and finished of a table, kept beside its staged parts for later attempts at the run.

A run that is tried again (by Prefect, or from its UI) has the same id, and asks only for what is missing. Each attempt
has a folder of its own, since two may be alive: a worker that was given up, and its successor. Nothing here is
believed without the parts it speaks of, and the next run's compaction removes what dead runs leave.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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

log = logging.getLogger(__name__)

_LONGEST = timedelta(days=1)
"""An older plan is not gone on from: its counts say little, and a full refresh would keep what was deleted since."""
_PLAN = "plan"
_DONE = "done"


@dataclass(frozen=True, slots=True)
class ResumeKey:
    """What an attempt has to share with an earlier one to go on from it.

    `workspace` is Intercom's code, None when it could not be asked; `doubt` is how far, in seconds, the server's clock
    may have been behind the start of the run.
    """

    fingerprint: str
    window: Window
    lake_id: str
    workspace: str | None
    doubt: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What one attempt has left: its rows are in its parts below `parts`.

    `found` says for each place in the plan that is finished how complete it is.
    """

    found: Mapping[int, Completeness]
    parts: int
    rows: int
    newest: int | None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        found = {
            str(place): {"counted": one.counted, "missing": one.missing, "notes": list(one.notes)}
            for place, one in self.found.items()
        }
        return {"found": found, "parts": self.parts, "rows": self.rows, "newest": self.newest}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; KeyError, TypeError or ValueError when it is none."""
        found = {
            int(place): Completeness(list(one["notes"]), int(one["counted"]), int(one["missing"]))
            for place, one in record["found"].items()
        }
        return cls(found, int(record["parts"]), int(record["rows"]), record["newest"])


class RunCheckpoints:
    """The journal of one attempt; knows what earlier attempts at the same run have kept.

    `run_start` (unix seconds) and `ingested_at` are those of the first attempt: its rows are as old as that.
    """

    def __init__(
        self, lake_table: LakeTable, run_id: str, beginning: ResumeKey, run_start: int, ingested_at: datetime
    ) -> None:
        self.attempt = f"{run_id}.{uuid4().hex[:8]}"
        self.run_start, self.ingested_at = run_start, ingested_at
        self.earlier: dict[str, Kept] = {}
        """Attempt -> what it has kept, for attempts that followed the same plan."""
        self._lake_table, self._beginning = lake_table, beginning
        self._plan: SlicePlan | None = None
        self._plan_id = uuid4().hex
        self._found: dict[int, Completeness] = {}
        self._finish: Callable[[int], None] = lambda _place: None

    @classmethod
    def opened(
        cls, lake_table: LakeTable, run_id: str, beginning: ResumeKey, *, run_start: int, ingested_at: datetime
    ) -> Self:
        """A journal that goes on from earlier attempts, if there are any that began alike."""
        journal = cls(lake_table, run_id, beginning, run_start, ingested_at)
        files = lake_table.staged_files()
        attempts = sorted(
            {name for path in files if (name := lake_table.paths.attempt_of(path)).startswith(f"{run_id}.")}
        )
        if attempts:
            journal._go_on(attempts, Counter((part.run_id, part.number) for part in lake_table.parts_of(files)))
        return journal

    def follow(self, finish: Callable[[int], None]) -> None:
        """Tell `finish` about parts of the plan that are read."""
        self._finish = finish

    def recalled(self) -> Completeness:
        """How complete the parts are that earlier attempts have finished."""
        whole = Completeness()
        for one in {place: one for kept in self.earlier.values() for place, one in kept.found.items()}.values():
            whole.add(one)
        return whole

    # -- the Journal of a reading ---------------------------------------------------------------------------------

    def plan(self) -> SlicePlan | None:
        """The plan of an earlier attempt."""
        return self._plan

    def keep(self, plan: SlicePlan) -> None:
        """Write the plan down."""
        self._plan = plan
        self._write_plan()

    def finished(self) -> set[int]:
        """Places that earlier attempts have finished."""
        return {place for kept in self.earlier.values() for place in kept.found}

    def finish(self, place: int, found: Completeness) -> None:
        """Every page of a part was delivered, and this is how complete it is."""
        self._found[place] = found
        self._finish(place)

    # -- the lake's side ------------------------------------------------------------------------------------------

    def save(self, places: Sequence[int], parts: int, rows: int, newest: int | None) -> None:
        """Note that these places are finished, and all their rows in parts of this attempt below `parts`.

        Raises LakeError when the lock is lost: a run that was overtaken need not read to the end.
        """
        kept = Kept({place: self._found[place] for place in places}, parts, rows, newest)
        self._lake_table.write_checkpoint(self.attempt, _DONE, {"plan_id": self._plan_id, **kept.to_json()})

    def staged(self) -> list[StagedRun]:
        """Parts of earlier attempts that this one builds on."""
        now = int(datetime.now(UTC).timestamp())
        return [
            StagedRun(attempt, kept.parts, rows=kept.rows, committed_at=now)
            for attempt, kept in self.earlier.items()
            if kept.parts
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
            kept = self._kept(attempt)
            if kept is not None and all(parts[attempt, number] == 1 for number in range(kept.parts)):
                self.earlier[attempt] = kept
        self._write_plan()
        log.info(
            "%s: going on with an earlier try of this run: %d of %d windows are there",
            *(self._table, len(self.finished()), len(self._plan.parts)),
        )

    def _kept(self, attempt: str) -> Kept | None:
        record = self._read(attempt, _DONE)
        try:
            if record is None or record["plan_id"] != self._plan_id:
                return None
            return Kept.from_json(record)
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
        return asdict(self._beginning)

    @property
    def _table(self) -> str:
        return self._lake_table.paths.table
