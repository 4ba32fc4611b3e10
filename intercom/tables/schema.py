"""The columns of every table, as data.

Source of the fields: Intercom's OpenAPI description of API version 2.14 (github.com/intercom/Intercom-OpenAPI,
``descriptions/2.14/api.intercom.io.yaml``); each schema below names its component there. Fields that the description
lacks but real records have are declared too and marked *observed*. All times are unix seconds in UTC.

The types never depend on the data: files of one table that differ in a type cannot be read together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

import pyarrow as pa

EXTRA: Final = "_extra"
"""Column for what has no column or did not fit it: one JSON object text, null when there is nothing."""
INGESTED_AT: Final = "_ingested_at"
"""Column for the time of the run that read the row."""
EACH: Final = "*"
"""In a path: every element of a list; the result is a JSON array."""
COUNT: Final = "#"
"""Last in a path: the number of elements of a list."""


class Kind(StrEnum):
    """What a column holds; JSON is text exactly as sent, TIMESTAMP has microseconds in UTC."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    JSON = "json"

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type, the same for every value and file."""
        return _ARROW_TYPES[self]


_ARROW_TYPES: Final[dict[Kind, pa.DataType]] = {
    Kind.STRING: pa.string(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.BOOL: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    Kind.JSON: pa.string(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column and where in a record its values are.

    ``path`` () is the record's own member ``name``; a flat column has the members to follow, for example
    ``("location", "country")``. ``otherwise`` is a second path for rows where the first has no value.
    """

    name: str
    kind: Kind
    path: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table's declared fields in the API's order, then flat columns taken out of nested objects.

    ``arrow`` adds ``_extra`` (string) and ``_ingested_at`` (timestamp[us, UTC]); every column may be null.
    """

    fields: tuple[Column, ...]
    flat: tuple[Column, ...] = ()
    arrow: pa.Schema = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        columns = [pa.field(column.name, column.kind.arrow) for column in (*self.fields, *self.flat)]
        columns += [pa.field(EXTRA, Kind.JSON.arrow), pa.field(INGESTED_AT, Kind.TIMESTAMP.arrow)]
        object.__setattr__(self, "arrow", pa.schema(columns))

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the names and types in order: another fingerprint, another file layout."""
        layout = "\n".join(f"{column.name}:{column.type}" for column in self.arrow)
        return hashlib.sha256(layout.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Column name -> kind; a flat column has a list of kind and paths. Tells JSON from strings, unlike `arrow`."""
        own = {column.name: str(column.kind) for column in self.fields}
        return own | {
            column.name: [str(column.kind), list(column.path), list(column.otherwise)] for column in self.flat
        }

    @classmethod
    def from_json(cls, columns: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; TypeError or ValueError when it is none."""
        own = {name: kind for name, kind in columns.items() if isinstance(kind, str)}
        flat = {name: entry for name, entry in columns.items() if name not in own}
        return cls(
            tuple(Column(name, Kind(kind)) for name, kind in own.items()),
            tuple(
                Column(name, Kind(kind), tuple(path), tuple(otherwise))
                for name, (kind, path, otherwise) in flat.items()
            ),
        )


def _columns(kind: Kind, names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name in names.split())


def _members(parent: str, kind: Kind, names: str) -> tuple[Column, ...]:
    return tuple(Column(f"{parent}_{name}", kind, (parent, name)) for name in names.split())


CONTACTS: Final = TableSchema(
    # Component `contact`. owner_id is a number although admins.id is a string. Observed only: from
    # opted_in_subscription_types to the end. Nested lists hold 10 elements at most; their total_count has them all.
    fields=(
        *_columns(Kind.STRING, "type id external_id workspace_id role email email_domain phone name"),
        *_columns(Kind.INT, "owner_id"),
        *_columns(Kind.BOOL, "has_hard_bounced marked_email_as_spam unsubscribed_from_emails"),
        *_columns(Kind.TIMESTAMP, "created_at updated_at signed_up_at last_seen_at last_replied_at"),
        *_columns(Kind.TIMESTAMP, "last_contacted_at last_email_opened_at last_email_clicked_at"),
        *_columns(Kind.STRING, "language_override browser browser_version browser_language os"),
        *_columns(Kind.STRING, "android_app_name android_app_version android_device android_os_version"),
        *_columns(Kind.STRING, "android_sdk_version"),
        *_columns(Kind.TIMESTAMP, "android_last_seen_at"),
        *_columns(Kind.STRING, "ios_app_name ios_app_version ios_device ios_os_version ios_sdk_version"),
        *_columns(Kind.TIMESTAMP, "ios_last_seen_at"),
        *_columns(Kind.JSON, "custom_attributes avatar tags notes companies location social_profiles"),
        *_columns(Kind.JSON, "opted_in_subscription_types opted_out_subscription_types"),
        *_columns(Kind.BOOL, "sms_consent unsubscribed_from_sms enabled_push_messaging"),
        *_columns(Kind.STRING, "referrer utm_campaign utm_content utm_medium utm_source utm_term"),
    ),
    flat=(
        *_members("location", Kind.STRING, "country region city"),
        Column("company_ids", Kind.JSON, ("companies", "data", EACH, "id")),
        Column("companies_count", Kind.INT, ("companies", "total_count"), ("companies", "data", COUNT)),
    ),
)

COMPANIES: Final = TableSchema(
    # Component `company`. monthly_spend is an integer there, decimals occur. notes: observed. size, website,
    # industry and last_request_at are left out of records rather than null; plan is {} when there is none.
    fields=(
        *_columns(Kind.STRING, "type id name app_id"),
        *_columns(Kind.JSON, "plan"),
        *_columns(Kind.STRING, "company_id"),
        *_columns(Kind.TIMESTAMP, "remote_created_at created_at updated_at last_request_at"),
        *_columns(Kind.INT, "size"),
        *_columns(Kind.STRING, "website industry"),
        *_columns(Kind.FLOAT, "monthly_spend"),
        *_columns(Kind.INT, "session_count user_count"),
        *_columns(Kind.JSON, "custom_attributes tags segments notes"),
    ),
    flat=_members("plan", Kind.STRING, "id name"),
)

CONVERSATIONS: Final = TableSchema(
    # Component `conversation_list_item`: what a search answers, without conversation_parts. An unassigned
    # *_assignee_id is null or 0. topics and ticket are only in the description's examples; observed: company and after.
    fields=(
        *_columns(Kind.STRING, "type id title"),
        *_columns(Kind.TIMESTAMP, "created_at updated_at waiting_since snoozed_until"),
        *_columns(Kind.BOOL, "open"),
        *_columns(Kind.STRING, "state"),
        *_columns(Kind.BOOL, "read"),
        *_columns(Kind.STRING, "priority"),
        *_columns(Kind.INT, "admin_assignee_id team_assignee_id"),
        *_columns(Kind.JSON, "tags conversation_rating source contacts teammates custom_attributes"),
        *_columns(Kind.JSON, "first_contact_reply sla_applied statistics linked_objects"),
        *_columns(Kind.BOOL, "ai_agent_participated"),
        *_columns(Kind.JSON, "ai_agent topics ticket company channel external_references sales_agent"),
        *_columns(Kind.BOOL, "sales_agent_participated"),
    ),
    flat=(
        *_members("source", Kind.STRING, "type id delivered_as subject body url"),
        *_members("source", Kind.BOOL, "redacted"),
        *_members("source", Kind.JSON, "author attachments"),
        *(
            Column(f"source_author_{member}", Kind.STRING, ("source", "author", member))
            for member in ("type", "id", "name", "email")
        ),
        # Component `conversation_statistics`: durations are seconds.
        *_members("statistics", Kind.INT, "time_to_assignment time_to_admin_reply time_to_first_close"),
        *_members("statistics", Kind.INT, "time_to_last_close median_time_to_reply"),
        *_members("statistics", Kind.TIMESTAMP, "first_contact_reply_at first_assignment_at"),
        *_members("statistics", Kind.TIMESTAMP, "first_admin_reply_at first_close_at last_assignment_at"),
        *_members("statistics", Kind.TIMESTAMP, "last_assignment_admin_reply_at last_contact_reply_at"),
        *_members("statistics", Kind.TIMESTAMP, "last_admin_reply_at last_close_at"),
        *_members("statistics", Kind.STRING, "last_closed_by_id"),
        *_members("statistics", Kind.INT, "count_reopens count_assignments count_conversation_parts"),
        *_members("first_contact_reply", Kind.TIMESTAMP, "created_at"),
        *_members("first_contact_reply", Kind.STRING, "type url"),
    ),
)

ARTICLES: Final = TableSchema(
    # Component `article_list_item`. updated_at is that of the default language; statistics only come with one article.
    fields=(
        *_columns(Kind.STRING, "type id workspace_id title description body"),
        *_columns(Kind.INT, "author_id"),
        *_columns(Kind.STRING, "state"),
        *_columns(Kind.TIMESTAMP, "created_at updated_at"),
        *_columns(Kind.STRING, "url"),
        *_columns(Kind.INT, "parent_id"),
        *_columns(Kind.JSON, "parent_ids"),
        *_columns(Kind.STRING, "parent_type default_locale"),
        *_columns(Kind.JSON, "translated_content tags statistics"),
    ),
)

TAGS: Final = TableSchema(
    # Component `tag`. applied_at and applied_by are absent where tags are listed by themselves.
    fields=(
        *_columns(Kind.STRING, "type id name"),
        *_columns(Kind.TIMESTAMP, "applied_at"),
        *_columns(Kind.JSON, "applied_by"),
    ),
)

SEGMENTS: Final = TableSchema(
    # Component `segment`. count only comes with include_count=true.
    fields=(
        *_columns(Kind.STRING, "type id name"),
        *_columns(Kind.TIMESTAMP, "created_at updated_at"),
        *_columns(Kind.STRING, "person_type"),
        *_columns(Kind.INT, "count"),
    ),
)

ADMINS: Final = TableSchema(
    # Component `admin`. avatar is a URL there and an object in older records; team_ids are numbers, teams.id a string.
    fields=(
        *_columns(Kind.STRING, "type id name email job_title"),
        *_columns(Kind.BOOL, "away_mode_enabled away_mode_reassign"),
        *_columns(Kind.INT, "away_status_reason_id"),
        *_columns(Kind.BOOL, "has_inbox_seat"),
        *_columns(Kind.JSON, "team_ids avatar team_priority_level"),
    ),
)

TEAMS: Final = TableSchema(
    # Component `team`. admin_ids are numbers, admins.id a string.
    fields=(
        *_columns(Kind.STRING, "type id name"),
        *_columns(Kind.JSON, "admin_ids admin_priority_level"),
        *_columns(Kind.INT, "assignment_limit"),
        *_columns(Kind.STRING, "distribution_method"),
    ),
)

DATA_ATTRIBUTES: Final = TableSchema(
    # Component `data_attribute`. Built-in attributes have no id and no times. Observed: multiline and after.
    fields=(
        *_columns(Kind.STRING, "type"),
        *_columns(Kind.INT, "id"),
        *_columns(Kind.STRING, "model name full_name label description data_type"),
        *_columns(Kind.JSON, "options"),
        *_columns(Kind.BOOL, "api_writable messenger_writable ui_writable custom archived"),
        *_columns(Kind.TIMESTAMP, "created_at updated_at"),
        *_columns(Kind.STRING, "admin_id"),
        *_columns(Kind.BOOL, "multiline required"),
        *_columns(Kind.JSON, "visible_to_team_ids"),
    ),
)
