"""What a workspace tells its contacts: news items, newsfeeds, and the subscriptions that they can leave.

A list of a newsfeed's items is not compared with the newsfeed: an item may be in several, and that the ids in its
`newsfeed_assignments` are those of `newsfeeds` is not documented. Each run reads all of them anew, and asks twice
before a row goes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from intercom.tables.schema import EACH, Column, ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Parent, Selection, Strategy, Table

NEWS_ITEMS: Final = Table(
    name="news_items",
    path="/news/news_items",
    access=Access.PAGES,
    records_at=("data",),
    schema=TableSchema(
        # Component `news_item`. labels and reactions may have null elements. newsfeed_id is a number in
        # newsfeed_assignments, newsfeeds.id a string.
        fields=(
            *columns(ColumnKind.STRING, "type id workspace_id title body"),
            *columns(ColumnKind.REFERENCE, "sender_id"),
            *columns(ColumnKind.STRING, "state"),
            *columns(ColumnKind.JSON, "newsfeed_assignments labels"),
            *columns(ColumnKind.STRING, "cover_image_url"),
            *columns(ColumnKind.JSON, "reactions"),
            *columns(ColumnKind.BOOL, "deliver_silently"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
        ),
        flat=(Column("newsfeed_ids", ColumnKind.JSON, ("newsfeed_assignments", EACH, "newsfeed_id")),),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,  # long texts, more of them each month, and each has an updated_at
    record_path="/news/news_items/",
    scope="read and list news items and newsfeeds",
    selection=Selection.ALL,
    optional=True,
)


NEWSFEEDS: Final = Table(
    name="newsfeeds",
    path="/news/newsfeeds",
    access=Access.PAGES,
    records_at=("data",),
    schema=TableSchema(
        # Component `newsfeed`.
        fields=(
            *columns(ColumnKind.STRING, "type id name"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
        ),
    ),
    strategy=Strategy.REPLACE,  # a handful of short rows: one file, which loses what is deleted
    scope="read and list news items and newsfeeds",
    selection=Selection.ALL,
    optional=True,
)


NEWSFEED_ITEMS: Final = Table(
    name="newsfeed_items",
    path="/news/newsfeeds/{key}/items",
    access=Access.CHILD,
    records_at=("data",),
    schema=replace(NEWS_ITEMS.schema, fields=(*columns(ColumnKind.STRING, "newsfeed_id"), *NEWS_ITEMS.schema.fields)),
    primary_key=("newsfeed_id", "id"),  # an item may be in several newsfeeds
    strategy=Strategy.REPLACE,  # every newsfeed is asked for in each run, so what is in none of them goes
    scope="read and list news items and newsfeeds",
    parent=Parent(table=NEWSFEEDS, inherits={"newsfeed_id": "id"}),
    selection=Selection.ALL,
    optional=True,
)


SUBSCRIPTION_TYPES: Final = Table(
    name="subscription_types",
    path="/subscription_types",
    access=Access.LIST,
    records_at=("data",),
    schema=TableSchema(
        # Component `subscription_type`. It has no times.
        fields=(
            *columns(ColumnKind.STRING, "type id state"),
            *columns(ColumnKind.JSON, "default_translation translations"),
            *columns(ColumnKind.STRING, "consent_type"),
            *columns(ColumnKind.JSON, "content_types"),
        ),
        flat=members("default_translation", ColumnKind.STRING, "name description locale"),
    ),
    strategy=Strategy.REPLACE,
    scope="read and list users and companies",
    selection=Selection.ALL,
    optional=True,
)
