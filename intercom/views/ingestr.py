"""The tables that ingestr writes for Intercom, as views.

Source of the names: bruin-data/ingestr 1.1, its Intercom source. It writes records as they are sent, with times in
seconds, and takes some members out of nested objects; so does `_as_sent` with the declared fields of a table.
"""

from __future__ import annotations

from typing import Final

from intercom.tables.catalogue import TABLES
from intercom.tables.schema import ColumnKind
from intercom.views.definition import KINDS, Kind, View, ViewColumn, ViewSet, same

_SENT_AS_NUMBERS: Final = frozenset(
    ("owner_id", "admin_assignee_id", "team_assignee_id", "author_id", "parent_id", "away_status_reason_id")
)
"""References that Intercom sends as numbers, and that a lake may have as text."""

_EMPTY_IF_LEFT_OUT: Final = {"contacts", "companies"}
"""Tables where ingestr writes ``{}`` for a record without custom attributes."""


def _as_sent(table: str, without: str = "", taken_out: tuple[ViewColumn, ...] = ()) -> View:
    """A table's fields but for those whose members are taken out of them, and these members."""
    columns = []
    for field in TABLES[table].schema.fields:
        if field.name == without:
            continue
        as_number = field.kind is ColumnKind.TIMESTAMP or field.name in _SENT_AS_NUMBERS
        kind = Kind.NUMBER if as_number else KINDS[field.kind.arrow]
        empty = field.name == "custom_attributes" and table in _EMPTY_IF_LEFT_OUT
        source = f"coalesce({{{field.name}}}, '{{}}')" if empty else ""
        columns.append(ViewColumn(field.name, kind, source))
    return View(table, table, (*columns, *taken_out))


INGESTR: Final = ViewSet(
    title="the tables that ingestr writes",
    views=(
        _as_sent(
            "contacts",
            without="location",
            taken_out=(
                *same(Kind.TEXT, "location_country location_region location_city company_ids"),
                *same(Kind.NUMBER, "companies_count"),
            ),
        ),
        _as_sent("companies", without="plan", taken_out=same(Kind.TEXT, "plan_id plan_name")),
        _as_sent(
            "conversations",
            without="statistics",
            taken_out=(
                *(
                    ViewColumn(name, Kind.NUMBER, f"{{statistics_{name}}}")
                    for name in (
                        "first_contact_reply_at",
                        "first_admin_reply_at",
                        "last_contact_reply_at",
                        "last_admin_reply_at",
                    )
                ),
                ViewColumn("median_admin_reply_time", Kind.NUMBER, "CAST(NULL AS BIGINT)"),
                ViewColumn("mean_admin_reply_time", Kind.NUMBER, "CAST(NULL AS BIGINT)"),
            ),
        ),
        *map(_as_sent, ("articles", "tags", "segments", "admins", "teams", "data_attributes")),
    ),
    differs=(
        "Members that Intercom adds later: ingestr makes a column of each; the lake has them in _extra, as JSON, until "
        "they are declared.",
        "median_admin_reply_time, mean_admin_reply_time: null, as ingestr writes them, because Intercom has no such "
        "members. The lake's statistics_median_time_to_reply is the nearest.",
        "conversation_parts_count: left out, because Intercom sends no parts in a search. The lake's "
        "statistics_count_conversation_parts is the nearest.",
        "Nested objects and lists are JSON as text. monthly_spend is a decimal number.",
    ),
)
