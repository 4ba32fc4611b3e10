"""A table's files in the lake, compared with the table's record. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition


@dataclass(frozen=True, slots=True)
class Findings:
    """A table's files that are in the lake now.

    `published`: month -> stamp. `versions` and `rows`: month -> version and number of rows in the file's footer, only
    for files whose stamp is not the recorded one; `marked` the same of the rows that are marked as
    deleted. `staged`: run -> number of parts.
    """

    published: Mapping[str, str]
    staged: Mapping[str, int]
    versions: Mapping[str, str | None] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    marked: Mapping[str, int] = field(default_factory=dict)


def missing_from(state: TableState, findings: Findings) -> str | None:
    """How the files differ from the record, in words; None when they do not.

    Unknown and damaged files are not reported when the staged rows are the whole table: the merge leaves them out.
    """
    gone = sorted(month for month in state.partitions if month not in findings.published)
    if gone:
        return f"{_count(gone, 'published file')} of the table {_is_are(gone)} gone ({_list(gone)})"
    other = sorted(replaced_files(state, findings))
    if other:
        return f"{_count(other, 'published file')} {_is_are(other)} not as we left {_it_them(other)} ({_list(other)})"
    added = sorted(unknown_files(state, findings))
    if added and not state.staged_whole:
        files = _count(added, "file")
        return f"{files} of the table {_is_are(added)} there that no run has left there ({_list(added)})"
    if state.damaged and not state.staged_whole:
        return f"{_count(state.damaged, 'published file')} {_is_are(state.damaged)} damaged ({_list(state.damaged)})"
    lost = [run.attempt for run in state.staged if findings.staged.get(run.attempt, 0) != run.parts]
    if lost:
        return f"staged rows of {_count(lost, 'run')} are gone ({_list(lost)})"
    return None


def replaced_files(state: TableState, findings: Findings) -> set[str]:
    """Months with a recorded file that another writer has replaced, for example from a backup."""
    changed = {month for month in state.partitions if findings.published.get(month) != state.partitions[month].stamp}
    return {m for m in changed & set(findings.published) if not state.knows(m, findings.versions.get(m))}


def unknown_files(state: TableState, findings: Findings) -> set[str]:
    """Months that have a file but no entry in the record, for example a deleted file that was restored."""
    added = findings.published.keys() - state.partitions.keys()
    return {month for month in added if not state.knows(month, findings.versions.get(month))}


def adopted(findings: Findings) -> dict[str, Partition]:
    """Partitions for a table whose record is lost: every file with a version counts, ours or not."""
    return {
        month: _found(month, version, findings) for month, version in findings.versions.items() if version is not None
    }


def not_to_be_merged(state: TableState, findings: Findings) -> set[str]:
    """Months whose file is left out of the merge by a run that has read everything: its rows are not the table's."""
    return replaced_files(state, findings) | unknown_files(state, findings) | set(state.damaged)


def intact(state: TableState, findings: Findings) -> dict[str, Partition]:
    """The partitions by the files there are now, without files that are gone or were put there by another writer.

    They include new files that a compaction published before it died.
    """
    other = replaced_files(state, findings)
    added = findings.published.keys() - state.partitions.keys() - unknown_files(state, findings)
    return {month: _found(month, findings.versions.get(month) or "", findings) for month in added} | {
        month: _as_found(month, entry, findings)
        for month, entry in state.partitions.items()
        if month in findings.published and month not in other
    }


def _as_found(month: str, entry: Partition, findings: Findings) -> Partition:
    """The entry of a file that is there now. Its digests are unknown if the version is not the recorded one."""
    version = findings.versions.get(month) or entry.version
    if version == entry.version:
        return replace(entry, stamp=findings.published[month])
    return _found(month, version, findings, entry.rows, entry.marked)


def _found(month: str, version: str, findings: Findings, rows: int = 0, marked: int = 0) -> Partition:
    rows, marked = findings.rows.get(month, rows), findings.marked.get(month, marked)
    return Partition(rows, version, findings.published[month], marked=marked)


def _count(names: Sequence[str], noun: str) -> str:
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"


def _is_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _it_them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _list(names: Sequence[str]) -> str:
    shown = [name or "data.parquet" for name in names[:3]]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")
