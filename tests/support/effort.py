"""How much a test tries: few cases in `make test`, many in `make soak`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import pytest

SOAK = "SOAK" in os.environ

_T = TypeVar("_T")
_Test = TypeVar("_Test", bound=Callable[..., Any])


def effort(few: _T, many: _T) -> _T:
    """`few` in `make test`, `many` in `make soak`: numbers, or collections of cases."""
    return many if SOAK else few


def by_turns(names: str | Sequence[str], cases: Sequence[Any], **options: Any) -> Callable[[_Test], _Test]:
    """As `pytest.mark.parametrize`; in `make test` with one of the cases, which differs from test to test.

    For ways to run that the tests of a room share, and that have contract tests of their own: such as the format of the
    tables. Each case is then met by many tests, and none by all.
    """

    def marked(test: _Test) -> _Test:
        turn = crc32(f"{test.__module__}.{test.__qualname__}".encode()) % len(cases)
        chosen = effort([cases[turn]], list(cases))
        ids = options.get("ids")
        own = {**options, "ids": [ids[turn]]} if isinstance(ids, Sequence) and not SOAK else options
        mark: Callable[[_Test], _Test] = pytest.mark.parametrize(names, chosen, **own)
        return mark(test)

    return marked


def tried(what: str, count: int) -> None:
    """Report to `make soak` how much a test has tried, e.g. ``tried("kills", 50)``."""
    if log := os.environ.get("SOAK_LOG"):
        with Path(log).open("a") as lines:
            print(json.dumps([what, count]), file=lines)
