"""Makes deployments/docs/fault-matrix.md of `tests.support.fault_matrix`: ``python -m tests.fault_page``."""

from __future__ import annotations

from pathlib import Path

from intercom.tables.catalogue import TABLES
from tests.support.fault_cells import ways_of
from tests.support.fault_matrix import BELIEVED, FAULTS, Outcome, Way

PAGE = Path(__file__).parents[1] / "deployments" / "docs" / "fault-matrix.md"
_ABOVE = """# What each fault does to a run

This page shows what happens to a table when something goes wrong between a run and Intercom. Each line is a fault. Each
column is a way to read a table. A cell has one of these results:

"""
_TESTED = """The tests try the faults. `make test` tries a part of them. `make soak ONLY=fault_matrix` tries each fault
with each table, in incremental runs and in full refreshes. After a fault, a run without faults makes the table exactly
right again; after *missed*, a full refresh does. `python -m tests.fault_page` makes this page from the table that the
tests use."""
_BELIEVED = """One fault cannot be noticed: Intercom sends the list of another parent, and its records do not name their
parent ({tables}). The run stores its rows for the parent that it asked for. They stay until this parent is read again:
when it changes, in a full refresh, or, for newsfeed_items, in the next run."""
_OUTCOMES = {
    Outcome.EXACT: "the table has exactly what the workspace has",
    Outcome.ERROR: "the table fails. The error says what to do. Rows and watermark stay as before",
    Outcome.WARNED: "the run says what is missing, with numbers. It removes no row, and the watermark stays",
    Outcome.OWED: "the run goes on without these parents, and names them. Each run asks for them again until they "
    "answer. If they are many, the table fails",
    Outcome.LATER: "the next run reads the rest, since the watermark has not passed it",
    Outcome.MISSED: "a list of children is too short, and does not say so. No row is removed: the run asks once more "
    "for children that the lake has. A new child comes when its parent changes again, or with a full refresh",
    Outcome.NEVER: "cannot happen: there is no such request, or nothing of that kind in the answer",
}


def page() -> str:
    """The page, as Markdown."""
    lines = [f"- **{outcome}**: {text}." for outcome, text in _OUTCOMES.items()]
    lines += ["", _TESTED]
    lines += ["", f"| | {' | '.join(Way)} |", f"|---|{'---|' * len(Way)}"]
    for fault in FAULTS:
        cells = [" or ".join(sorted(fault.outcomes(way))) for way in Way]
        lines.append(f"| **{fault.name}**: {fault.what} | {' | '.join(cells)} |")
    lines += ["", "Which tables are read how:", ""]
    for way in Way:
        lines.append(f"- {way}: {', '.join(name for name in TABLES if way in ways_of(name))}")
    derived = ", ".join(name for name in TABLES if not ways_of(name))
    lines.append(f"- derived from another table, without a request: {derived}")
    lines += ["", _BELIEVED.format(tables=", ".join(BELIEVED))]
    return _ABOVE + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
