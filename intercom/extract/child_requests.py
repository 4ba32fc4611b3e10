"""Requests the children of one parent, page by page, and holds each answer against the parent that was asked for."""

from __future__ import annotations

from functools import partial
from threading import Lock
from urllib.parse import quote

from intercom.api.client import TableClient
from intercom.api.response import Answer
from intercom.extract.asked_key import another_parents, parents_named
from intercom.extract.child_answers import Children
from intercom.extract.one_record import ask_record
from intercom.extract.pages import next_params, pages_of, place_of
from intercom.tables.table import Table


class ChildRequests:
    """The requests of one read of a child table. Safe for any number of threads."""

    def __init__(self, table: Table, api: TableClient) -> None:
        assert table.parent is not None
        self._table, self._api, self._declared = table, api, table.parent
        self._lock = Lock()
        self._gone: dict[str, bool] = {}
        """By the key of a parent that an answer has named and that was not asked for: whether it is there no more."""

    def children(self, parent: str, *, once: bool) -> Children:
        """All children that one request, and those that follow from its answers, give.

        With `once` the first failure other than a 429 raises RetriableApiError. Answers that are another parent's are
        such failures. Raises ApiError.
        """
        children, following, places = Children(), dict[str, str | int](), {place_of({"page": 1})}
        number = brought = 0
        while True:
            number += 1
            answer = self._answer(parent, following, once=once)
            more = children.add(answer, self._table)
            brought += more
            # The list of a newsfeed's items names no next page, but counts them.
            total = pages_of(answer).get("total_pages")
            counted = total if isinstance(total, int) else 0
            following = next_params(answer) or ({"page": number + 1} if number < counted else {})
            if not (more and following) or place_of(following) in places:
                if brought < counted > 1:
                    children.lacks_some()
                return children
            places.add(place_of(following))

    def _answer(self, parent: str, following: dict[str, str | int], *, once: bool) -> Answer:
        """The answer for a parent. One that names other parents only is asked for again, as any that is broken.

        The children of a parent that was merged into this one may go on naming it: then it is there no more.
        """
        table = self._table
        path = table.path.replace("{key}", quote(parent, safe=""))
        params = {**table.requests[0], **following}
        ask = partial(self._api.get, path, params, expect=table.records_at, once=once)
        if not self._declared.table.merges or not self._declared.is_named:
            return ask(mismatch=partial(another_parents, table, parent))
        answer = ask()
        if another_parents(table, parent, answer) is None or any(map(self._is_gone, parents_named(table, answer))):
            return answer
        return ask(mismatch=partial(another_parents, table, parent))

    def _is_gone(self, key: str) -> bool:
        """Whether a parent is not found by its own address."""
        with self._lock:
            known = self._gone.get(key)
        if known is None:
            known = ask_record(self._api, self._declared.table, key) is None
            with self._lock:
                self._gone[key] = known
        return known
