"""Synthetic help-center articles."""

from __future__ import annotations

from typing import Any

from intercom.sandbox.seed.sources import Sources
from intercom.sandbox.seed.words import ARTICLE_TITLES

Fields = dict[str, Any]


def article(sources: Sources) -> Fields:
    """An article. Drafts have no URL, some articles have no parent, some have several languages."""
    created, updated = sources.times()
    key = sources.numeric_id("articles", 6_871_000)
    sources.remember("articles", key)
    published = sources.chance(0.8)
    parent = sources.maybe(0.8, sources.number(100, 140))
    author = sources.one("admins")
    fields: Fields = {
        "type": "article",
        "id": key,
        "workspace_id": sources.app_id,
        "parent_id": parent,
        "parent_ids": [] if parent is None else [parent],
        "parent_type": None if parent is None else "collection",
        "title": f"{sources.choice(ARTICLE_TITLES)} {key}",
        "description": sources.choice((None, "", sources.text(1))),
        "body": sources.html(sources.number(3, 30)),
        "author_id": None if author is None else int(author),
        "state": "published" if published else "draft",
        "created_at": created,
        "updated_at": updated,
        "url": f"https://help.example/en/articles/{key}" if published else None,
        "tags": {"type": "tag.list", "tags": []},
        "content_id": int(key) + 1_000_000,
    }
    if sources.chance(0.3):
        translation = {"type": "article_content", "title": "Übersetzung", "body": sources.html(2), "state": "draft"}
        fields["default_locale"] = "en"
        fields["translated_content"] = {"type": "article_translated_content", "de": translation, "ar": None}
    return fields
