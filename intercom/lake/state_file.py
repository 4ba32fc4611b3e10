"""Saves a table's record only over the version that was read, in one step: a run that was overtaken fails.

    _state/<connection>/<table>.json             the record; without it the table has none
    _state/<connection>/<table>.<generation>     the same, where generations are counted: the step of saving it

How that is one step depends on the store: it replaces the record only while its ETag is the one that was read
(``If-Match``); or one of all who have read a generation can create the next one, as on local disks; or, on a store that
can do neither, the record is looked at just before it is written.
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
    """A record as it lies there: None when there is none; what is no JSON object lacks every field of a record."""

    record: dict[str, Any] | None
    generation: Generation


class StateFile:
    """The record at a path that ends in ``.json``."""

    def __init__(self, lake: Lake, path: str) -> None:
        self._lake, self._path = lake, path
        self._folder, _, name = path.rpartition("/")
        self._stem = name.removesuffix(_ENDING)

    def read(self) -> Found:
        """The record that counts."""
        if self._way() is _Way.ETAG:
            found = self._lake.read_with_etag(self._path)
            record, etag = (None, "") if found is None else (_parsed(found[0]), found[1])
            return Found(record, Generation(_number(record) or 0, etag))
        if self._way() is _Way.LOOK:
            record = _parsed(self._lake.read_bytes(self._path))
            return Found(record, Generation(_number(record) or 0, _digest(record)))
        return self._greatest()

    def save(self, record: Mapping[str, Any], over: Generation | None) -> Generation:
        """Save the record over the generation that was read, None where there was none, in one step.

        Raises OvertakenError when another one, or none, is there.
        """
        way = self._way()
        self._tell(way)
        if way is _Way.ETAG:
            number, etag = (1, None) if over is None else (over.number + 1, over.mark)
            return Generation(number, self._lake.replace_json(self._path, {**record, "generation": number}, etag))
        found = self.read()
        there = None if found.record is None else found.generation
        if there != over:
            raise overtaken(self._lake.url, self._path)
        number = found.generation.number + 1
        numbered = {**record, "generation": number}
        if way is _Way.NUMBER:
            self._take(number, numbered, first=over is None)
        self._lake.write_json(self._path, numbered)
        if way is _Way.NUMBER:
            self._lake.delete(self._at(old) for old in self._numbers() if old < number)
        return Generation(number, _digest(numbered))

    def _way(self) -> _Way:
        if self._lake.replaces_conditionally():
            return _Way.ETAG
        return _Way.NUMBER if self._lake.local or self._lake.creates_exclusively() else _Way.LOOK

    def _greatest(self) -> Found:
        """The greatest generation counts, but none without the record itself, and not before a later record.

        A record without a number was written by an older version of the program, or by hand: it is the latest.
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
        """Create a generation, which one run can; OvertakenError when another one has, or the record is gone."""
        if not self._lake.create_json(self._at(number), record) and self._lake.read_json(self._at(number)) != record:
            raise overtaken(self._lake.url, self._path)
        record_there = self._lake.read_bytes(self._path)
        greatest = max(*self._numbers(), _number(_parsed(record_there)) or 0)
        if greatest > number or (record_there is None and not first):  # it was taken and cleaned up before
            self._lake.delete([self._at(number)])
            raise overtaken(self._lake.url, self._path)

    def _numbers(self) -> list[int]:
        """The generations there are."""
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
        log.info("The record of each table in %s is saved %s", self._lake.url, way.value)


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    """The JSON object; of content that is none an object with the field `_DAMAGED` alone."""
    if content is None:
        return None
    with suppress(ValueError):
        record = json.loads(content)
        if isinstance(record, dict):
            return record
    return {_DAMAGED: hashlib.sha256(content).hexdigest()}


def _number(record: dict[str, Any] | None) -> int | None:
    """The generation that a record says it is; None when it does not say."""
    number = (record or {}).get("generation")
    return number if isinstance(number, int) else None


def _digest(record: dict[str, Any] | None) -> str:
    """Of what a record says, however it is spelled."""
    return "" if record is None else hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
