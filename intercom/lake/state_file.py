"""Saves a table's record only if it is still the version that was read, in one step; else OvertakenError.

    _state/<connection>/<table>.json             the record; if it is missing, the table has no record
    _state/<connection>/<table>.<generation>     a copy, where creating it is the atomic step of saving

The atomic step depends on the store. With ``If-Match``, the store replaces the record only if its ETag is the one that
was read. With exclusive creation, as on local disks, only one of the runs that have read a generation can create the
next one. A store with neither gets no atomic step: the record is read again just before it is written.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from threading import Lock
from typing import Any

from intercom.lake.state import Generation
from intercom.lake.storage import Lake
from intercom.lake.storage_errors import overtaken

log = logging.getLogger(__name__)

_ENDING = ".json"
_CHECKSUM = "checksum"
"""Field of a record: a record that is damaged, or changed by hand, counts as none, and its table is read anew."""
_DAMAGED = "digest of what is no record"


class _Way(Enum):
    ETAG = "by If-Match, and so is each of its published files: a run that was overtaken can replace neither"
    NUMBER = (
        "by a generation that one run can create: a file that an overtaken run puts late is noticed by the next run"
    )
    LOOK = (
        "after a look at it, since the store has no conditional writes: what a run puts that was overtaken between the "
        "two is noticed by the next run"
    )


_told: set[str] = set()
_telling = Lock()


@dataclass(frozen=True, slots=True)
class Found:
    """The record in the lake, None if there is none. Damaged content has none of a record's fields."""

    record: dict[str, Any] | None
    generation: Generation


class StateFile:
    """The record at a path that ends in ``.json``."""

    def __init__(self, lake: Lake, path: str) -> None:
        self._lake, self._path = lake, path
        self._folder, _, name = path.rpartition("/")
        self._stem = name.removesuffix(_ENDING)

    def read(self) -> Found:
        """The current record."""
        if self._way() is _Way.ETAG:
            found = self._lake.read_with_etag(self._path)
            record, etag = (None, "") if found is None else (_parsed(found[0]), found[1])
            return Found(record, Generation(_number(record) or 0, etag))
        if self._way() is _Way.LOOK:
            record = _parsed(self._lake.read_bytes(self._path))
            return Found(record, Generation(_number(record) or 0, _digest(record)))
        return self._greatest()

    def peek(self) -> dict[str, Any] | None:
        """The current record, None if there is none; found without the trial writes by which a store shows its ways."""
        return self._greatest().record

    def superseded(self) -> tuple[int, int] | None:
        """Generations of the record's own file and of the copy that counts in its place, if somebody put back the file.

        None where the file counts, and where a run may have died between saving the copy and the file: the copy of the
        file's own generation, which is deleted last, is there then.
        """
        number, copies = _number(_parsed(self._lake.read_bytes(self._path))), self._numbers()
        greatest = max(copies, default=0)
        return (number, greatest) if number is not None and number < greatest and number not in copies else None

    def save(self, record: Mapping[str, Any], over: Generation | None) -> Generation:
        """Replace the generation `over` that was read (None: there was no record) by this record, in one step.

        Raises OvertakenError when another generation, or no record, is there.
        """
        way = self._way()
        self._tell(way)
        if way is _Way.ETAG:
            number, etag = (1, None) if over is None else (over.number + 1, over.mark)
            return Generation(number, self._lake.replace_json(self._path, _sealed(record, number), etag))
        found = self.read()
        there = None if found.record is None else found.generation
        if there != over:
            raise overtaken(self._lake.url, self._path)
        number = found.generation.number + 1
        sealed = _sealed(record, number)
        if way is _Way.NUMBER:
            self._take(number, sealed, first=over is None)
        self._lake.write_json(self._path, sealed)
        if way is _Way.NUMBER:
            self._lake.delete(self._at(old) for old in self._numbers() if old < number)
        return Generation(number, sealed[_CHECKSUM])

    def _way(self) -> _Way:
        if self._lake.replaces_conditionally():
            return _Way.ETAG
        return _Way.NUMBER if self._lake.local or self._lake.creates_exclusively() else _Way.LOOK

    def _greatest(self) -> Found:
        """The current record: the copy with the greatest generation, if the record exists and is older than the copy.

        A record without a number was written by an older package version or by hand, and counts as the latest.
        """
        greatest = max(self._numbers(), default=0)
        record = _parsed(self._lake.read_bytes(self._path))
        number = _number(record)
        if number is not None and number < greatest:
            later = _parsed(self._lake.read_bytes(self._at(greatest)))
            if later is None:  # another run has just saved a later one
                return self._greatest()
            if _DAMAGED not in later:
                record = later
        return Found(record, Generation(max(greatest, number or 0), _digest(record)))

    def _take(self, number: int, record: Mapping[str, Any], *, first: bool) -> None:
        """Create a generation's file. OvertakenError when another run has created it, or when the record is gone."""
        if not self._lake.create_json(self._at(number), record) and self._lake.read_json(self._at(number)) != record:
            raise overtaken(self._lake.url, self._path)
        record_there = self._lake.read_bytes(self._path)
        greatest = max(*self._numbers(), _number(_parsed(record_there)) or 0)
        if greatest > number or (record_there is None and not first):  # it was taken and cleaned up before
            self._lake.delete([self._at(number)])
            raise overtaken(self._lake.url, self._path)

    def _numbers(self) -> list[int]:
        """The generations that have a file."""
        endings = (
            name.removeprefix(f"{self._stem}.") for name in self._lake.names(self._folder) if self._is_ours(name)
        )
        return [int(ending) for ending in endings if ending.isascii() and ending.isdecimal()]

    def _is_ours(self, name: str) -> bool:
        return name.startswith(f"{self._stem}.")

    def _at(self, number: int) -> str:
        return f"{self._folder}/{self._stem}.{number}"

    def _tell(self, way: _Way) -> None:
        with _telling:
            if self._lake.url in _told:
                return
            _told.add(self._lake.url)
        # A local disk has one way only, which nobody has to weigh; of a store it says what can be relied on.
        level = logging.DEBUG if self._lake.local else logging.INFO
        log.log(level, "The record of each table in %s is saved %s", self._lake.url, way.value)


def _sealed(record: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The record as it is written: with its generation, and a checksum of all else."""
    numbered = {**record, "generation": number}
    return {**numbered, _CHECKSUM: _digest(numbered)}


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    """The JSON object; for other content, or one with a wrong checksum, an object with the field `_DAMAGED` alone.

    None for None. Records of older package versions have no checksum.
    """
    if content is None:
        return None
    with suppress(ValueError, RecursionError):
        record = json.loads(content)
        if isinstance(record, dict) and record.pop(_CHECKSUM, None) in (None, _digest(record)):
            return record
    return {_DAMAGED: hashlib.sha256(content).hexdigest()}


def _number(record: dict[str, Any] | None) -> int | None:
    """The generation number in a record; None if there is none."""
    number = (record or {}).get("generation")
    return number if isinstance(number, int) else None


def _digest(record: dict[str, Any] | None) -> str:
    """SHA-256 of a record's values, independent of the order and format of its JSON text; "" for None."""
    return "" if record is None else hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
