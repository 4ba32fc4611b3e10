"""One logged request of the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class LoggedRequest:
    """A request as it arrived; ``status`` is None until it is answered and for a connection that was reset."""

    number: int
    time: float
    method: str
    path: str
    params: dict[str, str]
    body: dict[str, Any] | None
    headers: dict[str, str]
    status: int | None = None
