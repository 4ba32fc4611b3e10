"""Answers with the children of one parent: whether they have all of them, and the rows that they make. Pure.

What an answer is compared with are its own ``total_count`` and the number in the parent's record. Both may be wrong, so
an answer that has fewer is repeated before it is believed, and then it removes no row that it could have missed:

    WHOLE     as many as both say: stored children that it lacks are gone
    CUT       as many as the API gives of one parent: older ones may be stored and stay
    FEWER     as many as the answer counts, twice the same ones, but the parent's record says more: as CUT
    SHORT     fewer than the answer itself counts, or two answers differ: nothing stored goes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Self

import msgspec
from msgspec import Raw

from intercom.api.response import Answer
from intercom.extract.pages import Page, json_integer, records_in
from intercom.normalise.coerce import UNREADABLE, coerce, epoch_seconds
from intercom.normalise.records import (
    Record,
    RecordHead,
    Rejected,
    SentRecord,
    members_of,
    object_text,
    text_of,
)
from intercom.tables.owed import OwedParent
from intercom.tables.read_marks import mark_of, own_key
from intercom.tables.schema import ColumnKind
from intercom.tables.table import Parent, Table


class Verdict(Enum):
    """How much of a parent's children an answer has; see this module."""

    WHOLE = "whole"
    CUT = "cut"
    FEWER = "fewer"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class ParentRecord:
    """What is kept of a parent's record: `inherited` by column of the child table, `counted` children, cursor value.

    `digest` differs when the children may differ.
    """

    key: str
    inherited: Mapping[str, Raw]
    counted: int | None
    at: int | None
    digest: bytes

    @classmethod
    def of_owed(cls, owed: OwedParent) -> Self:
        """A parent as an earlier run has kept it."""
        inherited = {column: Raw(text.encode()) for column, text in owed.inherited.items()}
        return cls(owed.key, inherited, owed.counted, owed.at, bytes.fromhex(owed.digest))

    def owed(self, since: int) -> OwedParent:
        """What a later run needs to ask for the children again; `since` is in unix seconds."""
        inherited = {column: bytes(text).decode("utf-8", "replace") for column, text in self.inherited.items()}
        return OwedParent(self.key, inherited, self.counted, self.at, self.digest.hex(), since)


@dataclass(slots=True)
class Children:
    """The children of one parent in the order of the answers, by their raw keys; those that cannot be rows beside them.

    `total` is the answers' own count, None if they have none.
    """

    records: dict[bytes, Record] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    nulls: int = 0
    total: int | None = None
    size: int = 0
    request_id: str | None = None

    @property
    def served(self) -> int:
        """Distinct children, those that cannot be rows included. Null elements count, unless they outnumber them."""
        found = len(self.records) + len(self.rejected)
        return found + (self.nulls if self.nulls <= found else 0)

    def add(self, answer: Answer, table: Table) -> bool:
        """Take in an answer; False when it has brought no child that had not come before."""
        names = own_key(table)
        split, size = records_in(answer, table, _head(names))
        before = self.served
        self.records |= {b"\0".join(bytes(one[name]) for name in names): one for one in split.records}
        self.rejected += split.rejected
        self.nulls += split.nulls
        self.size += size
        self.request_id = answer.request_id
        counted = json_integer(answer.member((*table.records_at[:-1], "total_count")))
        if counted is not None:
            self.total = max(counted, self.total or 0)
        return self.served > before

    def lacks_some(self) -> None:
        """Note that there are more children than the answers had."""
        self.total = max(self.total or 0, self.served + 1)

    def with_those_of(self, earlier: Children) -> Children:
        """These children, and those that only an earlier answer had."""
        return Children(
            {**earlier.records, **self.records},
            list(dict.fromkeys([*earlier.rejected, *self.rejected])),
            max(self.nulls, earlier.nulls),
            self.total,
            self.size + earlier.size,
            self.request_id,
        )


def parent_of(declared: Parent, record: Record, text: Callable[[Record], Raw | bytes] = text_of) -> ParentRecord:
    """What is kept of a record of the parent table; `text` gives the text of which a digest may be kept."""
    cursor = declared.table.cursor_field
    counted = integer_at(record, declared.counted_by)
    at = epoch_seconds(record.get(cursor)) if cursor else None
    # Copies: a member as it is would keep the whole page in memory.
    inherited = {column: Raw(bytes(record.get(member, b"null"))) for column, member in declared.inherits.items()}
    known = b" ".join((b"%a %a" % (at, counted), *map(bytes, inherited.values())))
    version = known if declared.counted_by else bytes(text(record))
    return ParentRecord(
        str(coerce(ColumnKind.STRING, bytes(record[declared.key]))),
        inherited,
        counted,
        at,
        blake2b(version, digest_size=16).digest(),
    )


def judge(table: Table, parent: ParentRecord, children: Children) -> Verdict:
    """How much one answer has, as far as it and the parent's record tell."""
    assert table.parent is not None
    if 0 < table.parent.most <= children.served:
        return Verdict.CUT  # whatever it counts: that may be the number of those served, and the parent's be outdated
    if children.total is not None and children.served < children.total:
        return Verdict.SHORT
    if parent.counted is not None and children.served < parent.counted:
        return Verdict.FEWER
    return Verdict.WHOLE


def page_of_children(table: Table, parent: ParentRecord, children: Children, verdict: Verdict) -> Page:
    """The rows of a parent's children, behind a mark if the verdict allows one.

    There is none beside a child that cannot be a row: the lake may have an earlier version of it, which has to stay.
    """
    rows = [with_members(record, parent.inherited) for record in children.records.values()]
    marked = table.replaces_children and not children.rejected
    mark = _mark(table, parent, children, verdict) if marked else None
    return Page(
        1,
        children.request_id,
        [*([SentRecord(Raw(mark))] if mark else []), *rows],
        children.size + (len(mark) if mark else 0),
        children.nulls,
        tuple(children.rejected),
        newest=parent.at,
        marks=1 if mark else 0,
    )


def _mark(table: Table, parent: ParentRecord, children: Children, verdict: Verdict) -> bytes | None:
    if verdict is Verdict.SHORT:
        return None
    if verdict is Verdict.WHOLE:
        return mark_of(table, parent.key, parent.inherited, None)
    assert table.parent is not None
    oldest = _oldest(children.records.values(), table.parent.cut_by)
    return None if oldest is None else mark_of(table, parent.key, parent.inherited, oldest)


def _oldest(records: Iterable[Record], name: str) -> int | None:
    """The smallest time of the records' member; None where a record lacks it."""
    times = [epoch_seconds(record.get(name)) for record in records] if name else []
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def with_members(record: Record, members: Mapping[str, Raw]) -> SentRecord:
    """A record with more members in front, its own text as sent; a member that it has already gives way."""
    text = bytes(text_of(record))
    if any(msgspec.json.encode(name) in text for name in members):
        own = {name: value for name, value in members_of(record).items() if name not in members}
        return SentRecord(Raw(object_text((*members.items(), *own.items()))))
    head, rest = object_text(members.items())[:-1], text[1:].lstrip()
    return SentRecord(Raw(head + (b"" if rest == b"}" else b",") + rest))


def integer_at(record: Record, path: Sequence[str]) -> int | None:
    """An integer at a path of members; None where there is none."""
    if not path or (text := record.get(path[0])) is None:
        return None
    try:
        value = msgspec.json.decode(text)
    except UNREADABLE:
        return None
    for name in path[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@lru_cache(maxsize=64)
def _head(required: tuple[str, ...]) -> RecordHead:
    return RecordHead(required)
