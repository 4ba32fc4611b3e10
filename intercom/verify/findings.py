"""What a verification finds: each difference with its place and what mends it, and the result of each table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from intercom.sync.time_text import shown_time

MOST_KEYS = 10
"""Keys that a difference names; it counts all of them."""


class Kind(StrEnum):
    """What is wrong. Those up to `STRANGER` are differences inside the lake, the others from the workspace."""

    RECORD = "record"
    """The table's record is missing, damaged, or older than the files."""
    FILE_GONE = "file gone"
    FILE_REPLACED = "file replaced"
    """The file is not the one that the record names: another version, another footer, another number of rows."""
    FILE_UNKNOWN = "file unknown"
    """A file of the table that no run has left there."""
    FILE_DAMAGED = "file damaged"
    """The file cannot be read, or a page's checksum is wrong."""
    COLUMNS = "columns"
    """The file has other columns than the record says."""
    CONTENT = "content"
    """A row is in the wrong month, has no key, or no time of its read."""
    KEY_TWICE = "key twice"
    STAGED = "staged"
    """Staged rows that the record counts on are not there, or cannot be read."""
    DIGESTS = "digests"
    """Rows that runs take for unchanged are not in the table."""
    DERIVED = "derived"
    """A derived table is not what its parent's rows give."""
    STRANGER = "stranger"
    """A file among the table's that readers would read too."""
    COUNT = "count"
    """The workspace counts another number of rows."""
    MISSING = "missing"
    """Rows of the workspace that the lake does not have."""
    EXTRA = "extra"
    """Rows of the lake that the workspace does not have any more."""
    STALE = "stale"
    """Rows that have changed in the workspace, longer ago than the last sync reaches."""
    FIELDS = "fields"
    """Rows whose fields differ though both sides have the same version."""


class Repair(StrEnum):
    """What mends a difference."""

    READ_TABLE = "read table"
    """The table is read from the beginning; months that are not the table's are written without their files."""
    READ_WINDOWS = "read windows"
    """The window is read again and merged."""
    READ_KEYS = "read keys"
    """The keys are read again, each by its own address, and merged."""
    REMOVE = "remove"
    """The rows are removed, or marked as deleted."""
    DERIVE = "derive"
    """The table is made anew of its parent, without requests."""
    BY_HAND = "by hand"
    """The files are not this program's to delete."""


@dataclass(frozen=True, slots=True)
class Window:
    """Records whose `field` (a time) is in [`start`, `end`), unix seconds; None is without a bound."""

    field: str
    start: int | None
    end: int | None

    def __str__(self) -> str:
        bounds = [f"{word} {shown_time(at)}" for word, at in (("from", self.start), ("to", self.end)) if at is not None]
        return f"{self.field} {' '.join(bounds) or 'of any time'}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it has to be. No text of it has a customer's value; keys are ids.

    `where` is for people: a month, a path in the lake, or a window in words. `expected` and `found` are short texts:
    counts, versions, names of fields. `keys` are at most `MOST_KEYS` of the `count` rows that are concerned (0: not
    known, or not about rows). For the repair: `months` whose file is not to be used, `windows` to be read again;
    `all_keys` are what `READ_KEYS` and `REMOVE` need, and are in neither text nor JSON.
    """

    table: str
    kind: Kind
    where: str
    expected: str
    found: str
    repair: Repair
    keys: tuple[str, ...] = ()
    count: int = 0
    months: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    all_keys: tuple[str, ...] = ()

    @property
    def mended_by(self) -> str:
        """What would repair it, as a clause: ``intercom-lake verify --repair reads ...``."""
        return _MENDED_BY[self.repair]

    @property
    def line(self) -> str:
        """One line: ``contacts, created_month=2026-01: file damaged: expected 120 rows, found ...; mended by ...``."""
        named = f" ({', '.join(self.keys)}{', ...' if self.count > len(self.keys) else ''})" if self.keys else ""
        return (
            f"{self.table}, {self.where}: {self.kind}: expected {self.expected}, found {self.found}{named}; "
            f"{self.mended_by}"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object with everything but `all_keys`."""
        return {
            "table": self.table,
            "kind": str(self.kind),
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "keys": list(self.keys),
            "count": self.count,
            "months": list(self.months),
            "windows": [{"field": window.field, "from": window.start, "to": window.end} for window in self.windows],
            "repair": str(self.repair),
            "mended_by": self.mended_by,
        }


_MENDED_BY = {
    Repair.READ_TABLE: "--repair lets the next sync read the table from the beginning",
    Repair.READ_WINDOWS: "--repair reads these rows again",
    Repair.READ_KEYS: "--repair reads these rows again",
    Repair.REMOVE: "--repair removes them, or marks them where the connection says so",
    Repair.DERIVE: "--repair lets the next sync make the table again",
    Repair.BY_HAND: "move or delete the file yourself",
}


@dataclass(frozen=True, slots=True)
class TableProof:
    """What was verified of one table, and what was found.

    `files`, `rows` (with deleted ones that are marked), `bytes`: published files that were read whole. `windows`,
    `sampled`, `requests`: windows whose counts were compared, records that were compared field by field, requests that
    were sent. `notes` are sentences on what could not be verified, and why. `skipped` says why nothing was verified,
    which is neither a proof nor a difference.
    """

    table: str
    files: int = 0
    rows: int = 0
    bytes: int = 0
    windows: int = 0
    sampled: int = 0
    requests: int = 0
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str | None = None
    failure: str | None = None

    @property
    def proven(self) -> bool:
        """Whether all that was verified is right."""
        return self.skipped is None and self.failure is None and not self.differences

    def with_api(self, api: TableProof) -> TableProof:
        """The local half with the half against the API, of the same table."""
        return replace(
            self,
            windows=api.windows,
            sampled=api.sampled,
            requests=self.requests + api.requests,
            differences=(*self.differences, *api.differences),
            notes=(*self.notes, *api.notes),
            failure=self.failure or api.failure,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "table": self.table,
            "proven": self.proven,
            "files": self.files,
            "rows": self.rows,
            "bytes": self.bytes,
            "windows": self.windows,
            "sampled": self.sampled,
            "requests": self.requests,
            "differences": [difference.to_json() for difference in self.differences],
            "notes": list(self.notes),
            "skipped": self.skipped,
            "failure": self.failure,
        }


def about_rows(
    table: str,
    kind: Kind,
    where: str,
    expected: str,
    found: str,
    repair: Repair,
    keys: Sequence[str],
    windows: Sequence[Window] = (),
    months: Sequence[str] = (),
) -> Difference:
    """A difference that concerns these rows, of which it names a few."""
    few = tuple(keys[:MOST_KEYS])
    return Difference(
        table, kind, where, expected, found, repair, few, len(keys), tuple(months), tuple(windows), tuple(keys)
    )
