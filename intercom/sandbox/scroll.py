"""The one open scroll over companies (API reference: "Scroll over all companies").

The token is the same on every page, expires ``ttl`` seconds after its last use and cannot be closed. A server error
ends the scroll. Companies are read in the order of a hash of the id, so that companies created or deleted
meanwhile do not shift the others: a deleted one is not read, a new one is read only if its place was not passed yet.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from random import Random

from intercom.sandbox.answers import Refusal
from intercom.sandbox.records import WALK, Position, RecordTable


@dataclass(slots=True)
class _Walk:
    token: str
    last_used: float
    position: Position | None = None


class Scroll:
    """State of the workspace's scroll; the caller holds the workspace's lock."""

    def __init__(self, seed: int) -> None:
        self._tokens = Random(f"scroll {seed}")
        self._walk: _Walk | None = None

    def page(
        self, companies: RecordTable, token: str | None, *, now: float, ttl: float, size: int
    ) -> tuple[list[str], str]:
        """Keys of the next page, and the token. Refusal 400 if another scroll is open, 404 for an expired token."""
        if self._walk is not None and now - self._walk.last_used > ttl:
            self._walk = None
        walk = self._open(now) if token is None else self._continue(token)
        walk.last_used = now
        found = companies.after(WALK, walk.position, size)
        if found:
            walk.position = found[-1]
        else:
            self._walk = None  # the empty page is the end, and the token is invalid from now on
        return [key for _, _, key in found], walk.token

    def kill(self) -> None:
        """A server error ends the walk: the next use of its token answers 404."""
        self._walk = None

    def _open(self, now: float) -> _Walk:
        if self._walk is not None:
            raise Refusal(400, "scroll already exists for this workspace", "scroll_exists")
        self._walk = _Walk(str(uuid.UUID(int=self._tokens.getrandbits(128), version=4)), now)
        return self._walk

    def _continue(self, token: str) -> _Walk:
        if self._walk is None or self._walk.token != token:
            raise Refusal(404, "scroll parameter not found", "not_found")
        return self._walk
