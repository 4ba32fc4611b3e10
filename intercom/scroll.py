"""The company scroll: every company of a workspace, one open scroll per workspace, no resuming.

Source of the API facts: Intercom REST API reference 2.14, "Scroll over all companies", and what its users report.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import msgspec

from intercom.client import Answer, TableClient
from intercom.errors import ApiError, PermissionDeniedError, RetriableApiError
from intercom.pages import Page, page_of
from intercom.tables import Table

log = logging.getLogger(__name__)

OPEN_WAITS_SECONDS = (3, 5, 10, 20, 30)
"""Pauses before asking again while another scroll is open; it dies a minute after its last use."""
RESTART_WAITS_SECONDS = (0, 5, 15, 30)
"""Pauses before a lost scroll is started anew: at once, then slower, as the server may be in trouble."""


class _ScrollLostError(Exception):
    """The open scroll cannot be read on; its rows so far are valid, the rest is unknown."""


def scroll_pages(api: TableClient, table: Table) -> Iterator[Page]:
    """Every page of a scroll that was read to its end.

    A scroll that is lost on the way (a 500, an answer that did not arrive, a token that expired) is started anew: its
    place cannot be known. Rows then come twice, which the merge removes.

    Raises RetriableApiError when five scrolls were lost, or when another scroll stays open for more than a minute.
    """
    with api.scroll_lock:  # a second scroll of this process would only be refused
        for pause in (*RESTART_WAITS_SECONDS, None):
            try:
                yield from _one_scroll(api, table)
            except _ScrollLostError as lost:
                log.warning("%s: the scroll was lost: %s", table.name, lost)
                if pause:
                    api.sleep(pause)
            else:
                return
    raise RetriableApiError(
        f"{table.name}: {len(RESTART_WAITS_SECONDS) + 1} scrolls over all companies were lost before their end. Run "
        "again later; what was read is not committed and the watermark has not moved."
    )


def _one_scroll(api: TableClient, table: Table) -> Iterator[Page]:
    """Pages until an empty one; an empty first page is believed only after a second look."""
    answer = _open(api, table)
    number, token, empty = 1, _token(answer, None), 0
    while True:
        page = page_of(answer, table, number)
        yield page
        empty = 0 if page.records else empty + 1
        if (empty and number > 1) or (empty and token is None):
            return
        if token is None:
            raise _ScrollLostError("the answer has no scroll_param")
        following = _following(api, table, token, after_empty_first=bool(empty))
        if following is None:
            return
        answer, number, token = following, number + 1, _token(following, token)


def _open(api: TableClient, table: Table) -> Answer:
    """The first page; while another scroll is open it is asked for again for a little over a minute."""
    for pause in (*OPEN_WAITS_SECONDS, None):
        try:
            return api.get(table.path, expect=table.records_key)
        except ApiError as error:
            if error.code != "scroll_exists":
                raise
            if pause is None:
                raise RetriableApiError(
                    f"{table.name}: another scroll over the companies of this workspace has been open for over "
                    f"{sum(OPEN_WAITS_SECONDS)} s (request {error.request_id}). Let the other program end, then run "
                    "again; nothing was committed and the watermark has not moved.",
                    status=error.status,
                    code=error.code,
                    request_id=error.request_id,
                ) from error
            log.info("%s: another scroll is open, asking again in %d s", table.name, pause)
            api.sleep(pause)
    raise AssertionError("unreachable")


def _following(api: TableClient, table: Table, token: str, *, after_empty_first: bool) -> Answer | None:
    """The next page, None where a 404 is the clean end.

    A page is asked for once: the server may have moved on although its answer was lost, and asking again would skip
    a page. Only a 429 is repeated (by the client), since it was never executed. The token usually stays the same, so
    a repeated token is no end.
    """
    try:
        return api.get(table.path, {"scroll_param": token}, expect=table.records_key, once=True)
    except PermissionDeniedError:
        raise
    except RetriableApiError as error:
        raise _ScrollLostError(f"{error} (status {error.status})") from error
    except ApiError as error:
        if error.status != 404:
            raise
        if after_empty_first:
            return None
        raise _ScrollLostError(f"the scroll has expired (request {error.request_id})") from error


def _token(answer: Answer, previous: str | None) -> str | None:
    raw = answer.fields.get("scroll_param")
    value = None if raw is None else msgspec.json.decode(raw)
    return value if isinstance(value, str) and value else previous
