"""How a connection's runs went, and what its verifications found: out of the summaries that they left in the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from intercom.lake.run_summaries import RunSummaries
from intercom.lake.storage import Lake
from intercom.sync.run_summary import known_tables

MOST_RUNS: Final = 400
MOST_VERIFICATIONS: Final = 20
_READ_AT_ONCE: Final = 8
"""Summaries are small, and each is a request to an object store."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run, from its summary. Counts are sums over its tables, None if none of them says.

    `share` is that of the allowed requests which the run has sent, 1.0 for all; None in summaries of versions that did
    not write it.
    """

    ended_at: datetime
    kind: str
    state: str
    seconds: float | None
    rows_read: int | None
    new: int | None
    changed: int | None
    removed: int | None
    requests: int | None
    throttled: int | None
    share: float | None
    rejected: int | None


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification. `differences` are pairs of a table and a line, `message` is the verdict in a sentence.

    `ok`: nothing differs, and no table failed. `proven` is how many tables were read and found right: those that were
    left out are not among them.

    `chosen` are the tables and groups that were verified, none for all. `asked_workspace`: whether rows were compared
    with Intercom's, or files with their record alone; None in summaries of versions that did not write it.
    """

    ended_at: datetime
    ok: bool
    proven: int
    chosen: tuple[str, ...]
    asked_workspace: bool | None
    message: str
    differences: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def result(self) -> str:
        """In words."""
        if not self.ok:
            return "not proven"
        return "proven" if self.proven else "nothing to verify"


@dataclass(frozen=True, slots=True)
class History:
    """The newest runs and verifications, the oldest first.

    `tables` are the entries of `lake_tables` of the latest run, by table; `older` is how many runs are not in `runs`.
    """

    runs: tuple[PastRun, ...]
    verifications: tuple[Verification, ...]
    tables: Mapping[str, Mapping[str, Any]]
    older: int


def read_history(lake: Lake, connection: str) -> History:
    """From at most `MOST_RUNS` and `MOST_VERIFICATIONS` small files. Raises LakeError when the storage refuses."""
    names, runs = _newest(RunSummaries(lake, connection), MOST_RUNS)
    _, verified = _newest(RunSummaries(lake, connection, "verified"), MOST_VERIFICATIONS)
    latest = next((known for one in reversed(runs) if (known := known_tables(one))), [])
    return History(
        runs=tuple(run for one in runs if (run := _run(one)) is not None),
        verifications=tuple(found for one in verified if (found := _verification(one)) is not None),
        tables={str(entry["table"]): entry for entry in latest},
        older=max(0, names - MOST_RUNS),
    )


def _newest(summaries: RunSummaries, most: int) -> tuple[int, list[dict[str, Any]]]:
    names = summaries.names()
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        read = list(pool.map(summaries.read, names[-most:]))
    return len(names), [one for one in read if one is not None]


def _run(summary: Mapping[str, Any]) -> PastRun | None:
    """None for a summary that does not say when its run ended."""
    ended = time_in(summary.get("ended_at"))
    if ended is None:
        return None
    tables = [one for one in _list(summary.get("tables")) if isinstance(one, dict)]
    counts = {name: _sum(tables, name) for name in ("rows_read", "new", "changed", "removed", "rejected")}
    traffic = summary.get("traffic")
    share = traffic.get("share") if isinstance(traffic, dict) else None
    return PastRun(
        ended_at=ended,
        kind=str(summary.get("kind")),
        state=str(summary.get("state")),
        seconds=_number(summary.get("seconds")),
        requests=_sum(tables, "requests"),
        throttled=_sum(tables, "throttled"),
        share=_number(share),
        **counts,
    )


def _verification(summary: Mapping[str, Any]) -> Verification | None:
    ended = time_in(summary.get("ended_at"))
    if ended is None:
        return None
    tables = [one for one in _list(summary.get("tables")) if isinstance(one, dict)]
    found = [one for table in tables for one in _list(table.get("differences"))]
    found += _list(summary.get("strangers"))
    failures = [f"{one.get('table')}: {one[why]}" for why in ("failure", "skipped") for one in tables if one.get(why)]
    notes = [f"{one.get('table')}: {note}" for one in tables for note in _list(one.get("notes"))]
    return Verification(
        ended_at=ended,
        ok=summary.get("ok") is True,
        proven=sum(one.get("proven") is True for one in tables),
        chosen=tuple(str(name) for name in _list(summary.get("chosen"))),
        asked_workspace=asked if isinstance(asked := summary.get("asked_workspace"), bool) else None,
        message=str(summary.get("message")),
        differences=tuple((str(one.get("table")), _line(one)) for one in found if isinstance(one, dict)),
        notes=(*failures, *notes),
    )


def _line(difference: Mapping[str, Any]) -> str:
    """As `Difference.line`, from its JSON, without the name of the table."""
    place, kind, expected, found, mended = (
        difference.get(name) for name in ("where", "kind", "expected", "found", "mended_by")
    )
    return f"{place}: {kind}: expected {expected}, found {found}; {mended}"


def time_in(text: object) -> datetime | None:
    """A time of a summary, in UTC; None for what is none."""
    with suppress(ValueError):
        if isinstance(text, str):
            found = datetime.fromisoformat(text)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _sum(tables: Sequence[Mapping[str, Any]], name: str) -> int | None:
    counts = [value for one in tables if isinstance(value := one.get(name), int)]
    return sum(counts) if counts else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
