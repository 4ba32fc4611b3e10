"""The help center: its articles and collections, and articles for teammates only."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import ColumnKind, TableSchema, columns
from intercom.tables.table import Access, Selection, Strategy, Table

ARTICLES: Final = Table(
    name="articles",
    path="/articles",
    access=Access.PAGES,
    records_at=("data",),
    schema=TableSchema(
        # Component `article_list_item`. updated_at is that of the default language. author_id and parent_id are sent as
        # numbers. An article without a collection or section has the parent_id null. statistics are only in the answer
        # for a single article. Observed only: content_id.
        fields=(
            *columns(ColumnKind.STRING, "type id workspace_id title description body"),
            *columns(ColumnKind.REFERENCE, "author_id"),
            *columns(ColumnKind.STRING, "state"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
            *columns(ColumnKind.STRING, "url"),
            *columns(ColumnKind.REFERENCE, "parent_id"),
            *columns(ColumnKind.JSON, "parent_ids"),
            *columns(ColumnKind.STRING, "parent_type default_locale"),
            *columns(ColumnKind.JSON, "translated_content tags statistics"),
            *columns(ColumnKind.REFERENCE, "content_id"),
        ),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/articles/",
    record_omits=("statistics",),
    scope="read and list articles",
)


COLLECTIONS: Final = Table(
    name="collections",
    path="/help_center/collections",
    access=Access.PAGES,
    records_at=("data",),
    schema=TableSchema(
        # Component `collection`. updated_at is that of the default language. The examples have no type.
        fields=(
            *columns(ColumnKind.STRING, "id workspace_id name description"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
            *columns(ColumnKind.STRING, "url icon"),
            *columns(ColumnKind.INT, "order"),
            *columns(ColumnKind.STRING, "default_locale"),
            *columns(ColumnKind.JSON, "translated_content"),
            *columns(ColumnKind.REFERENCE, "parent_id help_center_id"),
        ),
    ),
    # Each has an updated_at, but they are few and short: one file instead of one for each month, which loses what is
    # deleted, so that a tree of collections has no branches that are gone.
    strategy=Strategy.REPLACE,
    scope="read and list articles",
    selection=Selection.ALL,
    optional=True,
)


HELP_CENTERS: Final = Table(
    name="help_centers",
    path="/help_center/help_centers",
    access=Access.PAGES,  # the list's description has no `pages`: whatever more pages there may be are asked for
    records_at=("data",),
    schema=TableSchema(
        # Component `help_center`. url and custom_domain are only in the description's examples.
        fields=(
            *columns(ColumnKind.STRING, "type id workspace_id"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
            *columns(ColumnKind.STRING, "identifier"),
            *columns(ColumnKind.BOOL, "website_turned_on"),
            *columns(ColumnKind.STRING, "display_name url custom_domain"),
        ),
    ),
    strategy=Strategy.REPLACE,  # a handful of rows
    scope="read and list articles",
    selection=Selection.ALL,
    optional=True,
)


INTERNAL_ARTICLES: Final = Table(
    name="internal_articles",
    path="/internal_articles",
    access=Access.PAGES,
    records_at=("data",),
    schema=TableSchema(
        # Component `internal_article_list_item`.
        fields=(
            *columns(ColumnKind.STRING, "type id title body"),
            *columns(ColumnKind.REFERENCE, "owner_id author_id"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
            *columns(ColumnKind.STRING, "locale"),
        ),
    ),
    # The component has both times, the examples have neither: they cannot be relied upon for a merge.
    strategy=Strategy.REPLACE,
    scope="read and list articles",
    selection=Selection.ALL,
    optional=True,
)
