"""Asks Intercom once more for rows that a full read lacks, before they are removed.

few rows missing, the read short of what is counted       each is asked for by its own address
companies, whose count is a lower bound only               the same
children, which have no address of their own               a second read must lack them as well
more than a fifth of the table missing                     a second read must lack them as well, and
                                                           in tables of more than 100 rows a person has said so
children, where an answer of a parent is in doubt          rows of parents that are gone stay, unless permitted
children, where a parent gave no usable answer             nothing is removed: its stored rows are not among those
                                                           that came
any row of a small list missing                            a second read must lack it as well
any entry of a log missing                                 it stays, unless a person has said so: entries are never
                                                           deleted, but Intercom need not serve old ones for ever
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from intercom.errors import RetriableApiError
from intercom.lake.state import TableState
from intercom.sync.by_address import ask_each
from intercom.sync.read_table import TableReader
from intercom.sync.removals import Missing, a_key, count_read, find_missing
from intercom.sync.vanished import ASKED_ONE_BY_ONE, LARGE_SHARE, SMALL_TABLE
from intercom.tables.table import Access

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether rows that a read lacks may go. `note` says why not; with `failed` the table has failed because of it."""

    allowed: bool
    note: str = ""
    failed: bool = False

    @property
    def refused(self) -> str | None:
        """Why the table has failed; None where it has not."""
        return self.note if self.failed else None


def confirm_removals(read: TableReader, state: TableState | None, *, permitted: bool) -> Verdict:
    """Decide about the rows that a complete read lacks; reads again, and stages single records, where that decides.

    `permitted`: a person has said that a large part of the table may go.
    """
    missing = _missing(read, state)
    if not missing.count:
        return Verdict(True)
    # Of a parent that is owed, stored rows are not among those that came; a second read may owe one, too.
    verdict = Verdict(True) if read.completeness.owes else _decide(read, state, missing, permitted=permitted)
    if verdict.allowed and read.completeness.owes:
        return _kept(read.table.name, missing, "some of them may be of records that gave no usable answer")
    return verdict


def _decide(read: TableReader, state: TableState | None, missing: Missing, *, permitted: bool) -> Verdict:
    name, is_list = read.table.name, read.table.is_replaced
    if read.table.access is Access.TIME_LOG and not permitted:
        return _kept(name, missing, "entries of a log stay when Intercom ceases to serve them")
    if read.table.replaces_children and not permitted and _may_lack_children(read):
        assert read.table.parent is not None
        return Verdict(
            False,
            f"{name}: what the lake has of {read.table.parent.table.name} that are gone stays, because it is not sure "
            "that all rows of the others came. Rows that are gone from those that came whole are removed. To remove "
            "what did not come, run with --full-refresh --allow-mass-removal",
        )
    again = is_list or missing.is_large
    if again:
        log.warning("%s: the read lacks %s that the lake has; reading once more", name, missing)
        missing = _read_once_more(read, state)
    if is_list or not missing.count:
        return Verdict(True)
    if not read.completeness.complete:
        return _kept(name, missing, "a second read is short of what Intercom counts")
    if missing.needs_permission and not permitted:
        return Verdict(False, _refusal(name, missing), failed=True)
    short = read.completeness.missing > 0
    if not short and read.table.may_wait:
        return Verdict(True)
    if missing.count <= ASKED_ONE_BY_ONE and not read.table.is_child:
        return _ask_each(read, missing)
    if not short and not again:
        missing = _read_once_more(read, state)
    if read.completeness.missing == 0:
        return Verdict(True)
    return _kept(name, missing, "Intercom counts more rows than it gave, and these are too many to be asked for each")


def confirm_repair(read: TableReader, state: TableState, *, permitted: bool) -> None:
    """Doubt a complete read from the beginning that finds far fewer rows than the table's record has.

    Such a read replaces files that are missing, damaged or not ours, so rows that it lacks would be lost. If more than
    a fifth of the rows is missing, it is repeated. If they are still missing then, the read of a table of more than 100
    rows counts as incomplete, with a note, unless `permitted`.
    """
    name = read.table.name
    sound = sum(entry.alive for month, entry in state.partitions.items() if month not in state.damaged)
    known = sound or state.alive  # a file that is not ours may have been merged into a damaged month
    for last in (False, True):
        found = count_read(read.table, read.lake_table, read.staged_parts())
        if known - found <= LARGE_SHARE * known or (last and (permitted or known <= SMALL_TABLE)):
            return
        if not last:
            log.warning("%s: %d rows were read, and the lake's record has %d; reading once more", name, found, known)
            read.read_again()
    read.completeness.counted += known
    read.completeness.missing += known - found
    read.completeness.notes.append(
        f"{name}: two reads from the beginning found {found:,} rows, where the lake's record has {known:,}. Nothing "
        "was removed, and the watermark has not moved. If these rows are gone from Intercom on purpose, run with "
        "--full-refresh --allow-mass-removal"
    )


def _may_lack_children(read: TableReader) -> bool:
    """Whether an answer did not tell which children of its parent are there; unknown of those of earlier attempts."""
    return bool(read.tally.untold or read.rejected.total or read.checkpoints.earlier)


def _missing(read: TableReader, state: TableState | None) -> Missing:
    return find_missing(read.table, read.lake_table, state, read.staged_parts())


def _read_once_more(read: TableReader, state: TableState | None) -> Missing:
    """Read once more. Returns the rows that both reads lack; keeps the larger shortfall and the notes of both."""
    first = read.completeness
    read.read_again()
    read.completeness.missing = max(read.completeness.missing, first.missing)
    read.completeness.notes = list(dict.fromkeys([*first.notes, *read.completeness.notes]))
    return _missing(read, state)


def _ask_each(read: TableReader, missing: Missing) -> Verdict:
    """Request each row by its own address: after a 404 it may be removed, else its record is staged with the others."""
    name = read.table.name
    control = a_key(read.table, read.lake_table, read.staged_parts())
    answers = ask_each(read, read.table, missing.keys, control)
    if isinstance(answers.refusal, RetriableApiError):
        raise answers.refusal
    if answers.why is not None:
        return _kept(name, missing, answers.why)
    if answers.refusal is not None:
        return _kept(name, missing, f"they cannot be asked for by their own address ({answers.refusal})")
    read.add(answers.pages)
    return Verdict(True)


def _kept(name: str, missing: Missing, why: str) -> Verdict:
    return Verdict(False, f"{name}: {missing} of the lake were not read, and nothing was removed: {why}")


def _refusal(name: str, missing: Missing) -> str:
    return (
        f"a full refresh would remove {missing}, which two reads lack. Nothing was removed, and all that was read is "
        f"in the lake. If these {name} are gone from Intercom on purpose, run again with --full-refresh "
        "--allow-mass-removal"
    )
