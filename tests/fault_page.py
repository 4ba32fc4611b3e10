"""Makes deployments/docs/fault-matrix.md of `tests.support.fault_matrix`: ``python -m tests.fault_page``."""

from __future__ import annotations

from pathlib import Path

from intercom.tables.catalogue import TABLES
from tests.support.fault_cells import ways_of
from tests.support.fault_matrix import BELIEVED, FAULTS, Outcome, Way

PAGE = Path(__file__).parents[1] / "deployments" / "docs" / "fault-matrix.md"
_ABOVE = """# What becomes of a run when something goes wrong

Each line is something that goes wrong between a run and Intercom, each column a way to read a table. The tests try
them: `make test` a part, `make soak ONLY=fault_matrix` each fault with each table, by runs that read what is new and by
full refreshes. After each of them a run without the fault leaves the table exactly as the workspace has it; after
*missed* a full refresh does.

This page is made of the table that the tests go by: `python -m tests.fault_page`.

"""
_BELIEVED = """What cannot be told: a list that is another parent's, where its records do not name theirs
({tables}). Its rows are taken for those of the record that was asked for, until it is read again: when it changes, in a
full refresh, or, for newsfeed_items, in the next run."""
_OUTCOMES = {
    Outcome.EXACT: "the table is exactly what the workspace has, in spite of it",
    Outcome.ERROR: "the table fails: the error names it and what to do. Its rows and its watermark are as before",
    Outcome.WARNED: "the run says what is missing, with numbers. It removes no row, and the watermark stays",
    Outcome.OWED: "the run goes on without these parents, names them, and asks for them in each run until they answer; "
    "the table fails if they are many",
    Outcome.LATER: "the rest comes with the next run: the watermark has not passed it",
    Outcome.MISSED: "a list of children that is too short, and does not say so, removes no row: those that the lake "
    "has are asked for once more. New ones that it lacks come when their parent changes again, or with a full refresh",
    Outcome.NEVER: "does not happen: there is no such request, or nothing of that kind in the answer",
}


def page() -> str:
    """The page, as Markdown."""
    lines = [f"- **{outcome}**: {text}." for outcome, text in _OUTCOMES.items()]
    lines += ["", f"| | {' | '.join(Way)} |", f"|---|{'---|' * len(Way)}"]
    for fault in FAULTS:
        cells = [" or ".join(sorted(fault.outcomes(way))) for way in Way]
        lines.append(f"| **{fault.name}**: {fault.what} | {' | '.join(cells)} |")
    lines += ["", "Which tables are read how:", ""]
    for way in Way:
        lines.append(f"- {way}: {', '.join(name for name in TABLES if way in ways_of(name))}")
    derived = ", ".join(name for name in TABLES if not ways_of(name))
    lines.append(f"- made of rows of another table, so that nothing is asked for: {derived}")
    lines += ["", _BELIEVED.format(tables=", ".join(BELIEVED))]
    return _ABOVE + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
