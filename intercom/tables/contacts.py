"""Contacts: users and leads."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import COUNT, EACH, Column, ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Strategy, Table

CONTACTS: Final = Table(
    name="contacts",
    path="/contacts/search",
    access=Access.SEARCH,
    records_at=("data",),
    schema=TableSchema(
        # Component `contact`. owner_id is sent as a number; 0 and null both mean that there is no owner. Observed only:
        # all fields from opted_in_subscription_types to the end, and the codes of location. Nested lists have 10
        # elements at most; their total_count counts all elements.
        fields=(
            *columns(ColumnKind.STRING, "type id external_id workspace_id role email email_domain phone name"),
            *columns(ColumnKind.REFERENCE, "owner_id"),
            *columns(ColumnKind.BOOL, "has_hard_bounced marked_email_as_spam unsubscribed_from_emails"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at signed_up_at last_seen_at last_replied_at"),
            *columns(ColumnKind.TIMESTAMP, "last_contacted_at last_email_opened_at last_email_clicked_at"),
            *columns(ColumnKind.STRING, "language_override browser browser_version browser_language os"),
            *columns(ColumnKind.STRING, "android_app_name android_app_version android_device android_os_version"),
            *columns(ColumnKind.STRING, "android_sdk_version"),
            *columns(ColumnKind.TIMESTAMP, "android_last_seen_at"),
            *columns(ColumnKind.STRING, "ios_app_name ios_app_version ios_device ios_os_version ios_sdk_version"),
            *columns(ColumnKind.TIMESTAMP, "ios_last_seen_at"),
            *columns(ColumnKind.JSON, "custom_attributes avatar tags notes companies location social_profiles"),
            *columns(ColumnKind.JSON, "opted_in_subscription_types opted_out_subscription_types"),
            *columns(ColumnKind.BOOL, "sms_consent unsubscribed_from_sms enabled_push_messaging"),
            *columns(ColumnKind.STRING, "referrer utm_campaign utm_content utm_medium utm_source utm_term"),
        ),
        flat=(
            *members("location", ColumnKind.STRING, "country region city country_code continent_code"),
            Column("company_ids", ColumnKind.JSON, ("companies", "data", EACH, "id")),
            Column("companies_count", ColumnKind.INT, ("companies", "total_count"), ("companies", "data", COUNT)),
            Column("tag_ids", ColumnKind.JSON, ("tags", "data", EACH, "id")),
            # All elements of a list, where at most ten come with the contact. companies_count is older.
            *(
                Column(f"{name}_total_count", ColumnKind.INT, (name, "total_count"))
                for name in ("tags", "companies", "notes")
            ),
        ),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/contacts/",
    merges=True,  # "Merge a lead and a user": the lead's address answers 404; API reference, not observed
    scope="read and list users and companies",
    narrowed_by=("id", "role"),
    refilled=("tags", "companies"),
    day_cut=True,  # contact search drops the time of day of a timestamp filter; conversation search does not
)
