"""The size of a page of a list by page number: the largest that the server takes, or none.

Few lists document their parameters. One that refuses a size is asked for a smaller one, and then without any parameter.
"""

from __future__ import annotations

from typing import Final

from intercom.api.client import TableClient
from intercom.api.response import Answer
from intercom.errors import RequestRejectedError
from intercom.extract.pages import Params, json_integer, next_params, pages_of
from intercom.tables.table import Table

SMALLER_PER_PAGE: Final = 50
"""Rows per page to ask for when the server refuses more with status 400."""

PageSize = int | None
"""Rows per page; None asks for the server's own size."""


def page_params(table: Table, place: Params, size: PageSize) -> dict[str, str | int]:
    """Query parameters of the page at a place, which is a page number or a cursor."""
    return {**table.requests[0], **({} if size is None else {"per_page": size}), **place}


def first_params(table: Table, size: PageSize) -> dict[str, str | int]:
    """Query parameters of the first page: in the server's own size it is asked for without any."""
    return page_params(table, {} if size is None else {"page": 1}, size)


def first_answer(api: TableClient, table: Table, size: PageSize) -> tuple[Answer, PageSize, int]:
    """The first page; the size that was taken; how many requests were refused before.

    Raises ApiError.
    """
    smaller = (SMALLER_PER_PAGE,) if size is not None and size > SMALLER_PER_PAGE else ()
    sizes = dict.fromkeys((size, *smaller, None))
    for refused, rows in enumerate(sizes):
        try:
            answer = api.get(table.path, first_params(table, rows), expect=table.records_at)
        except RequestRejectedError as error:
            if error.status != 400 or rows is None:
                raise
        else:
            return answer, rows, refused
    raise AssertionError("the last size is None")


def names_more(answer: Answer, rows: int) -> bool:
    """Whether a page of so many rows leaves open that there is a next one.

    It does if it names one. It also does if it has rows, and neither a ``next`` that is null nor a count that they
    reach says that they are the last.
    """
    if next_params(answer):
        return True
    total = json_integer(answer.fields.get("total_count"))
    return rows > 0 and "next" not in pages_of(answer) and (total is None or rows < total)
