"""The tables that Fivetran's dbt package for Intercom reads, as views.

Source of the names: the sources of fivetran/dbt_intercom 1.6 (``models/staging/src_intercom.yml``) and the columns that
its staging models select; further columns of the larger tables are those of its own test data. Fivetran's columns with
a leading ``_fivetran_`` are explained in its documentation, *System Columns and Tables*.
"""

from __future__ import annotations

from typing import Final

from intercom.views.definition import IS_DELETED, Kind, View, ViewColumn, ViewSet, same

_SYNCED: Final = ViewColumn("_fivetran_synced", Kind.TIME, "{_ingested_at}")
_LISTED: Final = (_SYNCED, ViewColumn("_fivetran_deleted", Kind.FLAG, IS_DELETED))


def _versioned(changed: str) -> tuple[ViewColumn, ...]:
    """Fivetran's columns of a table with versions, of which the lake has the newest: since when it is valid, and on.

    The end is far away and not null, so that a search for a point in time finds the row.
    """
    return (
        _SYNCED,
        ViewColumn("_fivetran_active", Kind.FLAG, "TRUE"),
        ViewColumn("_fivetran_start", Kind.TIME, f"coalesce({changed}, {{_ingested_at}})"),
        ViewColumn("_fivetran_end", Kind.TIME, "TIMESTAMP '9999-12-31 23:59:59'"),
    )


_UPDATED: Final = _versioned("{updated_at}")
_WITH_PARENT: Final = _versioned("{parent:updated_at}")


def _relation(name: str, table: str, parent: str, key: str, other: str) -> View:
    """A relation between a parent's record and another: their keys, and when the parent has changed."""
    changed = ViewColumn(f"{key.removesuffix('_id')}_updated_at", Kind.TIME, "{parent:updated_at}")
    columns = (*same(Kind.TEXT, key), changed, ViewColumn(other, Kind.TEXT, "{id}"), *_WITH_PARENT)
    return View(name, table, columns, parent, key)


_VIEWS: Final = (
    View(
        "admin",
        "admins",
        (*same(Kind.TEXT, "id name email job_title"), *_LISTED),
    ),
    View(
        "article_history",
        "articles",
        (
            *same(Kind.TEXT, "id workspace_id"),
            # A collection within a collection was a section once. Intercom's parent is one of both.
            ViewColumn("collection_id", Kind.TEXT, "CASE WHEN {parent_type} = 'collection' THEN {parent_id} END"),
            ViewColumn("section_id", Kind.TEXT, "CASE WHEN {parent_type} = 'section' THEN {parent_id} END"),
            *same(Kind.TEXT, "parent_type author_id title description body url type state default_locale"),
            *same(Kind.TIME, "created_at updated_at"),
            ViewColumn("statistics_type", Kind.TEXT, "{statistics.type}"),
            ViewColumn("statistics_views", Kind.NUMBER, "{statistics.views}"),
            ViewColumn("statistics_conversations", Kind.NUMBER, "{statistics.conversations}"),
            ViewColumn("statistics_reactions", Kind.NUMBER, "{statistics.reactions}"),
            ViewColumn("statistics_happy_reaction_percentage", Kind.DECIMAL, "{statistics.happy_reaction_percentage}"),
            ViewColumn(
                "statistics_neutral_reaction_percentage", Kind.DECIMAL, "{statistics.neutral_reaction_percentage}"
            ),
            ViewColumn("statistics_sad_reaction_percentage", Kind.DECIMAL, "{statistics.sad_reaction_percentage}"),
            *_UPDATED,
        ),
    ),
    View(
        "collection_history",
        "collections",
        (
            *same(Kind.TEXT, "id workspace_id help_center_id parent_id name description url icon"),
            ViewColumn("type", Kind.TEXT, "'collection'"),
            *same(Kind.TEXT, "default_locale"),
            *same(Kind.NUMBER, "order"),
            *same(Kind.TIME, "created_at updated_at"),
            *_UPDATED,
        ),
    ),
    View(
        "company_history",
        "companies",
        (
            *same(Kind.TEXT, "id company_id name website industry plan_id plan_name"),
            *same(Kind.NUMBER, "user_count session_count size"),
            *same(Kind.DECIMAL, "monthly_spend"),
            *same(Kind.TIME, "created_at updated_at remote_created_at last_request_at"),
            *_UPDATED,
        ),
    ),
    _relation("company_tag_history", "company_tags", "companies", "company_id", "tag_id"),
    _relation("contact_company_history", "contact_companies", "contacts", "contact_id", "company_id"),
    View(
        "contact_history",
        "contacts",
        (
            *same(Kind.TEXT, "id workspace_id external_id"),
            ViewColumn("admin_id", Kind.TEXT, "{owner_id}"),
            *same(Kind.TEXT, "role name email phone"),
            ViewColumn("avatar", Kind.TEXT, "{avatar.image_url}"),
            *same(Kind.FLAG, "has_hard_bounced marked_email_as_spam unsubscribed_from_emails"),
            *same(Kind.TIME, "created_at updated_at signed_up_at last_seen_at last_replied_at last_contacted_at"),
            *same(Kind.TIME, "last_email_opened_at last_email_clicked_at"),
            *same(Kind.TEXT, "location_city location_country location_region language_override"),
            *same(Kind.TEXT, "browser browser_language browser_version os"),
            *same(Kind.TEXT, "android_app_name android_app_version android_device android_os_version"),
            *same(Kind.TEXT, "android_sdk_version"),
            *same(Kind.TIME, "android_last_seen_at"),
            *same(Kind.TEXT, "ios_app_name ios_app_version ios_device ios_os_version ios_sdk_version"),
            *same(Kind.TIME, "ios_last_seen_at"),
            *_UPDATED,
        ),
    ),
    _relation("contact_tag_history", "contact_tags", "contacts", "contact_id", "tag_id"),
    _relation(
        "conversation_contact_history", "conversation_contacts", "conversations", "conversation_id", "contact_id"
    ),
    View(
        "conversation_history",
        "conversations",
        (
            *same(Kind.TEXT, "id"),
            # Intercom sends 0 or null where nobody is assigned. The admin comes first where a team is, too.
            ViewColumn(
                "assignee_id", Kind.TEXT, "coalesce(nullif({admin_assignee_id}, '0'), nullif({team_assignee_id}, '0'))"
            ),
            ViewColumn(
                "assignee_type",
                Kind.TEXT,
                "CASE WHEN nullif({admin_assignee_id}, '0') IS NOT NULL THEN 'admin' "
                "WHEN nullif({team_assignee_id}, '0') IS NOT NULL THEN 'team' END",
            ),
            ViewColumn("conversation_rating_value", Kind.NUMBER, "{conversation_rating_rating}"),
            *same(Kind.TEXT, "conversation_rating_remark"),
            *same(Kind.TIME, "conversation_rating_created_at created_at updated_at first_contact_reply_created_at"),
            *same(Kind.TEXT, "first_contact_reply_type first_contact_reply_url"),
            *same(Kind.FLAG, "read"),
            *same(Kind.TEXT, "state priority"),
            *same(Kind.TIME, "snoozed_until waiting_since"),
            ViewColumn("sla_name", Kind.TEXT, "{sla_applied_name}"),
            ViewColumn("sla_status", Kind.TEXT, "{sla_applied_status}"),
            *same(Kind.TEXT, "source_id source_type source_delivered_as source_subject source_body source_url"),
            *same(Kind.TEXT, "source_author_id source_author_type"),
            *_UPDATED,
        ),
    ),
    View(
        "conversation_part_history",
        "conversation_parts",
        (
            *same(Kind.TEXT, "id conversation_id part_type body author_id author_type assigned_to_id assigned_to_type"),
            *same(Kind.TIME, "created_at updated_at notified_at"),
            ViewColumn("conversation_updated_at", Kind.TIME, "{parent:updated_at}"),
            *_UPDATED,
        ),
        "conversations",
        "conversation_id",
    ),
    _relation("conversation_tag_history", "conversation_tags", "conversations", "conversation_id", "tag_id"),
    View(
        "help_center_history",
        "help_centers",
        (
            *same(Kind.TEXT, "id workspace_id display_name identifier"),
            *same(Kind.FLAG, "website_turned_on"),
            *same(Kind.TIME, "created_at updated_at"),
            *_UPDATED,
        ),
    ),
    View("tag", "tags", (*same(Kind.TEXT, "id name"), *_LISTED)),
    View("team", "teams", (*same(Kind.TEXT, "id name"), *_LISTED)),
    View(
        "team_admin", "team_admins", (*same(Kind.TEXT, "team_id"), ViewColumn("admin_id", Kind.TEXT, "{id}"), *_LISTED)
    ),
)

FIVETRAN: Final = ViewSet(
    title="the tables that Fivetran's dbt package for Intercom reads",
    views=_VIEWS,
    differs=(
        "History: the lake has the newest version of each row. _fivetran_active is always true, _fivetran_start is the "
        "time of the last change, _fivetran_end lies far ahead.",
        "Deleted rows: they leave the lake, so _fivetran_deleted is false. Where the connection marks them (deleted: "
        "mark), it is true for them, and the views of versions leave them out.",
        "Custom attributes: no column custom_<name> each. Contacts, companies and conversations of the lake have them "
        "all in custom_attributes, as JSON.",
        "Relations of contacts: ten tags and ten companies of a contact at most, unless runs have --refill-lists.",
        "statistics_* of article_history: null, because Intercom sends them for single articles only.",
        "Ids are text, as Intercom sends them; Fivetran has those of admins, conversations and their parts as numbers.",
    ),
)
