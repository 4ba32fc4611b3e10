"""Deletes many objects of a store, up to 1,000 in one request where the store has such a request."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

log = logging.getLogger(__name__)

_IN_ONE_REQUEST = 1000
"""Most keys in one request; S3 accepts no more."""
_AT_A_TIME = 16


def remove(fs: Any, paths: Sequence[str]) -> None:
    """Remove objects of an fsspec filesystem by their full paths; a missing object is no error."""
    left = _removed_in_bulk(fs, paths) if len(paths) > 1 and hasattr(fs, "call_s3") else paths
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="remove") as pool:
        for _ in pool.map(lambda path: _remove(fs, path), left):
            pass


def _remove(fs: Any, path: str) -> None:
    with suppress(FileNotFoundError):
        fs.rm_file(path)


def _removed_in_bulk(fs: Any, paths: Sequence[str]) -> list[str]:
    """Remove objects in batches of 1,000; gives the paths that have to be removed one by one.

    The request is S3's ``DeleteObjects`` and not ``fs.rm``, because ``fs.rm`` reads ``*`` and ``[`` in a path as a
    pattern and does not say which objects of a batch the store refused to remove.
    """
    left: list[str] = []
    for first in range(0, len(paths), _IN_ONE_REQUEST):
        batch = {fs.split_path(path)[1]: path for path in paths[first : first + _IN_ONE_REQUEST]}
        bucket = fs.split_path(paths[first])[0]
        wanted = {"Objects": [{"Key": key} for key in batch], "Quiet": True}
        try:
            answer = fs.call_s3("delete_objects", Bucket=bucket, Delete=wanted)
        except Exception as error:  # some servers lack this request, or require a checksum that is no longer sent
            log.debug("objects are removed one by one, since the store refuses batches: %s", error)
            return [*left, *paths[first:]]
        left += [batch[refused["Key"]] for refused in answer.get("Errors", [])]
    return left
