"""A verification as text, as markdown for Prefect's page, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from intercom.lake.watermark import iso_text
from intercom.sync.summary import markdown_table, shown_size, unbroken_words
from intercom.verify.findings import Difference, TableProof

VERSION: Final = 1
_HEADINGS: Final = ("table", "files", "rows", "bytes", "windows", "sampled", "requests", "result")
_ONLY_IF_SOME: Final = {"windows", "sampled", "requests"}
"""Columns that are left out where every table has 0, as in a verification of the files alone."""
_MOST_LINES: Final = 200
"""Differences that the page of a run tells; the command and the JSON tell all."""


@dataclass(frozen=True, slots=True)
class Scope:
    """How much a verification covers.

    `chosen` are the tables and groups that it was asked for, none for all that the lake has. Without `asked_workspace`
    files were compared with their record alone, and no row with Intercom's.
    """

    chosen: tuple[str, ...] = ()
    asked_workspace: bool = True


EVERYTHING: Final = Scope()


def exit_status(proofs: Sequence[TableProof], strangers: Sequence[Difference] = ()) -> int:
    """0 if every table is proven that the lake has something of, else 1."""
    return int(bool(strangers or any(proof.differences or proof.failure for proof in proofs)))


def verdict(proofs: Sequence[TableProof], strangers: Sequence[Difference] = (), scope: Scope = EVERYTHING) -> str:
    """How a verification ended, in a sentence."""
    proven = [proof for proof in proofs if proof.proven]
    files, rows = sum(proof.files for proof in proofs), sum(proof.rows for proof in proofs)
    size = shown_size(sum(proof.bytes for proof in proofs))
    said = [f"{_count(len(proven), 'table')} proven"]
    wrong = [proof for proof in proofs if proof.differences]
    if differences := sum(len(proof.differences) for proof in proofs) + len(strangers):
        said.append(f"{_count(differences, 'difference')} in {_count(len(wrong) + len(strangers), 'table')}")
    if failed := [proof.table for proof in proofs if proof.failure]:
        said.append(f"{len(failed)} could not be verified ({', '.join(failed)})")
    if skipped := [proof.table for proof in proofs if proof.skipped]:
        said.append(f"{len(skipped)} left out ({', '.join(skipped)})")
    asked = "" if scope.asked_workspace else "; nothing was compared with Intercom"
    return f"{', '.join(said)}; {_count(files, 'file')} of {rows:,} rows and {size} were read completely{asked}"


def as_text(proofs: Sequence[TableProof], strangers: Sequence[Difference] = (), scope: Scope = EVERYTHING) -> str:
    """Aligned columns, then a line for each difference, one for each note, and the verdict."""
    headings, lines = _table(proofs)
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    table = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:-1]), line[-1]]).rstrip()
        for line in [headings, *lines]
    ]
    told = [difference.line for difference in _differences(proofs, strangers)]
    notes = [f"note: {line}" for line in _notes(proofs)]
    blocks = ["\n".join(block) for block in (table, told, notes) if block]
    return "\n\n".join([*blocks, f"{verdict(proofs, strangers, scope)}."])


def as_markdown(proofs: Sequence[TableProof], strangers: Sequence[Difference] = (), scope: Scope = EVERYTHING) -> str:
    """The same for Prefect's narrow page: differences first, of very many the first ones, and no column of bytes."""
    headings, lines = _table(proofs, without="bytes")
    lines = [[*line[:-1], unbroken_words(line[-1])] for line in lines]
    differences = [f"- {difference.line}" for difference in _differences(proofs, strangers)]
    if (more := len(differences) - _MOST_LINES) > 0:
        differences = [*differences[:_MOST_LINES], f"- and {more:,} more, which the summary in the lake tells"]
    notes = [f"- note: {line}" for line in _notes(proofs)]
    blocks = ["\n".join(block) for block in (differences, notes, markdown_table(headings, lines)) if block]
    return "\n\n".join([f"{verdict(proofs, strangers, scope)}.", *blocks])


def as_json(
    proofs: Sequence[TableProof],
    strangers: Sequence[Difference],
    *,
    run_id: str,
    connection: str,
    lake: str,
    started_at: datetime,
    ended_at: datetime,
    scope: Scope,
) -> dict[str, Any]:
    """A JSON object; times in ISO 8601, UTC, to the second."""
    return {
        "version": VERSION,
        "run_id": run_id,
        "connection": connection,
        "lake": lake,
        "started_at": iso_text(started_at.replace(microsecond=0)),
        "ended_at": iso_text(ended_at.replace(microsecond=0)),
        "chosen": list(scope.chosen),
        "asked_workspace": scope.asked_workspace,
        "ok": exit_status(proofs, strangers) == 0,
        "message": verdict(proofs, strangers, scope),
        "tables": [proof.to_json() for proof in proofs],
        "strangers": [difference.to_json() for difference in strangers],
    }


def _table(proofs: Sequence[TableProof], without: str = "") -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the columns that tell something, and are not the one to be left out."""
    all_cells = [dict(zip(_HEADINGS, _cells(proof), strict=True)) for proof in proofs]
    headings = [
        name
        for name in _HEADINGS
        if name != without and (name not in _ONLY_IF_SOME or any(cells[name] != "0" for cells in all_cells))
    ]
    return headings, [[cells[name] for name in headings] for cells in all_cells]


def _cells(proof: TableProof) -> list[str]:
    numbers = [f"{number:,}" for number in (proof.files, proof.rows)]
    asked = [f"{number:,}" for number in (proof.windows, proof.sampled, proof.requests)]
    return [proof.table, *numbers, shown_size(proof.bytes), *asked, _result(proof)]


def _result(proof: TableProof) -> str:
    if proof.failure:
        return "failed"
    if proof.skipped:
        return "left out"
    return _count(len(proof.differences), "difference") if proof.differences else "proven"


def _differences(proofs: Sequence[TableProof], strangers: Sequence[Difference]) -> list[Difference]:
    return [*(difference for proof in proofs for difference in proof.differences), *strangers]


def _notes(proofs: Sequence[TableProof]) -> list[str]:
    """A line for each note, failure and reason; what is the same of several tables is one line with their names."""
    about: dict[str, list[str]] = {}
    for proof in proofs:
        for line in (*proof.notes, *(text for text in (proof.failure, proof.skipped) if text)):
            about.setdefault(line.removeprefix(f"{proof.table}: "), []).append(proof.table)
    return [f"{', '.join(names)}: {line}" for line, names in about.items()]


def _count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"
