"""Tables without a search against their workspace: small lists, lists by page number, companies.

A list is read whole where the allowed requests suffice. Then rows of the lake that it lacks are asked for by their own
addresses, where there are any. A list that is too long is compared as far as requests are allowed, with a sample that
is drawn from the lake. Companies are compared with their list by page number, and not with a scroll: a workspace can
have one open scroll, and a sync that needs it would be shut out. The list leaves out companies without users.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.compaction.keys import KEY
from intercom.errors import RequestRejectedError, RequestsSpentError
from intercom.extract.extraction import Extraction
from intercom.extract.lists import read_list
from intercom.extract.page_numbers import read_page_numbers
from intercom.extract.page_size import first_answer, page_params
from intercom.extract.pages import json_integer, page_of, pages_of
from intercom.tables.table import Access, Table
from intercom.verify.case import FOR_ADDRESSES, Case

_LONGEST_LIST: Final = 10_000
"""Companies that the list by page number gives: it refuses pages beyond that."""
_COUNTS: Final = 6
"""Requests of a list beside its pages: its counts, and sizes of pages that are refused."""


def compare_list(case: Case) -> list[str]:
    """Read a list as far as requests are allowed; gives keys of the lake that it should have had and did not."""
    if case.table.access is Access.LIST:
        extraction = case.extraction()
        read_list(extraction)
        return _absent(case) if extraction.completeness.complete else []
    listed = _listed(case.table)
    extraction = replace(case.extraction(), table=listed)
    answer, size, _ = first_answer(extraction.api, listed, listed.per_page)
    page = page_of(answer, listed, 1)
    case.seen.add(page)
    total = json_integer(answer.fields.get("total_count"))
    per_page = json_integer(answer.fields.get("per_page")) or _per_page(pages_of(answer)) or max(1, len(page.records))
    rows = total if total is not None else len(case.index.rows)
    pages = -(-rows // per_page)
    case.windows += total is not None
    longest = listed is not case.table and rows > _LONGEST_LIST
    if not longest and pages + _COUNTS + _kept_back(case) <= case.allowance.left:
        return _read_whole(case, extraction)
    _read_some(case, extraction, size, pages)
    case.notes.append(
        f"{case.table.name}: a list of {pages:,} pages is compared in part: its first ones, and records drawn at random"
    )
    case.ask(_drawn(case))
    return []


def _listed(table: Table) -> Table:
    """The table as a list by page number."""
    if table.access is not Access.SCROLL:
        return table
    return replace(table, access=Access.PAGES, path=table.list_path, list_path="")


def _per_page(pages: dict[str, object]) -> int | None:
    size = pages.get("per_page")
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def _kept_back(case: Case) -> int:
    return FOR_ADDRESSES if case.table.record_path else 0


def _read_whole(case: Case, extraction: Extraction) -> list[str]:
    try:
        read_page_numbers(extraction)
    except RequestsSpentError:
        case.notes.append(f"{case.table.name}: the list changed while it was read, and requests for it are spent")
        return []
    if not extraction.completeness.complete or extraction.completeness.missing:
        case.notes += extraction.completeness.notes
        return []
    return _absent(case)


def _read_some(case: Case, extraction: Extraction, size: int | None, pages: int) -> None:
    """Read the first pages, with a quarter of what is allowed."""
    some = range(2, 2 + min(pages - 1, case.allowance.left // 4))
    table = extraction.table

    def read(number: int) -> None:
        try:
            answer = extraction.api.get(table.path, page_params(table, {"page": number}, size), expect=table.records_at)
        except RequestRejectedError as refused:
            if refused.status != 400:
                raise
            return
        case.seen.add(page_of(answer, table, number))

    extraction.in_parallel([partial(read, number) for number in some])


def _absent(case: Case) -> list[str]:
    seen = flat(case.seen.rows().column(KEY))
    keys = case.index.keys
    return [str(key) for key in keys.filter(pc.invert(pc.is_in(keys, value_set=seen))).to_pylist()]


def _drawn(case: Case) -> list[str]:
    places = random.Random(case.limits.seed).sample(
        range(len(case.index.rows)), min(case.limits.sample, len(case.index.rows))
    )
    return [str(key) for key in case.index.keys.take(pa.array(places, pa.int64())).to_pylist()]
