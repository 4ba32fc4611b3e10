"""Which runs hold a connection's tables now, as far as their files tell; nothing is taken, written or waited for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from intercom.lake.locks.files import LockFiles, heartbeat_path
from intercom.lake.process import Process
from intercom.lake.storage import Lake


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that has a heartbeat in the lake, with the tables that it has taken.

    `at_work` is True or False if its process can be looked for from here, else None. `since` and `renewed_at` are
    times by the clock of its `host`, as text; empty if unknown.
    """

    run_id: str
    host: str
    since: str
    renewed_at: str
    tables: tuple[str, ...]
    at_work: bool | None


def holders_of(lake: Lake, connection: str, tables: Iterable[str], process: Process | None = None) -> list[Holder]:
    """The runs that hold any of the tables, oldest first. Raises LakeError."""
    files, here = LockFiles(lake, connection), process or Process.current()
    beats = files.heartbeats()
    if not beats:
        return []
    newest = {table: found[-1] for table, found in files.generations(tables).items() if found}
    records = files.each(lambda table: files.read(files.path(table, newest[table])), newest)
    held: dict[str, list[str]] = {}
    for table, record in zip(newest, records, strict=True):
        held.setdefault(heartbeat_path(str((record or {}).get("attempt", ""))), []).append(table)
    found = []
    for path in beats.keys() & held.keys():
        beat = beats[path]
        owner = Process.from_json(beat.get("process") or {})
        at_work = True if here.sees_at_work(owner) else False if here.has_outlived(owner) else None
        told = {name: str(beat.get(name, "")) for name in ("run_id", "since", "renewed_at")}
        found.append(Holder(host=owner.host, tables=tuple(held[path]), at_work=at_work, **told))
    return sorted(found, key=lambda holder: holder.since)
