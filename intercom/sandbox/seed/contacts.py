"""Synthetic contacts."""

from __future__ import annotations

from typing import Any

from intercom.sandbox.records import raw
from intercom.sandbox.seed.sources import Sources, addressable_list
from intercom.sandbox.seed.words import BROWSERS, DOMAINS, LANGUAGES, PLACES, SYSTEMS

Fields = dict[str, Any]


def contact(sources: Sources) -> Fields:
    """A contact. As in real ones, types of avatar, signed_up_at and custom attributes vary, and keys are omitted."""
    created, updated = sources.times()
    key = sources.hex_id(created)
    sources.remember("contacts", key)
    fields: Fields = {
        "type": "contact",
        "id": key,
        "workspace_id": sources.app_id,
        **_identity(sources, key),
        "owner_id": _owner(sources),
        "has_hard_bounced": sources.chance(0.02),
        "marked_email_as_spam": sources.chance(0.01),
        "unsubscribed_from_emails": sources.chance(0.2),
        "created_at": created,
        "updated_at": updated,
        **_activity(sources, created, updated),
        **_device(sources, updated),
        "custom_attributes": custom_values(sources),
        **_lists(sources, key),
        "location": _location(sources),
        "social_profiles": {"type": "list", "data": []},
    }
    if sources.chance(0.2):
        fields |= _unlisted(sources)
    if sources.chance(0.05):
        fields["beta_score"] = raw("0.10")
        fields["beta_signals"] = {"opened": [1, 2, {"at": updated}], "note": sources.text(1)}
    return fields


def address_name(key: str) -> str:
    """The part of an e-mail address before the ``@``."""
    return f"user.{key[-8:]}+a"


def user_number(key: str) -> str:
    """The id of a user in the customer's own application."""
    return f"{int(key[-10:], 16):013d}"


def _identity(sources: Sources, key: str) -> Fields:
    lead = sources.chance(0.3)
    domain = sources.choice(DOMAINS)
    email = None if lead and sources.chance(0.4) else f"{address_name(key)}@{domain}"
    return {
        "external_id": sources.maybe(0.3, key[:20]) if lead else user_number(key),
        "role": "lead" if lead else "user",
        "email": email,
        "email_domain": domain if email else None,
        "phone": sources.maybe(0.4, f"+49{sources.number(10**8, 10**10)}"),
        "name": sources.maybe(0.9, sources.person()),
        "avatar": sources.choice(
            (None, f"https://static.example/avatars/{key}.png", {"type": "avatar", "image_url": f"https://static.example/{key}.png"})
        ),
    }  # fmt: skip


def _owner(sources: Sources) -> int | None:
    owner = sources.one("admins") if sources.chance(0.5) else None
    return None if owner is None else int(owner)


def _activity(sources: Sources, created: int, updated: int) -> Fields:
    fields: Fields = {"signed_up_at": _signed_up(sources, created)}
    shares = {"seen": 0.9, "replied": 0.5, "contacted": 0.7, "email_opened": 0.4, "email_clicked": 0.2}
    for name, share in shares.items():
        span = int((updated - created) * sources.random.random())
        fields[f"last_{name}_at"] = created + span if sources.chance(share) else None
    return fields


def _signed_up(sources: Sources, created: int) -> int | str | None:
    """A value set by customers: usually seconds; old data have milliseconds, digit strings and dates before 1970."""
    draw = sources.random.random()
    if draw < 0.02:
        return created * 1000
    if draw < 0.04:
        return str(created)
    if draw < 0.06:
        return -sources.number(1, 10**9)
    return None if draw < 0.3 else created - sources.number(0, 5_000)


def _device(sources: Sources, updated: int) -> Fields:
    browser, version = sources.choice(BROWSERS)
    language = sources.choice(LANGUAGES)
    android = sources.chance(0.1)
    return {
        "language_override": sources.maybe(0.1, language),
        "browser": browser,
        "browser_version": version,
        "browser_language": language,
        "os": sources.choice(SYSTEMS),
        "android_app_name": "Example" if android else None,
        "android_app_version": "4.12.0" if android else None,
        "android_device": "Pixel 8" if android else None,
        "android_os_version": "14" if android else None,
        "android_sdk_version": "15.8.2" if android else None,
        "android_last_seen_at": updated if android else None,
        "ios_app_name": None,
        "ios_app_version": None,
        "ios_device": None,
        "ios_os_version": None,
        "ios_sdk_version": None,
        "ios_last_seen_at": None,
    }


def _lists(sources: Sources, key: str) -> Fields:
    url = f"/contacts/{key}"
    companies = sources.some("companies", 14 if sources.chance(0.03) else 2)
    tags = sources.some("tags", 14 if sources.chance(0.05) else 3)
    # Counts above what the lists hold are seen in real records: tags of deleted kinds still count.
    tag_count = len(tags) + sources.number(1, 4) if len(tags) > 10 else len(tags)
    return {
        "tags": addressable_list("tag", tags, f"{url}/tags", tag_count),
        "notes": addressable_list("note", [], f"{url}/notes"),
        "companies": addressable_list("company", companies, f"{url}/companies"),
    }


def _location(sources: Sources) -> Fields:
    country, region, city, code, continent = sources.choice(PLACES)
    location = {"type": "location", "country": country, "region": region, "city": city}
    return location | {"country_code": code, "continent_code": continent} if sources.chance(0.8) else location


def _unlisted(sources: Sources) -> Fields:
    """Fields seen in real records that the specification does not name."""
    subscriptions = {"type": "list", "data": [], "url": "/subscriptions", "total_count": 0, "has_more": False}
    return {
        "opted_out_subscription_types": subscriptions,
        "opted_in_subscription_types": subscriptions,
        "sms_consent": sources.chance(0.3),
        "unsubscribed_from_sms": sources.chance(0.1),
        "enabled_push_messaging": None,
        "referrer": sources.maybe(0.3, "https://search.example/?q=a%20b&utm=1"),
        "utm_campaign": sources.maybe(0.2, "spring/2024"),
        "utm_content": None,
        "utm_medium": sources.maybe(0.2, "cpc"),
        "utm_source": sources.maybe(0.2, "newsletter"),
        "utm_term": None,
    }


def custom_values(sources: Sources) -> Fields:
    """Custom attributes. A value's type differs between records, and numbers keep their text."""
    values: Fields = {
        "seats": sources.number(1, 500) if sources.chance(0.7) else str(sources.number(1, 500)),
        "lifetime_value": raw(f"{sources.number(0, 99_999)}.{sources.number(0, 9)}0"),
        "is_vip": sources.choice((True, False, None)),
        "renews_at": sources.now + sources.number(-(10**7), 10**7),
    }
    if sources.chance(0.3):
        values["Account № 🔑"] = raw(f"{sources.number(1, 9)}23456789012345678901234567890")
    if sources.chance(0.2):
        values["remark"] = raw(r'"caf\u00e9 \ud83d\ude80 <\/b>\t"')
    if sources.chance(0.04):
        values["bio"] = sources.text(20)
    if sources.chance(0.1):
        values["ratio"] = raw(sources.choice(("1e3", "-0.0", "1.0E-7", "3.1400")))
    return values
