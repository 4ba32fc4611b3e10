"""What verifications found, which records were rejected, and what is kept beside the declared columns. Pure."""

from __future__ import annotations

from typing import Final

from intercom.report.blocks import Listing, Numbers, Section, count, listed, minute, shown_name
from intercom.report.facts import LakeFacts
from intercom.report.history import Verification

_MOST_LINES: Final = 50
_MOST_FIELDS: Final = 8
_MOST_NAMES: Final = 3
_GROUPS: Final = {"default": "the default tables", "all": "all tables"}


def trust(facts: LakeFacts) -> Section:
    """Three listings; a sentence for each that has nothing to list."""
    listings: list[Listing] = []
    notes: list[str] = []
    verifications = facts.history.verifications
    if verifications:
        listings.append(_verifications(verifications))
        if verifications[-1].differences:
            listings.append(_differences(verifications[-1]))
    else:
        notes.append(
            "Verifications: no result is in this lake. The command intercom-lake verify and the flow intercom-verify "
            "leave one there."
        )
    if any(table.rejected for table in facts.tables.values()):
        listings.append(_rejected(facts))
    else:
        notes.append("Rejected records: there are none from the last 90 days.")
    if any(table.freshness.extra_rows for table in facts.tables.values()):
        listings.append(_extra(facts))
    else:
        notes.append("Fields without a column: no row has any.")
    return Section("Quality", listings=tuple(listings), notes=tuple(notes))


def _verifications(found: tuple[Verification, ...]) -> Listing:
    rows = tuple((minute(one.ended_at), one.result, scope_of(one), one.message) for one in reversed(found))
    notes = [shown_name(note) for note in found[-1].notes]
    told = "The latest first." + (f" Of the latest: {'; '.join(notes)}." if notes else "")
    return Listing(
        "Verifications", told, Numbers(("ended", "result", "scope", "verdict"), rows, frozenset({0, 1, 2, 3}))
    )


def scope_of(one: Verification) -> str:
    """What a verification covers, in a few words; a dash where its summary does not say."""
    if one.asked_workspace is None:
        return "–"
    names = [_GROUPS.get(name, shown_name(name)) for name in one.chosen]
    tables = "all tables" if not names else listed(names) if len(names) <= _MOST_NAMES else f"{len(names)} tables"
    return f"{tables}; {'compared with Intercom' if one.asked_workspace else 'files only'}"


def _differences(latest: Verification) -> Listing:
    rows = latest.differences[:_MOST_LINES]
    more = len(latest.differences) - len(rows)
    told = "What the latest verification found." + (f" {more:,} more are in its summary in the lake." if more else "")
    return Listing("Differences", told, Numbers(("table", "difference"), rows, frozenset({0, 1})))


def _rejected(facts: LakeFacts) -> Listing:
    rows = [
        (name, reason, count(number))
        for name, table in facts.tables.items()
        for reason, number in table.rejected.most_common()
    ]
    told = "Records of the last 90 days that could not be rows. The folder _rejected of the lake has them."
    return Listing("Rejected records", told, Numbers(("table", "reason", "records"), tuple(rows), frozenset({0, 1})))


def _extra(facts: LakeFacts) -> Listing:
    rows = []
    for name, table in facts.tables.items():
        fresh = table.freshness
        if not fresh.extra_rows:
            continue
        fields = [f"{shown_name(field)} ({number:,})" for field, number in fresh.extra.most_common(_MOST_FIELDS)]
        more = len(fresh.extra) - len(fields)
        rows.append((name, ", ".join(fields) + (f" and {more:,} more" if more > 0 else ""), count(fresh.extra_rows)))
    told = "Rows with values that have no column, or do not fit it. The column _extra has these values as sent."
    return Listing(
        "Kept in _extra",
        told,
        Numbers(("table", "fields, and rows that have them", "rows"), tuple(rows), frozenset({0, 1})),
    )
