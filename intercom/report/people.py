"""Tags by use, contacts by country and role, articles by state. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from intercom.report.blocks import Figure, Section, distinct, top
from intercom.report.conversations import names_of
from intercom.report.facts import LakeFacts
from intercom.report.ranking import MOST_NAMES, ranking
from intercom.report.tallies import ListedTexts, Values

_COLORS: Final = ("first", "second", "third")


def people_and_articles(facts: LakeFacts) -> Section:
    """Three figures, as far as the tables are there and the columns not protected."""
    figures, notes = _tags(facts)
    for name, table_name, made in (("people", "contacts", _contacts), ("states", "articles", _articles)):
        table = facts.tables.get(table_name)
        if table is None or table.scan.failure:
            notes.append(f"{table_name}: {'not in this lake' if table is None else 'not readable'}; left out.")
            continue
        for column in ("location_country", "role", "state"):
            if column in table.hidden:
                what = {"location_country": "country", "role": "role", "state": "state"}[column]
                notes.append(f"{table_name} by {what}: left out, since {table.hidden[column]}.")
        tally = table.tallies.get(name)
        if isinstance(tally, Values) and tally.counts:
            figures.append(made(tally))
    return Section("Tags, contacts and articles", figures=tuple(figures), notes=tuple(notes), in_columns=True)


def _contacts(tally: Values) -> Figure:
    """By country, each bar by role; by one of them where the other is protected."""
    if tally.columns == ("role",):
        return _simple("Contacts by role", "", "role", _summed(tally, "role", "no role"))
    by_country = _summed(tally, "location_country", "not known")
    if "role" not in tally.columns:
        return _simple("Contacts by country", _COUNTRY, "country", by_country)
    roles = [role for role, _ in _summed(tally, "role", "no role").most_common()]
    legend_names = roles if len(roles) <= len(_COLORS) else [*roles[: len(_COLORS) - 1], "other roles"]
    counts: Counter[tuple[str, str]] = Counter()
    for (country, role), number in tally.counts.items():
        named = str(role or "no role")
        counts[str(country or "not known"), named if named in legend_names else "other roles"] += number
    ordered, others, in_others = top(by_country, MOST_NAMES)
    series = {
        color: [counts[country, role] for country, _ in ordered]
        for color, role in zip(_COLORS, legend_names, strict=False)
    }
    shown = distinct(country for country, _ in ordered)
    legend = tuple(zip(distinct(legend_names), _COLORS, strict=False))
    return ranking("Contacts by country and role", _COUNTRY, "country", shown, series, others, in_others, legend)


def _articles(tally: Values) -> Figure:
    return _simple("Articles by state", "Of the help center.", "state", _summed(tally, "state", "no state"))


_COUNTRY: Final = "By the country that Intercom has found."


def _simple(title: str, told: str, heading: str, counts: Counter[str]) -> Figure:
    ordered, others, in_others = top(counts, MOST_NAMES)
    shown: Sequence[str] = distinct(name for name, _ in ordered)
    return ranking(title, told, heading, shown, {"first": [number for _, number in ordered]}, others, in_others)


def _summed(tally: Values, column: str, missing: str) -> Counter[str]:
    place = tally.columns.index(column)
    counts: Counter[str] = Counter()
    for values, number in tally.counts.items():
        value: Any = values[place]
        counts[str(value or missing)] += number
    return counts


def _tags(facts: LakeFacts) -> tuple[list[Figure], list[str]]:
    """The most used tags, by name; and why some are left out."""
    notes: list[str] = []
    by_kind: dict[str, Counter[str]] = {}
    for table, column in (("conversations", "tag_names"), ("contacts", "tag_ids")):
        found = facts.tables.get(table)
        tally = None if found is None or found.scan.failure else found.tallies.get("tags")
        if found is not None and column in found.hidden:
            notes.append(f"Tags of {table}: left out, since {found.hidden[column]}.")
        elif not isinstance(tally, ListedTexts):
            notes.append(f"{table}: not in this lake. Their tags are left out.")
        elif column == "tag_names":
            by_kind[table] = tally.counts
        elif (names := names_of(facts, "tags")) is None:
            notes.append("Tags of contacts: left out, since this lake does not have the names of tags.")
        else:
            by_kind[table] = _named(tally.counts, names)
    total: Counter[str] = Counter()
    for counts in by_kind.values():
        total.update(counts)
    if not total:
        return [], notes
    ordered, others, in_others = top(total, MOST_NAMES)
    colors = dict(zip(("first", "second"), by_kind, strict=False))
    series = {color: [by_kind[kind][name] for name, _ in ordered] for color, kind in colors.items()}
    told = f"How many {' and '.join(by_kind)} have a tag."
    if "contacts" in by_kind:
        told += " Intercom sends ten tags of a contact at most, unless lists are refilled."
    shown = distinct(name for name, _ in ordered)
    legend = tuple((kind, color) for color, kind in colors.items()) if len(colors) > 1 else ()
    return [ranking("Tags used most", told, "tag", shown, series, others, in_others, legend)], notes


def _named(by_id: Mapping[str, int], names: Mapping[str, str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for key, number in by_id.items():
        found[names.get(key, f"tag {key}")] += number
    return found
