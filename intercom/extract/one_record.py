"""Asks for one record of a table, without reading the table: may the token read it, how many are there, is this one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

from intercom.api.client import TableClient
from intercom.api.response import Answer
from intercom.errors import FatalApiError, RequestRejectedError
from intercom.extract.asked_key import another_record, key_of_record
from intercom.extract.cursor_pages import CursorSearch, FirstPage, first_row, range_query
from intercom.extract.log_pages import ask_log
from intercom.extract.page_size import first_answer
from intercom.extract.pages import Page, json_integer, page_of
from intercom.extract.windows import Bounds
from intercom.normalise.coerce import coerce, epoch_seconds
from intercom.normalise.records import NO_JSON, Record, Rejected
from intercom.tables.schema import ColumnKind
from intercom.tables.table import Access, Table


def count_by_one_record(api: TableClient, table: Table) -> int | None:
    """Ask for one record, at the address that a run reads; gives the rows that Intercom counts, None if it does not.

    A table that is read by a scroll is asked for at its `list_path`: a scroll of a run under way stays as it is. A list
    without pages has no smaller answer than the whole; each of its requests is sent, since any may be refused. Raises
    ApiError.
    """
    match table.access:
        case Access.SEARCH:
            return _newest(api, table).counted
        case Access.PAGES:
            answer, _, _ = first_answer(api, table, 1)
            return json_integer(answer.fields.get("total_count"))
        case Access.SCROLL:
            return _counted(api, table, table.list_path, {"per_page": 1})
        case Access.LIST:
            return sum(_rows(api, table, params) for params in table.requests)
        case Access.CHILD:
            _ask_for_children(api, table)
            return None
        case Access.TIME_LOG:
            return _rows_of_log(api, table)
        case Access.DERIVED:
            raise ValueError(f"Table {table.name!r} is made from rows in the lake: there is nothing to ask for.")


def _newest(api: TableClient, table: Table) -> FirstPage:
    field = str(table.cursor_field)
    return first_row(api, table, CursorSearch(table.name, range_query(field, Bounds(0, None)), field, "descending"))


def _ask_for_children(api: TableClient, table: Table) -> None:
    """Ask for the children of one parent, where there is a parent; 404 says that it has gone meanwhile."""
    assert table.parent is not None
    parent = table.parent.table
    for record in _first(api, parent):
        key = coerce(ColumnKind.STRING, bytes(record[table.parent.key]))
        path = table.path.replace("{key}", quote(str(key), safe=""))
        try:
            api.get(path, table.requests[0], expect=table.records_at)
        except FatalApiError as error:
            if error.status != 404:
                raise


def _first(api: TableClient, table: Table) -> list[Record]:
    """The first record of a table that is the parent of others; none if it has no records."""
    if table.access is Access.SEARCH:
        return _newest(api, table).page.records[:1]
    if table.access is Access.PAGES:
        answer, _, _ = first_answer(api, table, 1)
    else:
        path, params = table.list_path or table.path, {**table.requests[0], "per_page": 1}
        answer = api.get(path, params, expect=table.records_at)
    return page_of(answer, table, 1).records[:1]


def _rows_of_log(api: TableClient, table: Table) -> int | None:
    """The rows of a log, up to a page too many; None where it does not count, or refuses a question about all of it."""
    try:
        return ask_log(api, table, Bounds(0, None)).rows
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        return None


def _counted(api: TableClient, table: Table, path: str, params: Mapping[str, str | int]) -> int | None:
    return json_integer(api.get(path, params, expect=table.records_at).fields.get("total_count"))


def _rows(api: TableClient, table: Table, params: Mapping[str, str | int]) -> int:
    return len(page_of(api.get(table.path, params, expect=table.records_at), table, 1).records)


def ask_record(api: TableClient, table: Table, key: str) -> Page | FatalApiError | None:
    """The record of this key at its own address, as a page; None where there is none.

    An answer with the record of another key is asked for again, as any that is broken. If it is one of a table that
    `merges`, and the other record is there by its own address, the two were merged, and this one is gone.

    A refusal is given back and not raised, and so is an answer that is no record. The page has no record where the
    answer is one that cannot be a row. Raises RetriableApiError.
    """
    try:
        answer = _own_record(api, table, key)
    except FatalApiError as error:
        return None if error.status == 404 else error
    if answer is None:
        return None
    if key_of_record(table, answer) is None:
        return no_record(table, answer)
    members = {member: value for member, value in answer.fields.items() if member not in table.record_omits}
    if answer.elements is not None:
        return Page(1, answer.request_id, [], rejected=tuple(Rejected(text, NO_JSON) for text in answer.elements))
    newest = epoch_seconds(members.get(table.cursor_field)) if table.cursor_field else None
    return Page(1, answer.request_id, [members], sum(len(bytes(value)) for value in members.values()), newest=newest)


def _own_record(api: TableClient, table: Table, key: str) -> Answer | None:
    """The answer of a record's address, which has that record or none; None where it was merged into another one.

    Intercom documents 404 for a merged contact, and not this answer; so it is believed only if both addresses agree.
    """
    if table.merges:
        answer = api.get(_address(table, key))
        other = key_of_record(table, answer)
        if other in (None, key):
            return answer
        if _is_there(api, table, str(other)) and key_of_record(table, api.get(_address(table, key))) == other:
            return None
    return api.get(_address(table, key), mismatch=partial(another_record, table, key))


def _is_there(api: TableClient, table: Table, key: str) -> bool:
    """Whether an address answers with its own record."""
    try:
        return key_of_record(table, api.get(_address(table, key))) == key
    except FatalApiError as error:
        if error.status != 404:
            raise
        return False


def _address(table: Table, key: str) -> str:
    return f"{table.record_path}{quote(key, safe='')}"


def no_record(table: Table, answer: Answer) -> FatalApiError:
    """The refusal that an answer without a key counts as: whether the record is there, it does not say."""
    return FatalApiError(
        f"{table.name}: the address of a single record has answered, but not with a record (request "
        f"{answer.request_id}). Nothing is known of this record",
        request_id=answer.request_id,
    )
