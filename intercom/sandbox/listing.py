"""Lists by page number: which records a page has, and how it links to the next page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import urlencode

from intercom.sandbox.answers import Refusal

Params = Mapping[str, str]
Next = dict[str, object]
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

    def place(self) -> Next:
        """The ``pages`` object without ``next`` and ``total_pages``."""
        return {"type": "pages", "page": self.number, "per_page": self.per_page}

    def following(self, form: Literal["object", "string", "null", "absent"]) -> Next:
        """The member ``next`` in one of the forms that users have seen, or no member."""
        if form == "absent":
            return {}
        if form == "null" or self.number >= self.total_pages:
            return {"next": None}
        following = {"page": self.number + 1, "per_page": self.per_page}
        if form == "object":
            return {"next": following | {"starting_after": None}}
        query = urlencode({"per_page": self.per_page, "page": self.number + 1})
        return {"next": f"https://api.intercom.io{self.path}?{query}"}


def whole_number(params: Params, name: str, default: int) -> int:
    """A query parameter as a positive whole number; raises Refusal 400 if it is none."""
    text = params.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise Refusal(400, f"{name} must be a positive number", "parameter_invalid", name)
    return int(text)
