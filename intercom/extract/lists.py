"""Small lists: one answer for each of the table's requests, or several where an answer names a next one.

Source of the API facts: Intercom REST API reference 2.14, "Pagination", "List all tags" and its neighbours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from intercom.extract.distinct_keys import DistinctKeys, row_keys
from intercom.extract.extraction import Extraction
from intercom.extract.pages import Page, next_params, page_of, place_of

log = logging.getLogger(__name__)


def read_list(extraction: Extraction) -> None:
    """Deliver every page of each of the table's requests; rows of pages that overlap come more than once.

    A page with a record twice may lack another one, and is asked for once more; what comes then is believed.
    A list normally has one page, but ``pages.next`` is followed if set, until it names a place that was read. Records
    carry the query parameters that the table's ``carries`` names, also where the answer leaves them out.

    Raises RetriableApiError when page after page repeats the rows of those before.
    """
    number = 0
    for params in extraction.table.requests:
        number = _read(extraction, params, number)


def _read(extraction: Extraction, params: Mapping[str, str | int], number: int) -> int:
    """One request and those that follow from its answers; gives the number of the last page."""
    api, table = extraction.api, extraction.table
    filled = {name: msgspec.Raw(msgspec.json.encode(params[name])) for name in table.carries}
    seen, following, places = DistinctKeys(table.name), dict[str, str | int](), {place_of({"page": 1})}
    while True:
        answer = api.get(table.path, {**params, **following}, expect=table.records_at)
        number += 1
        page = page_of(answer, table, number)
        if _repeats(page):
            log.info(
                "%s: page %d has a record twice, and may lack another one; reading it once more", table.name, number
            )
            answer = api.get(table.path, {**params, **following}, expect=table.records_at)
            page = page_of(answer, table, number)
        seen.add(page)
        extraction.deliver(replace(page, records=[{**filled, **record} for record in page.records]))
        following = next_params(answer)
        if not following or place_of(following) in places:
            return number
        places.add(place_of(following))


def _repeats(page: Page) -> bool:
    """Whether a record is on the page twice: one answer overlaps with nothing, so that it is not as it should be."""
    keys = row_keys(page)
    return len(set(keys)) < len(keys)
