"""Foretells the requests for the rest of lists that come cut with a record: one for each such list, or more."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean, stdev

from intercom.extract.read_forecast import LakeRows, Range, ReadForecast
from intercom.extract.refill import requests_of_record
from intercom.extract.windows import Window
from intercom.tables.table import Table

_ERRORS = 3.0
"""Standard errors on either side of the mean, in bounds."""
_NONE_OF = 3.0
"""Records of which one may be cut, in as many more than the sample, where none of the sample is: at 95 %."""
_AS_IN_LAKE = 1.25


def with_refills(read: ReadForecast, table: Table, window: Window, in_lake: LakeRows) -> ReadForecast:
    """The forecast of a read that asks for the rest of each list that comes cut."""
    page, field = read.sample, table.cursor_field
    if page is None:
        return read
    values = page.seconds(field) if field else [None] * len(page.records)
    inside = [record for record, at in zip(page.records, values, strict=True) if window.holds(at)]
    found = [requests_of_record(table, record) for record in inside]
    if read.rows.exact and read.rows.least == len(found):
        refills, why = Range.exactly(sum(found)), ""
    elif in_lake.cut and in_lake.own:
        each = in_lake.cut / in_lake.own
        refills = Range(round(read.rows.least * each / _AS_IN_LAKE), _most(read.rows, each * _AS_IN_LAKE))
        why = f"as many lists of {table.name} are taken to be cut as in the lake"
    else:
        refills, why = _as_sampled(read.rows, found), f"how many lists are cut is known of {len(found)} {table.name}"
    return replace(read, requests=read.requests + refills, why="; ".join(filter(None, (read.why, why))))


def _as_sampled(rows: Range, found: list[int]) -> Range:
    if not found:
        return Range(0, None if rows.most != 0 else 0)
    each = mean(found)
    error = _ERRORS * stdev(found) / len(found) ** 0.5 if len(found) > 1 else each
    least = max(sum(found), round(rows.least * (each - error)))
    most = _most(rows, each + error + _NONE_OF / len(found))
    return Range(least, None if most is None else max(least, most))


def _most(rows: Range, each: float) -> int | None:
    return None if rows.most is None else round(rows.most * each)
