"""How much a test tries: enough to find a fault that is there in `make test`, much more in `make soak`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

SOAK = "SOAK" in os.environ

_T = TypeVar("_T")


def effort(few: _T, many: _T) -> _T:
    """The first, a number or some cases, in `make test`; the second, a greater one or all cases, in `make soak`."""
    return many if SOAK else few


def tried(what: str, count: int) -> None:
    """Tell `make soak` what a test has tried, e.g. ``tried("kills", 50)``."""
    if log := os.environ.get("SOAK_LOG"):
        with Path(log).open("a") as lines:
            print(json.dumps([what, count]), file=lines)
