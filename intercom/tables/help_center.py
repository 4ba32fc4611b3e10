"""What the help center shows: articles."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import Kind, TableSchema, columns
from intercom.tables.table import Access, Strategy, Table

ARTICLES: Final = Table(
    name="articles",
    path="/articles",
    access=Access.PAGES,
    records_key="data",
    schema=TableSchema(
        # Component `article_list_item`. updated_at is that of the default language; statistics only come with
        # one article.
        fields=(
            *columns(Kind.STRING, "type id workspace_id title description body"),
            *columns(Kind.INT, "author_id"),
            *columns(Kind.STRING, "state"),
            *columns(Kind.TIMESTAMP, "created_at updated_at"),
            *columns(Kind.STRING, "url"),
            *columns(Kind.INT, "parent_id"),
            *columns(Kind.JSON, "parent_ids"),
            *columns(Kind.STRING, "parent_type default_locale"),
            *columns(Kind.JSON, "translated_content tags statistics"),
        ),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/articles/",
    record_omits=("statistics",),
    scope="read and list articles",
)
