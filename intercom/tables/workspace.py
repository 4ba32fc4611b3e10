"""Small lists of a workspace: tags, segments, admins, teams, data attributes."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import Kind, TableSchema, columns
from intercom.tables.table import Access, Strategy, Table

TAGS: Final = Table(
    name="tags",
    path="/tags",
    access=Access.LIST,
    records_key="data",
    schema=TableSchema(
        # Component `tag`. applied_at and applied_by are absent where tags are listed by themselves.
        fields=(
            *columns(Kind.STRING, "type id name"),
            *columns(Kind.TIMESTAMP, "applied_at"),
            *columns(Kind.JSON, "applied_by"),
        ),
    ),
    strategy=Strategy.REPLACE,
    scope="read tags",
)


SEGMENTS: Final = Table(
    name="segments",
    path="/segments",
    access=Access.LIST,
    records_key="segments",
    schema=TableSchema(
        # Component `segment`. count only comes with include_count=true.
        fields=(
            *columns(Kind.STRING, "type id name"),
            *columns(Kind.TIMESTAMP, "created_at updated_at"),
            *columns(Kind.STRING, "person_type"),
            *columns(Kind.INT, "count"),
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
    records_key="admins",
    schema=TableSchema(
        # Component `admin`. avatar is a URL there and an object in older records; team_ids are numbers,
        # teams.id a string.
        fields=(
            *columns(Kind.STRING, "type id name email job_title"),
            *columns(Kind.BOOL, "away_mode_enabled away_mode_reassign"),
            *columns(Kind.INT, "away_status_reason_id"),
            *columns(Kind.BOOL, "has_inbox_seat"),
            *columns(Kind.JSON, "team_ids avatar team_priority_level"),
        ),
    ),
    strategy=Strategy.REPLACE,
    scope="read admins",
)


TEAMS: Final = Table(
    name="teams",
    path="/teams",
    access=Access.LIST,
    records_key="teams",
    schema=TableSchema(
        # Component `team`. admin_ids are numbers, admins.id a string.
        fields=(
            *columns(Kind.STRING, "type id name"),
            *columns(Kind.JSON, "admin_ids admin_priority_level"),
            *columns(Kind.INT, "assignment_limit"),
            *columns(Kind.STRING, "distribution_method"),
        ),
    ),
    strategy=Strategy.REPLACE,
    scope="read admins",
)


DATA_ATTRIBUTES: Final = Table(
    name="data_attributes",
    path="/data_attributes",
    access=Access.LIST,
    records_key="data",
    schema=TableSchema(
        # Component `data_attribute`. Built-in attributes have no id and no times. Observed: multiline and after.
        fields=(
            *columns(Kind.STRING, "type"),
            *columns(Kind.INT, "id"),
            *columns(Kind.STRING, "model name full_name label description data_type"),
            *columns(Kind.JSON, "options"),
            *columns(Kind.BOOL, "api_writable messenger_writable ui_writable custom archived"),
            *columns(Kind.TIMESTAMP, "created_at updated_at"),
            *columns(Kind.STRING, "admin_id"),
            *columns(Kind.BOOL, "multiline required"),
            *columns(Kind.JSON, "visible_to_team_ids"),
        ),
    ),
    # Contacts and companies both have a `name`, a `created_at`, ...; an archived attribute may share even
    # model and name with a live one, so neither key may be used to drop rows without looking at the id.
    primary_key=("model", "name"),
    declared_key=("name",),
    strategy=Strategy.REPLACE,
    scope="read and list users and companies",
    requests=({"model": "contact"}, {"model": "company"}, {"model": "conversation"}),
)
