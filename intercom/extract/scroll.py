"""Reads companies by the scroll API: it returns all companies, cannot go back, and allows one scroll per workspace.

Source of the API facts: Intercom REST API reference 2.14, "Scroll over all companies", "List all companies", and what
their users report.
"""

from __future__ import annotations

import logging

import msgspec

from intercom.api.client import TableClient
from intercom.api.response import Answer
from intercom.errors import ApiError, FatalApiError, PermissionDeniedError, RetriableApiError
from intercom.extract.distinct_keys import DistinctKeys
from intercom.extract.extraction import Extraction
from intercom.extract.pages import json_integer, page_of
from intercom.extract.scroll_coverage import ScrollCoverage
from intercom.normalise.coerce import UNREADABLE
from intercom.tables.table import Table

log = logging.getLogger(__name__)

OPEN_WAITS_SECONDS = (3, 5, 10, 20, 30)
"""Pauses before asking again while another scroll is open; it dies a minute after its last use."""
RESTART_WAITS_SECONDS = (0, 5, 15, 30)
"""Pauses before another scroll, where one was not enough; longer each time, as the server may be in trouble."""
LOST_PAGE_WAITS_SECONDS = (1, 5, 15)
"""Pauses after consecutive lost pages; their sum is well below the minute after which an unused scroll expires."""
_SHORT_SCROLLS = 2
_COUNTS_AFTERWARDS = 2


class _ScrollLostError(Exception):
    """The open scroll cannot be read on; its rows so far are valid, the rest is unknown."""


def read_scroll(extraction: Extraction) -> None:
    """Deliver every company: from one scroll without a gap, or from several that fill each other's gaps.

    A scroll that is lost on the way (a 500, a token that expired) ends in a gap. A page that was lost (a 502, an answer
    that did not arrive) leaves a gap, too, and the same scroll is read on. Rows of further scrolls come twice, which
    the merge removes. A scroll's end is believed only if at least as many companies came as the list API counts. The
    list leaves out companies without users, so its count is a lower bound. If fewer came, everything is read once more;
    if that is short as well, `completeness` gets the shortfall.

    Raises RetriableApiError when five scrolls have left a gap, when a scroll brings the same companies again and again,
    or when another scroll stays open for more than a minute.
    """
    api, table = extraction.api, extraction.table
    coverage, short, nulls = ScrollCoverage(), 0, 0
    with api.scroll_lock:  # a second scroll of this process would only be refused
        floor = _counted(api, table)
        for pause in (*RESTART_WAITS_SECONDS, None):
            try:
                nulls = max(nulls, _one_scroll(extraction, coverage))
            except _ScrollLostError as lost:
                log.warning("%s: the scroll was lost: %s", table.name, lost)
            if coverage.whole:
                served = coverage.found + (nulls if nulls <= coverage.found else 0)
                if served < floor:
                    floor = min(floor, max(_counted(api, table) for _ in range(_COUNTS_AFTERWARDS)))
                if served >= floor:
                    extraction.completeness.found(coverage.found)
                    return
                log.warning("%s: the list counts %d, scrolls gave %d", table.name, floor, coverage.found)
                short += 1
                if short == _SHORT_SCROLLS:
                    extraction.completeness.short(extraction.what, floor, coverage.found, short)
                    return
                coverage.distrust()
            if pause:
                api.sleep(pause)
    raise RetriableApiError(
        f"{extraction.what}: {len(RESTART_WAITS_SECONDS) + 1} scrolls over all companies ended early or lost "
        "pages that no other one had. Run again later; what was read is not committed and the watermark has not moved."
    )


def _counted(api: TableClient, table: Table) -> int:
    """Companies that the list counts, those without users left out; 0 where there is no such list for this token."""
    try:
        answer = api.get(table.list_path, {"per_page": 1}, expect=table.records_at)
    except FatalApiError as error:
        log.info("%s: the scroll cannot be compared with the list's count: %s", table.name, error)
        return 0
    return json_integer(answer.fields.get("total_count")) or 0


def _one_scroll(extraction: Extraction, coverage: ScrollCoverage) -> int:
    """Pages until the end; gives the number of null elements, which the list's count may hold and which are no rows.

    An empty page is the end only when the next request says so, too: by 404 or another one.
    """
    api, table = extraction.api, extraction.table
    answer: Answer | None = _open(extraction)
    coverage.begin()
    seen = DistinctKeys(extraction.what)
    number, token, empty, nulls = 0, None, 0, 0
    while answer is not None:
        number, token = number + 1, _token(answer, token)
        page = page_of(answer, table, number)
        keys = seen.add(page)
        extraction.deliver(page)
        nulls += page.nulls
        empty = 0 if keys or page.nulls else empty + 1
        if empty:
            coverage.empty()
        else:
            coverage.add(keys)
        if empty == 2 or (empty and token is None):
            break
        if token is None:
            raise _ScrollLostError(f"the answer has no scroll_param ({page.where})")
        answer = _following(api, table, token, coverage, after_empty=bool(empty))
    coverage.end()
    return nulls


def _open(extraction: Extraction) -> Answer:
    """The first page; while another scroll is open it is asked for again for a little over a minute."""
    api, table = extraction.api, extraction.table
    for pause in (*OPEN_WAITS_SECONDS, None):
        try:
            return api.get(table.path, expect=table.records_at)
        except ApiError as error:
            if not _another_is_open(error):
                raise
            if pause is None:
                raise RetriableApiError(
                    f"{extraction.what}: another scroll over the companies of this workspace has been open for over "
                    f"{sum(OPEN_WAITS_SECONDS)} s (request {error.request_id}). Let the other program end, then run "
                    "again; nothing was committed and the watermark has not moved.",
                    status=error.status,
                    code=error.code,
                    request_id=error.request_id,
                ) from error
            log.info("%s: another scroll is open, asking again in %d s", table.name, pause)
            api.sleep(pause)
    raise AssertionError("unreachable")


def _another_is_open(error: ApiError) -> bool:
    """Whether a scroll was refused because of another one; some answers have only the message, without its code."""
    refused = isinstance(error, FatalApiError) and not isinstance(error, PermissionDeniedError)
    return refused and (error.code == "scroll_exists" or "scroll already exists" in str(error).lower())


def _following(
    api: TableClient, table: Table, token: str, coverage: ScrollCoverage, *, after_empty: bool
) -> Answer | None:
    """The next page that arrives, None where a 404 is the clean end; pages lost before it are a gap.

    A page is asked for once: the server may have moved on although its answer was lost, and asking again would skip
    a page unseen. Only a 429 is repeated (by the client), since it was never executed. The token usually stays the
    same, so a repeated token is no end.
    """
    for pause in (*LOST_PAGE_WAITS_SECONDS, None):
        try:
            return api.get(table.path, {"scroll_param": token}, expect=table.records_at, once=True)
        except PermissionDeniedError:
            raise
        except RetriableApiError as error:
            # A 500 ends the scroll itself. After an empty page nothing but an answer tells what the page was.
            if after_empty or pause is None or error.status in (429, 500):
                raise _ScrollLostError(f"{error} (status {error.status})") from error
            log.warning("%s: a page of the scroll was lost, reading on: %s", table.name, error)
            coverage.gap()
            api.sleep(pause)
        except ApiError as error:
            if error.status != 404:
                raise
            if after_empty:
                return None
            raise _ScrollLostError(f"the scroll has expired (request {error.request_id})") from error
    raise AssertionError("unreachable")


def _token(answer: Answer, previous: str | None) -> str | None:
    try:
        value = msgspec.json.decode(answer.fields.get("scroll_param", b"null"))
    except UNREADABLE:
        value = None
    return value if isinstance(value, str) and value else previous
