"""How much a test tries: few cases in `make test`, many in `make soak`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

SOAK = "SOAK" in os.environ

_T = TypeVar("_T")


def effort(few: _T, many: _T) -> _T:
    """`few` in `make test`, `many` in `make soak`: numbers, or collections of cases."""
    return many if SOAK else few


def tried(what: str, count: int) -> None:
    """Report to `make soak` how much a test has tried, e.g. ``tried("kills", 50)``."""
    if log := os.environ.get("SOAK_LOG"):
        with Path(log).open("a") as lines:
            print(json.dumps([what, count]), file=lines)
