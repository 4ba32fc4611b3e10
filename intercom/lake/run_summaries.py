"""Summaries that runs leave in the lake, one JSON object for each try of a run, made by `intercom.sync.run_summary`.

    _state/<connection>/runs/<UTC time>-<run-id>.json        20261103T120751Z-<run-id>.json; kept for `KEPT`
    _state/<connection>/verified/<UTC time>-<run-id>.json    those of verifications, made by `intercom.verify.report`

The time is that at which the run ended. Names sort by it. A summary is written once, under a name of its own, so no
lock is needed. An hourly run leaves 8,760 of them a year, so a run lists those of its own day only: one short request
on S3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from intercom.lake.layout import folder_name, state_folder
from intercom.lake.storage import Lake

KEPT: Final = timedelta(days=400)
_AHEAD: Final = timedelta(days=1)
"""A summary whose name is later than this was written by a machine whose clock is wrong: it is not the newest one."""
_TIME: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = re.compile(r"(\d{8}T\d{6}Z)-.+\.json")


class RunSummaries:
    """The summaries of one connection's runs in a lake, or with another `kind` those of its verifications.

    Every method raises LakeError when the storage refuses.
    """

    def __init__(self, lake: Lake, connection: str, kind: str = "runs") -> None:
        self._lake = lake
        self._connection = state_folder(connection)
        self._folder = f"{self._connection}/{kind}"

    def any_run(self) -> bool:
        """Whether the lake has anything of the connection: a record of a table, or a summary."""
        return bool(set(self._lake.names(self._connection)))

    def newest(self, now: datetime) -> dict[str, Any] | None:
        """The summary that was written last, None if there is none that can be read.

        The run's own day is listed first, and everything only if that has none: once a day, then.
        """
        name = self._newest_name(f"{now:%Y%m%d}", now) or self._newest_name("", now)
        return None if name is None else self.read(name)

    def names(self) -> list[str]:
        """Names of all summaries, the oldest first: a listing of 1,000 names a request on S3."""
        return self._names("")

    def read(self, name: str) -> dict[str, Any] | None:
        """One summary by its name; None if it is gone or no JSON object."""
        with suppress(ValueError):
            found = json.loads(self._lake.read_bytes(f"{self._folder}/{name}") or b"null")
            return found if isinstance(found, dict) else None
        return None

    def save(self, summary: Mapping[str, Any], at: datetime, run_id: str) -> str:
        """Write a summary, whole or not at all; gives its path in the lake."""
        path = f"{self._folder}/{at.astimezone(UTC):{_TIME}}-{folder_name(run_id)}.json"
        self._lake.write_json(path, summary)
        return path

    def prune(self, now: datetime) -> int:
        """Delete summaries that are older than `KEPT` by the time in their name; gives their number.

        `now` must be of a clock that can be trusted: with one that is years ahead every summary would go.
        """
        expired = [name for name in self.names() if now - _time(name) > KEPT]
        self._lake.delete(f"{self._folder}/{name}" for name in expired)
        return len(expired)

    def _newest_name(self, prefix: str, now: datetime) -> str | None:
        return max((name for name in self._names(prefix) if _time(name) - now < _AHEAD), default=None)

    def _names(self, prefix: str) -> list[str]:
        return sorted(name for name in self._lake.names(self._folder, prefix) if _is_summary(name))


def _is_summary(name: str) -> bool:
    """Whether a file is a summary: other files in the folder are left alone."""
    try:
        return bool(_time(name))
    except ValueError:
        return False


def _time(name: str) -> datetime:
    """The time in a summary's name; ValueError for another name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(name)
    return datetime.strptime(match.group(1), _TIME).replace(tzinfo=UTC)
