"""Synthetic news items, newsfeeds and subscription types."""

from __future__ import annotations

from typing import Any

from intercom.sandbox.seed.sources import Sources

Fields = dict[str, Any]


def newsfeed(sources: Sources) -> Fields:
    created, updated = sources.times()
    key = sources.numeric_id("newsfeeds", 53)
    sources.remember("newsfeeds", key)
    return {
        "id": key,
        "type": "newsfeed",
        "name": f"Feed für {sources.choice(('visitors', 'users', 'beta 🚀'))} {key}",
        "created_at": created,
        "updated_at": updated,
    }


def news_item(sources: Sources) -> Fields:
    """A news item: the sender and the newsfeeds are numbers, labels and reactions have nulls."""
    created, updated = sources.times()
    key = sources.numeric_id("news_items", 29)
    sources.remember("news_items", key)
    sender = sources.one("admins")
    return {
        "id": key,
        "type": "news-item",
        "workspace_id": sources.app_id,
        "title": sources.text(1),
        "body": sources.html(sources.number(1, 5)),
        "sender_id": None if sender is None else int(sender),
        "state": sources.choice(("live", "draft")),
        "labels": sources.choice(([], ["Product", None], ["Neu"])),
        "cover_image_url": sources.maybe(0.3, f"https://static.example/news/{key}.png"),
        "reactions": sources.choice(([None, None], ["👍", "🎉"], [])),
        "deliver_silently": sources.chance(0.2),
        "created_at": created,
        "updated_at": updated,
        "newsfeed_assignments": [
            {"newsfeed_id": int(feed), "published_at": updated} for feed in sources.some("newsfeeds", 2)
        ],
    }


def subscription_type(sources: Sources) -> Fields:
    """A subscription type, which has no times."""
    key = sources.numeric_id("subscription_types", 123_400)
    sources.remember("subscription_types", key)
    default = {"name": f"Offers {key}", "description": sources.text(1), "locale": "en"}
    german = {"name": f"Angebote {key}", "description": "Größte Rabatte", "locale": "de"}
    return {
        "type": "subscription",
        "id": key,
        "state": sources.choice(("live", "draft", "archived")),
        "default_translation": default,
        "translations": [default, german] if sources.chance(0.5) else [default],
        "consent_type": sources.choice(("opt_out", "opt_in")),
        "content_types": sources.choice((["email"], ["email", "sms_message"])),
    }
