"""The endpoint of a log: entries between two times, by pages that name the next one as a URL."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode
from zlib import crc32

from intercom.sandbox.answers import Answer, Refusal, list_answer
from intercom.sandbox.kinds import Call
from intercom.sandbox.listing import Numbered, Params, whole_number

AFTER, BEFORE = "created_at_after", "created_at_before"
LINK = "view"


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEndpoint:
    """A table that is asked for by the time of creation; `Options.log` says how it answers."""

    method: ClassVar[Literal["GET"]] = "GET"
    path: str
    table: str
    kind: str
    records_key: str

    def answer(self, call: Call) -> Answer:
        options, params = call.workspace.options.log, call.params
        after, before = _second(params, AFTER), _second(params, BEFORE)
        if after is None:
            raise Refusal(400, f"{AFTER} is required", "parameter_not_found", AFTER)
        oldest = [0 if options.oldest is None else options.oldest]
        if options.oldest_seconds is not None:
            oldest.append(call.workspace.now() - options.oldest_seconds)
        if after < max(oldest):
            raise Refusal(400, f"{AFTER} is too long ago", "parameter_invalid", AFTER)
        number = whole_number(params, "page", 1)
        if number > 1 and options.needs_link and params.get(LINK) != _view(params):
            raise Refusal(400, "The link to this page is incomplete", "parameter_invalid", LINK)
        keys = self._keys(call, after, before)
        page = Numbered(self.path, number, options.per_page, len(keys))
        body = list_answer(
            self.kind,
            self.records_key,
            call.workspace.tables[self.table].bodies(page.of(keys)),
            {"pages": self._pages(call, page)},
        )
        if options.arriving:
            options.arriving -= 1
            call.workspace.create(self.table)
        return body

    def _keys(self, call: Call, after: int, before: int | None) -> list[str]:
        options, order = call.workspace.options.log, call.workspace.tables[self.table].order("created_at")
        first = bisect_left(order, after if options.inclusive else after + 1, key=_time)
        end = len(order)
        if before is not None:
            end = (bisect_right if options.inclusive else bisect_left)(order, before, key=_time)
        keys = [key for _, _, key in order[first:end]]
        return keys[::-1] if options.newest_first else keys

    def _pages(self, call: Call, page: Numbered) -> dict[str, Any]:
        options = call.workspace.options.log
        following = page.following(options.following)
        number = page.number if page.number == options.repeats else page.number + 1
        if isinstance(following.get("next"), str):
            query = {**call.params, "page": number, "per_page": page.per_page, LINK: _view(call.params)}
            following = {"next": f"https://api.intercom.io{self.path}?{urlencode(query)}"}
        totals = {"total_pages": page.total_pages} if options.totals else {}
        return page.place() | totals | following


def _time(place: tuple[int, Any, str]) -> int:
    return int(place[1])


def _view(params: Params) -> str:
    return f"{crc32(str([params.get(AFTER), params.get(BEFORE)]).encode()):08x}"


def _second(params: Params, name: str) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise Refusal(400, f"{name} must be a unix timestamp", "parameter_invalid", name)
    return int(text)
