"""Tables whose records belong to records of another table and are served below these, most without naming them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intercom.sandbox.records import Record, RecordTable


@dataclass(frozen=True, slots=True)
class ChildOf:
    """The parent's table, and the member of a new record that names its parent, which is not served.

    `counted` is the path of the number of children in the parent's record, if it has one. `shared`: several parents may
    have the record of the same id. `names`: the member of a record that refers to its parent, if it has one.
    """

    table: str
    member: str
    counted: tuple[str, str] | None = None
    shared: bool = False
    names: str = ""


CHILDREN: Mapping[str, ChildOf] = {
    "conversation_parts": ChildOf("conversations", "conversation_id", ("statistics", "count_conversation_parts")),
    "contact_notes": ChildOf("contacts", "contact_id", names="contact"),
    "contact_segments": ChildOf("contacts", "contact_id", shared=True),
    "contact_subscriptions": ChildOf("contacts", "contact_id", shared=True),
    "company_segments": ChildOf("companies", "company_id", shared=True),
    "newsfeed_items": ChildOf("newsfeeds", "newsfeed_id", shared=True),
}


class ChildTable(RecordTable):
    """Records by key, of which each has a parent; those of one parent in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self._parents: dict[str, str] = {}
        self._children: dict[str, dict[str, None]] = {}

    def add(self, record: Record, parent: str) -> None:
        """Add a record of this parent, or replace the one with its key."""
        self.put(record)
        self._parents[record.key] = parent
        self._children.setdefault(parent, {})[record.key] = None

    def remove(self, key: str) -> None:
        super().remove(key)
        del self._children[self._parents.pop(key)][key]

    def parent(self, key: str) -> str:
        """The key of a record's parent."""
        return self._parents[key]

    def of(self, parent: str) -> list[Record]:
        """The records of a parent."""
        return [self[key] for key in self._children.get(parent, ())]
