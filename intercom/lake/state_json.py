"""A table's record as JSON: what older versions of this package can read, and what they left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from typing import Any

from intercom.errors import LakeError
from intercom.lake.layout import FIRST_FORMAT, FORMAT, PARTS_FORMAT
from intercom.lake.staged_run import StagedRun
from intercom.lake.state import TableState
from intercom.lake.state_entries import ColumnMigration, DerivedMonth, Partition, SweepMark
from intercom.lake.watermark import iso_text
from intercom.tables.owed import OwedParent
from intercom.tables.schema import TableSchema

_BESIDE = {"footers": "footer", "contents": "content"}
"""Members of a record with one field of its partitions, each by month."""


def state_to_json(state: TableState) -> dict[str, Any]:
    """A JSON object; times in ISO 8601, UTC."""
    # Not by `asdict` alone, which copies every value: that takes longer than to write the record.
    fields = _members(state)
    del fields["generation"], fields["columns"], fields["rewriting"]
    fields["partitions"] = {month: _members(entry) for month, entry in state.partitions.items()}
    fields["derived_from"] = {month: _members(entry) for month, entry in state.derived_from.items()}
    fields["owed"] = tuple(map(asdict, state.owed))
    fields["staged"] = [run.to_json() for run in state.staged]
    for name in ("ingested_at", "saved_at"):
        fields[name] = iso_text(fields[name])
    for name in ("watermark", "history_from", "backfilled_from"):
        fields[name] = None if fields[name] is None else iso_text(datetime.fromtimestamp(fields[name], UTC))
    fields["sweep"] = None if state.sweep is None else state.sweep.to_json()
    fields["columns"] = None if state.columns is None else state.columns.to_json()
    rewriting = state.rewriting
    fields["rewriting"] = rewriting and {"version": rewriting.version, "to": rewriting.to.to_json()}
    # Not inside the partitions: older versions of this package fail on an unknown field there.
    for plural, name in _BESIDE.items():
        fields[plural] = {month: entry.pop(name) for month, entry in fields["partitions"].items()}
    marked = {month: entry.pop("marked") for month, entry in fields["partitions"].items()}
    if any(marked.values()):
        fields["marked"] = {month: rows for month, rows in marked.items() if rows}
    return {"format": _format(state), "rows": state.rows, **fields}


def state_from_json(record: Mapping[str, Any]) -> TableState:
    """The inverse of `state_to_json`.

    Raises LakeError for a record of a later format; KeyError, TypeError or ValueError for one that is damaged.
    """
    if int(record["format"]) > FORMAT:
        raise LakeError(
            f"The lake was written by a later version of intercom-lake (format {record['format']}, "
            f"this version knows {FORMAT}). Upgrade intercom-lake; nothing was changed."
        )
    return TableState(
        lake_id=str(record["lake_id"]),
        fingerprint=str(record["fingerprint"]),
        watermark=_second(record["watermark"]),
        history_from=_second(record["history_from"]),
        workspace=record["workspace"],
        run_id=str(record["run_id"]),
        ingested_at=_time(record["ingested_at"]),
        saved_at=_time(record["saved_at"]),
        partitions={
            month: Partition(
                **entry,
                **{name: _beside(record, plural, month) for plural, name in _BESIDE.items()},
                marked=int(record.get("marked", {}).get(month, 0)),
            )
            for month, entry in record["partitions"].items()
        },
        staged=tuple(StagedRun.from_json(entry) for entry in record["staged"]),
        compaction=record["compaction"],
        complete=bool(record.get("complete", True)),
        notes=tuple(map(str, record.get("notes", ()))),
        columns=None if record.get("columns") is None else TableSchema.from_json(record["columns"]),
        rewriting=None if record.get("rewriting") is None else _rewriting(record["rewriting"]),
        search_check=record.get("search_check"),
        refused=record.get("refused"),
        damaged=tuple(map(str, record.get("damaged", ()))),
        digests=record.get("digests"),
        backfills_only=bool(record.get("backfills_only", False)),
        backfilled_from=_backfilled_from(record),
        derived_from={month: DerivedMonth(**entry) for month, entry in record.get("derived_from", {}).items()},
        derived_by=str(record.get("derived_by", "")),
        owed=tuple(map(OwedParent.from_json, record.get("owed", ()))),
        sweep=None if record.get("sweep") is None else SweepMark.from_json(record["sweep"]),
    )


def _members(entry: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, with their own values."""
    return {field.name: getattr(entry, field.name) for field in fields_of(entry)}


def _format(state: TableState) -> int:
    """The earliest format whose versions of this package keep to what the record says."""
    declared = [state.columns, state.rewriting.to if state.rewriting else None]
    if any(columns is not None and (columns.marks_deleted or columns.rules) for columns in declared):
        return FORMAT
    return PARTS_FORMAT if any(run.parts for run in state.staged) else FIRST_FORMAT


def _beside(record: Mapping[str, Any], plural: str, month: str) -> Any:
    return str(record.get(plural, {}).get(month, ""))


def _rewriting(record: Mapping[str, Any]) -> ColumnMigration:
    return ColumnMigration(str(record["version"]), TableSchema.from_json(record["to"]))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _backfilled_from(record: Mapping[str, Any]) -> int | None:
    """The record's own; records of earlier versions do not say what backfills have copied: perhaps everything."""
    if "backfilled_from" in record:
        return _second(record["backfilled_from"])
    return None if record["history_from"] is None else 0


def _second(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp())
