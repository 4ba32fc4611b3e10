"""Unique values that must not get through, and the search for them in all bytes of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MARK = "zqneedle"
"""Part of every needle that is a text."""
DIGITS = 7_183_926_155
"""A needle that is a number."""
ERROR = {"type": "error.list", "errors": [{"code": "bad_request", "message": f"{MARK}-error@x.example is no {DIGITS}"}]}
"""An error as Intercom sends it, which repeats values."""


def needle(name: str) -> str:
    return f"{MARK}-{name}@x.example"


def found_in(text: bytes) -> bool:
    return MARK.encode() in text.lower() or str(DIGITS).encode() in text


def files_with_needles(folder: Path) -> list[str]:
    """Files below the folder with a needle in their bytes, or in the values of Parquet files."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(map(found_in, _texts_of(path)))
    )


def _texts_of(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield json.dumps(pq.ParquetFile(path).read().to_pylist(), default=str).encode()


def plant(record: dict[str, Any], at: dict[str, Any]) -> dict[str, Any]:
    """The record with these values at dotted paths; a list on the way stands for each element."""
    for path, value in at.items():
        _put(record, path.split("."), value)
    return record


def _put(found: Any, path: list[str], value: Any) -> None:
    if isinstance(found, list):
        for element in found:
            _put(element, path, value)
    elif isinstance(found, dict):
        if len(path) == 1:
            found[path[0]] = value
        else:
            if not isinstance(found.get(path[0]), dict | list):
                found[path[0]] = {}
            _put(found[path[0]], path[1:], value)
