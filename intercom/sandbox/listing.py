"""Lists by page number: which records a page has, and how it links to the next page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlencode

from intercom.sandbox.answers import Refusal

Params = Mapping[str, str]
Following = Literal["object", "string", "null", "absent", "always"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Numbered:
    """One page of a list of ``total`` records; numbers count from 1."""

    path: str
    number: int
    per_page: int
    total: int

    @property
    def total_pages(self) -> int:
        return math.ceil(self.total / self.per_page)

    def of(self, records: Sequence[T]) -> Sequence[T]:
        """The page's part of all records."""
        return records[(self.number - 1) * self.per_page : self.number * self.per_page]

    def place(self) -> dict[str, Any]:
        """The ``pages`` object without ``next`` and ``total_pages``."""
        return {"type": "pages", "page": self.number, "per_page": self.per_page}

    def following(self, form: Following) -> dict[str, Any]:
        """The member ``next`` in one of the forms that users have seen, or no member.

        "always" names a next page, also after the last one.
        """
        if form == "absent":
            return {}
        if form == "null" or (self.number >= self.total_pages and form != "always"):
            return {"next": None}
        following = {"page": self.number + 1, "per_page": self.per_page}
        if form in ("object", "always"):
            return {"next": following | {"starting_after": None}}
        query = urlencode({"per_page": self.per_page, "page": self.number + 1})
        return {"next": f"https://api.intercom.io{self.path}?{query}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Paging:
    """How a list by page number answers.

    A page has ``per_page`` records, or as many as are asked for, but ``most`` at most; None means all of them. More is
    cut down or refused. ``refused`` are parameters that are refused whatever their value. Unless ``honoured``, the
    number asked for is ignored, and the first page is served. ``following`` is the form of ``next``. Unless
    ``totals``, the answer has neither ``total_count`` nor ``total_pages``; unless ``pages``, it has no ``pages``.
    """

    per_page: int | None = 25
    most: int = 150
    over_most: Literal["clamp", "refuse"] = "clamp"
    refused: tuple[str, ...] = ()
    honoured: bool = True
    following: Following = "object"
    totals: bool = True
    pages: bool = True

    def size(self, params: Params, total: int) -> int:
        """Records of a page; raises Refusal 400 if what is asked for is refused."""
        for name in self.refused:
            if name in params:
                raise Refusal(400, f"{name} is not supported", "parameter_invalid", name)
        if self.per_page is None:
            return max(total, 1)
        size = whole_number(params, "per_page", self.per_page)
        if size > self.most and self.over_most == "refuse":
            raise Refusal(400, f"per_page must be {self.most} at most", "parameter_invalid", "per_page")
        return min(size, self.most)

    def described(self, page: Numbered) -> dict[str, Any]:
        """The members of the answer beside its records."""
        rest: dict[str, Any] = {}
        if self.pages:
            totals = {"total_pages": page.total_pages} if self.totals else {}
            rest["pages"] = page.place() | totals | page.following(self.following)
        if self.totals:
            rest["total_count"] = page.total
        return rest


PLAIN: Final = Paging()
"""As articles are listed."""


def whole_number(params: Params, name: str, default: int) -> int:
    """A query parameter as a positive whole number; raises Refusal 400 if it is none."""
    text = params.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise Refusal(400, f"{name} must be a positive number", "parameter_invalid", name)
    return int(text)
