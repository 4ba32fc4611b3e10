"""Synthetic records for a workspace, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from intercom.sandbox.records import Record
from intercom.sandbox.seed.articles import article
from intercom.sandbox.seed.companies import company
from intercom.sandbox.seed.contacts import contact
from intercom.sandbox.seed.conversations import conversation
from intercom.sandbox.seed.copies import copied_contacts
from intercom.sandbox.seed.lists import (
    admin,
    built_in_attributes,
    custom_attributes,
    data_attribute,
    segment,
    tag,
    team,
)
from intercom.sandbox.seed.sources import Sources

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many records each table gets; data attributes come with the workspace."""

    contacts: int = 0
    companies: int = 0
    conversations: int = 0
    articles: int = 0
    tags: int = 0
    segments: int = 0
    admins: int = 0
    teams: int = 0


MAKERS: dict[str, Callable[[Sources], Fields]] = {
    "tags": tag,
    "segments": segment,
    "admins": admin,
    "teams": team,
    "companies": company,
    "contacts": contact,
    "conversations": conversation,
    "articles": article,
    "data_attributes": data_attribute,
}


class Seeder:
    """Makes records that refer to each other: tags, admins and companies are remembered for contacts."""

    def __init__(
        self, random: Random, *, now: int, timezone: str, app_id: str, history_days: int, one_day: bool
    ) -> None:
        self._sources = Sources(
            random, now=now, timezone=timezone, app_id=app_id, history_days=history_days, one_day=one_day
        )

    def workspace(self, sizes: Sizes) -> Iterator[tuple[str, Fields]]:
        """All records of a new workspace, table by table."""
        for fields in [*built_in_attributes(), *custom_attributes(self._sources)]:
            yield "data_attributes", fields
        for table, make in MAKERS.items():
            for _ in range(getattr(sizes, table, 0)):
                yield table, make(self._sources)

    def copies(self, contacts: Sequence[Record], count: int) -> Iterator[Record]:
        """More contacts, much like these."""
        return copied_contacts(contacts, count, self._sources)

    def record(self, table: str, now: int) -> Fields:
        """One more record, created and changed at this second where its table has such fields."""
        fields = MAKERS[table](self._sources)
        return fields | {name: now for name in ("created_at", "updated_at") if name in fields}
