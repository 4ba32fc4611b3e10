"""Synthetic records for a workspace, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from intercom.sandbox.records import Record
from intercom.sandbox.seed.activity_logs import activity_log
from intercom.sandbox.seed.articles import article
from intercom.sandbox.seed.calls import call
from intercom.sandbox.seed.children import (
    company_segment,
    contact_note,
    contact_segment,
    contact_subscription,
    conversation_part,
    newsfeed_item,
)
from intercom.sandbox.seed.companies import company
from intercom.sandbox.seed.contacts import contact
from intercom.sandbox.seed.conversations import conversation
from intercom.sandbox.seed.copies import copied_contacts
from intercom.sandbox.seed.help_center import collection, help_center, internal_article
from intercom.sandbox.seed.lists import (
    admin,
    away_status_reason,
    built_in_attributes,
    custom_attributes,
    data_attribute,
    segment,
    tag,
    team,
)
from intercom.sandbox.seed.outreach import news_item, newsfeed, subscription_type
from intercom.sandbox.seed.sources import Sources
from intercom.sandbox.seed.tickets import ticket, ticket_state, ticket_type

Fields = dict[str, Any]


Maker = Callable[[Sources], Fields]

_FIRST: Mapping[str, Maker] = {
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
"""Tables that share one sequence of random numbers: a record more of one of them changes the next ones."""
_FURTHER: Mapping[str, Maker] = {
    "away_status_reasons": away_status_reason,
    "ticket_states": ticket_state,
    "ticket_types": ticket_type,
    "tickets": ticket,
    "help_centers": help_center,
    "collections": collection,
    "internal_articles": internal_article,
    "newsfeeds": newsfeed,
    "news_items": news_item,
    "subscription_types": subscription_type,
    "calls": call,
    "activity_logs": activity_log,
    "conversation_parts": conversation_part,
    "contact_notes": contact_note,
    "contact_segments": contact_segment,
    "contact_subscriptions": contact_subscription,
    "company_segments": company_segment,
    "newsfeed_items": newsfeed_item,
}
"""Tables with random numbers of their own, made after the first ones."""

MAKERS: Mapping[str, Maker] = {**_FIRST, **_FURTHER}
"""Every table of the sandbox, in the order in which records are made: those that others refer to come first."""


class Seeder:
    """Makes records that refer to each other: tags, admins and companies are remembered for contacts."""

    def __init__(self, seed: int, *, now: int, timezone: str, app_id: str, history_days: int, one_day: bool) -> None:
        self._sources = Sources(
            Random(seed), now=now, timezone=timezone, app_id=app_id, history_days=history_days, one_day=one_day
        )
        self._further = {table: self._sources.beside(Random(f"{table} {seed}")) for table in _FURTHER}

    def workspace(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, Fields]]:
        """All records of a new workspace, table by table."""
        for fields in [*built_in_attributes(), *custom_attributes(self._sources)]:
            yield "data_attributes", fields
        for table, make in MAKERS.items():
            for _ in range(sizes.get(table, 0)):
                yield table, make(self._of(table))

    def copies(self, contacts: Sequence[Record], count: int) -> Iterator[Record]:
        """More contacts, much like these."""
        return copied_contacts(contacts, count, self._sources)

    def record(self, table: str, now: int) -> Fields:
        """One more record, created and changed at this second where its table has such fields."""
        fields = MAKERS[table](self._of(table))
        return fields | {name: now for name in ("created_at", "updated_at") if name in fields}

    def _of(self, table: str) -> Sources:
        return self._further.get(table, self._sources)
