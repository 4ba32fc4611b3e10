"""Synthetic help centers, collections of articles, and articles for teammates."""

from __future__ import annotations

from typing import Any

from intercom.sandbox.seed.sources import Sources
from intercom.sandbox.seed.words import ARTICLE_TITLES

Fields = dict[str, Any]


def help_center(sources: Sources) -> Fields:
    created, updated = sources.times()
    key = sources.numeric_id("help_centers", 79)
    sources.remember("help_centers", key)
    fields: Fields = {
        "id": key,
        "workspace_id": sources.app_id,
        "created_at": created,
        "updated_at": updated,
        "identifier": f"help-center-{key}",
        "website_turned_on": sources.chance(0.7),
        "display_name": sources.maybe(0.8, f"Hilfe & Help {key}"),
    }
    if sources.chance(0.5):
        fields |= {"url": f"https://help{key}.example", "custom_domain": f"help{key}.example"}
    return fields


def collection(sources: Sources) -> Fields:
    """A collection: the parent's id is text, that of the help center a number; some have several languages."""
    created, updated = sources.times()
    parent, center = sources.one("collections"), sources.one("help_centers")
    key = sources.numeric_id("collections", 159)
    sources.remember("collections", key)
    fields: Fields = {
        "id": key,
        "workspace_id": sources.app_id,
        "name": f"{sources.choice(ARTICLE_TITLES)} {key}",
        "url": sources.maybe(0.8, f"https://help.example/en/collections/{key}"),
        "order": sources.number(0, 20),
        "created_at": created,
        "updated_at": updated,
        "description": sources.choice((None, "", sources.text(1))),
        "icon": sources.choice((None, "bookmark")),
        "parent_id": parent if sources.chance(0.5) else None,
        "help_center_id": int(center) if center is not None and sources.chance(0.8) else None,
    }
    if sources.chance(0.3):
        translation = {"type": "group_content", "name": "Übersetzung", "description": None}
        fields["default_locale"] = "en"
        fields["translated_content"] = {"type": "group_translated_content", "de": translation}
    return fields


def internal_article(sources: Sources) -> Fields:
    """An article for teammates; many lack type and times, as those of the API reference do."""
    created, updated = sources.times()
    key = sources.numeric_id("internal_articles", 39)
    sources.remember("internal_articles", key)
    author, owner = sources.one("admins"), sources.one("admins")
    fields: Fields = {
        "id": key,
        "title": f"{sources.choice(ARTICLE_TITLES)} {key}",
        "body": sources.html(sources.number(1, 5)),
        "owner_id": None if owner is None else int(owner),
        "author_id": None if author is None else int(author),
        "locale": sources.choice(("en", "pt-BR")),
    }
    if sources.chance(0.4):
        fields |= {"type": "internal_article", "created_at": created, "updated_at": updated}
    return fields
