"""Articles of the help center."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import ColumnKind, TableSchema, columns
from intercom.tables.table import Access, Strategy, Table

ARTICLES: Final = Table(
    name="articles",
    path="/articles",
    access=Access.PAGES,
    records_at=("data",),
    schema=TableSchema(
        # Component `article_list_item`. updated_at is that of the default language. statistics are only in the answer
        # for a single article.
        fields=(
            *columns(ColumnKind.STRING, "type id workspace_id title description body"),
            *columns(ColumnKind.INT, "author_id"),
            *columns(ColumnKind.STRING, "state"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
            *columns(ColumnKind.STRING, "url"),
            *columns(ColumnKind.INT, "parent_id"),
            *columns(ColumnKind.JSON, "parent_ids"),
            *columns(ColumnKind.STRING, "parent_type default_locale"),
            *columns(ColumnKind.JSON, "translated_content tags statistics"),
        ),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/articles/",
    record_omits=("statistics",),
    scope="read and list articles",
)
