"""The identity of a lake, in ``_state/lake.json``."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from intercom.lake.layout import FIRST_FORMAT


@dataclass(frozen=True, slots=True)
class LakeIdentity:
    """The id of a lake, made once. Watermarks belong to this id and not to a URL, so a lake can be moved."""

    id: str
    format: int

    @classmethod
    def new(cls) -> Self:
        """The identity of a new lake."""
        return cls(uuid.uuid4().hex, FIRST_FORMAT)

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The identity in a ``lake.json``. KeyError, TypeError or ValueError when the text is no identity."""
        record = json.loads(text)
        if not isinstance(record["id"], str) or not record["id"]:
            raise ValueError("it has no id")
        return cls(record["id"], int(record["format"]))

    def to_json(self) -> dict[str, Any]:
        """The record for ``lake.json``, with the present time as `created_at`."""
        return {"id": self.id, "format": self.format, "created_at": datetime.now(UTC).isoformat()}
