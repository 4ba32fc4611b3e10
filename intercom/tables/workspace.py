"""Small lists of a workspace: tags, segments, admins, teams, data attributes, reasons to be away."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import ColumnKind, TableSchema, columns
from intercom.tables.table import Access, Selection, Strategy, Table

TAGS: Final = Table(
    name="tags",
    path="/tags",
    access=Access.LIST,
    records_at=("data",),
    schema=TableSchema(
        # Component `tag`. The list of tags does not have applied_at and applied_by.
        fields=(
            *columns(ColumnKind.STRING, "type id name"),
            *columns(ColumnKind.TIMESTAMP, "applied_at"),
            *columns(ColumnKind.JSON, "applied_by"),
        ),
    ),
    strategy=Strategy.REPLACE,
    scope="read tags",
)


SEGMENTS: Final = Table(
    name="segments",
    path="/segments",
    access=Access.LIST,
    records_at=("segments",),
    schema=TableSchema(
        # Component `segment`. count is only sent with include_count=true.
        fields=(
            *columns(ColumnKind.STRING, "type id name"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
            *columns(ColumnKind.STRING, "person_type"),
            *columns(ColumnKind.INT, "count"),
        ),
    ),
    strategy=Strategy.REPLACE,
    scope="read and list users and companies",
    requests=({"include_count": "true"},),
)


ADMINS: Final = Table(
    name="admins",
    path="/admins",
    access=Access.LIST,
    records_at=("admins",),
    schema=TableSchema(
        # Component `admin`. avatar is a URL there and an object in older records. away_status_reason_id is sent as a
        # number; null means that there is no reason. team_ids are numbers, as sent; teams.id is a string.
        fields=(
            *columns(ColumnKind.STRING, "type id name email job_title"),
            *columns(ColumnKind.BOOL, "away_mode_enabled away_mode_reassign"),
            *columns(ColumnKind.REFERENCE, "away_status_reason_id"),
            *columns(ColumnKind.BOOL, "has_inbox_seat"),
            *columns(ColumnKind.JSON, "team_ids avatar team_priority_level"),
        ),
    ),
    strategy=Strategy.REPLACE,
    scope="read admins",
)


TEAMS: Final = Table(
    name="teams",
    path="/teams",
    access=Access.LIST,
    records_at=("teams",),
    schema=TableSchema(
        # Component `team`. admin_ids are numbers, as sent; admins.id is a string.
        fields=(
            *columns(ColumnKind.STRING, "type id name"),
            *columns(ColumnKind.JSON, "admin_ids admin_priority_level"),
            *columns(ColumnKind.INT, "assignment_limit"),
            *columns(ColumnKind.STRING, "distribution_method"),
        ),
    ),
    strategy=Strategy.REPLACE,
    scope="read admins",
)


DATA_ATTRIBUTES: Final = Table(
    name="data_attributes",
    path="/data_attributes",
    access=Access.LIST,
    records_at=("data",),
    schema=TableSchema(
        # Component `data_attribute`. Built-in attributes have no id and no times.
        fields=(
            *columns(ColumnKind.STRING, "type"),
            *columns(ColumnKind.INT, "id"),  # a number, and nothing refers to it
            *columns(ColumnKind.STRING, "model name full_name label description data_type"),
            *columns(ColumnKind.JSON, "options"),
            *columns(ColumnKind.BOOL, "api_writable messenger_writable ui_writable custom archived"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
            *columns(ColumnKind.REFERENCE, "admin_id"),
        ),
    ),
    # Contacts and companies both have a `name`, a `created_at`, ...; an archived attribute may share even
    # model and name with a live one, so rows are not dropped by this key alone, without comparing the id.
    primary_key=("model", "name"),
    required=("name",),
    strategy=Strategy.REPLACE,
    scope="read and list users and companies",
    requests=({"model": "contact"}, {"model": "company"}, {"model": "conversation"}),
    carries=("model",),
)


AWAY_STATUS_REASONS: Final = Table(
    name="away_status_reasons",
    path="/away_status_reasons",
    access=Access.LIST,
    records_at=("data",),
    schema=TableSchema(
        # Component `away_status_reason`. Deleted ones are listed too.
        fields=(
            *columns(ColumnKind.STRING, "type id label emoji"),
            *columns(ColumnKind.INT, "order"),
            *columns(ColumnKind.BOOL, "deleted"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
        ),
    ),
    strategy=Strategy.REPLACE,
    scope="read admins",
    selection=Selection.ALL,
    optional=True,
)
