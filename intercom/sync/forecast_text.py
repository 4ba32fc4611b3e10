"""The forecast of a run as text for a terminal of 80 columns, and as one JSON object. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from intercom.extract.read_forecast import Range
from intercom.sync.forecast import RunForecast
from intercom.sync.table_forecast import TableForecast
from intercom.sync.time_text import duration

WIDTH = 80
_DAY = 86_400
_HEADINGS = ("table", "what is read, times in UTC", "rows", "requests")
_SHORT_REASONS = {
    "a full refresh was asked for": "full refresh",
    "the lake has no record of this table": "first load",
}


def as_text(forecast: RunForecast, remarks: Sequence[str] = ()) -> str:
    """A line for each table, the total, then reasons, bounds and remarks."""
    lines = [list(_HEADINGS), *[_cells(table) for table in forecast.tables]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    text = ["  ".join(map(_aligned, line, widths, range(len(widths)))).rstrip() for line in lines]
    below = [*_children(forecast), *_reasons(forecast.tables), *_bounds(forecast.tables), *_notes(forecast.tables)]
    wrapped = [
        textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False) for line in (*below, *remarks)
    ]
    return "\n".join([*text, "", *_wrapped(_total(forecast)), *wrapped])


def as_json(forecast: RunForecast, **more: Any) -> dict[str, Any]:
    """One object. Bounds are ``{"least": 60, "most": 2100}``: the same number twice if it is known, null for none."""
    least, most = forecast.seconds
    return {
        **more,
        "tables": {table.table: _object(table) for table in forecast.tables},
        "total": {
            "rows": _range(forecast.total(lambda table: table.rows)),
            "requests": _range(forecast.total(lambda table: table.requests)),
            "received_bytes": _range(forecast.total(lambda table: table.received)),
            "parquet_bytes": _range(forecast.total(lambda table: table.parquet)),
            "seconds": {"least": round(least, 1), "most": None if most is None else round(most, 1)},
        },
        "requests_per_10s": forecast.limit,
        "requests_of_others_per_10s": forecast.others,
        "requests_of_this_plan": forecast.requests_of_the_plan,
    }


def what_is_read(table: TableForecast) -> str:
    """In at most 30 characters: ``changes since 2026-11-02 07:58``, ``everything: first load``."""
    if not table.is_read:
        return "skipped, see below" if table.failure is None else "failed, see below"
    if table.derived:
        return f"made of {table.parent}"
    if table.backfill:
        return _days(table.read_from, table.read_until)
    if table.watermark is not None:
        return "everything" if table.reads_all else f"changes since {_minute(table.read_from)}"
    reason = _SHORT_REASONS.get(table.reason, "see below" if table.marked else "")
    what = "everything" if table.read_from is None else f"from {_day(table.read_from)}"
    return f"{what}: {reason}" if reason else what


def _cells(table: TableForecast) -> list[str]:
    if not table.is_read:
        return [table.table, what_is_read(table), "", ""]
    rows = "" if table.derived else shown(table.rows)
    return [table.table, what_is_read(table), rows, shown(table.requests)]


def _total(forecast: RunForecast) -> str:
    rows, requests = (forecast.total(number) for number in (lambda t: t.rows, lambda t: t.requests))
    least, most = forecast.seconds
    time = _time(least, most)
    others = f", of which others use about {forecast.others:,} now" if forecast.others else ""
    received = _megabytes(forecast.total(lambda table: table.received))
    received = received.replace("at least", "At least") if received.startswith("at") else f"About {received}"
    parquet = _megabytes(forecast.total(lambda table: table.parquet))
    return (
        f"In all {shown(rows)} rows by {shown(requests)} requests: {time} at {forecast.limit:,} requests per 10 s"
        f"{others}. {received} received, {parquet} as Parquet."
    )


def _children(forecast: RunForecast) -> list[str]:
    """What tables cost that take a request for each record of another table."""
    lines = []
    for table in forecast.read:
        if table.asked is None or table.asked.most == 0:
            continue
        number = "an unknown number of" if table.asked == Range(0, None) else shown(table.asked)
        changed = "" if table.watermark is None else " that may have changed"
        time = _time(*forecast.seconds_of(table))
        lines.append(f"{table.table}: one request for each of {number} {table.parent}{changed}: {time} by itself")
    return lines


def _reasons(tables: Sequence[TableForecast]) -> list[str]:
    """Why tables are read from the beginning, where that is not what was asked for."""
    by_reason: dict[str, list[str]] = {}
    for table in tables:
        told = table.reason in _SHORT_REASONS or not table.marked or table.backfill
        if table.is_read and table.watermark is None and not told:
            by_reason.setdefault(table.reason, []).append(table.table)
    return [f"{', '.join(names)}: read from the beginning, because {reason}" for reason, names in by_reason.items()]


def _bounds(tables: Sequence[TableForecast]) -> list[str]:
    """Why there are bounds."""
    by_why: dict[str, list[str]] = {}
    for table in tables:
        if table.why:
            by_why.setdefault(table.why, []).append(table.table)
    return [f"{', '.join(names)}: bounds from below and above, since {why}" for why, names in by_why.items()]


def _notes(tables: Sequence[TableForecast]) -> list[str]:
    failures = [f"{table.table} would fail: {table.failure}" for table in tables if table.failure is not None]
    skipped = [f"{table.table}: {table.skipped}" for table in tables if table.skipped is not None]
    return [*failures, *skipped, *[f"{table.table}: {note}" for table in tables for note in table.notes]]


def shown(number: Range) -> str:
    """``1,204``, ``60 to 2,100``, ``1.2M to 2.5M`` (rounded down and up), ``at least 80``."""
    if number.exact:
        return f"{number.least:,}"
    if number.most is None:
        return f"at least {_rounded(number.least, up=False)}" if number.least else "unknown"
    return f"{_rounded(number.least, up=False)} to {_rounded(number.most, up=True)}"


def _rounded(number: int, *, up: bool) -> str:
    """A bound in at most six characters: ``9,999``, ``12.3k``, ``123k``, ``1.2M``."""
    for size, unit, letter, digits in (
        (1_000_000, 1_000_000, "M", 1),
        (100_000, 1_000, "k", 0),
        (10_000, 1_000, "k", 1),
    ):
        if number >= size:
            step = unit // 10**digits
            steps = -(-number // step) if up else number // step
            return f"{steps * step / unit:,.{digits}f}{letter}"
    return f"{number:,}"


def _time(least: float, most: float | None) -> str:
    """``about 2 min``; ``1 to 4 min`` where the bounds are far from each other."""
    if most is None:
        return f"at least {duration(least)}"
    if most < 60:
        return "less than a minute"
    if most <= 1.2 * least:
        return f"about {duration(most)}"
    return f"{duration(least)} to {duration(most)}"


def _megabytes(size: Range) -> str:
    if size.most is None:
        return f"at least {_mb(size.least)}"
    return _mb(size.most) if size.most <= 1.1 * size.least else f"{_mb(size.least)} to {_mb(size.most)}"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 9_950_000 else f"{size / 1e6:,.0f} MB"


def _object(table: TableForecast) -> dict[str, Any]:
    if table.failure is not None:
        return {"failure": table.failure, "requests_of_this_plan": table.requests_of_the_plan}
    if table.skipped is not None:
        return {"skipped": table.skipped, "requests_of_this_plan": table.requests_of_the_plan}
    return {
        "what": what_is_read(table),
        "reason": table.reason,
        "replaces": table.replaces,
        "watermark": _iso(table.watermark),
        "from": _iso(table.read_from),
        "until": _iso(table.read_until),
        "parent": table.parent or None,
        "parents_asked": None if table.asked is None else _range(table.asked),
        "rows": None if table.derived else _range(table.rows),
        "requests": _range(table.requests),
        "received_bytes": _range(table.received),
        "parquet_bytes": None if table.derived else _range(table.parquet),
        "bounds_because": table.why or None,
        "notes": list(table.notes),
        "requests_of_this_plan": table.requests_of_the_plan,
    }


def _range(number: Range) -> dict[str, int | None]:
    return {"least": number.least, "most": number.most}


def _days(start: int | None, end: int | None) -> str:
    """``2026-05-01 to 2026-05-31``: both days included."""
    last = "" if end is None else _day(end - _DAY)
    return f"until {last}" if start is None else f"{_day(start)} to {last}"


def _day(second: int | None) -> str:
    return "" if second is None else f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}"


def _minute(second: int | None) -> str:
    return "" if second is None else f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M}"


def _iso(second: int | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 2 else cell.rjust(width)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)
