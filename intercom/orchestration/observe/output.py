"""What a run prints at its end: the table, one JSON object, or nothing. The shell chooses; else it is the table."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Final

log = logging.getLogger(__name__)


class Output(StrEnum):
    """What is printed."""

    TABLE = "table"
    JSON = "json"
    QUIET = "quiet"


OUTPUT: Final[ContextVar[Output]] = ContextVar("intercom-output", default=Output.TABLE)


_shown = False


def show_failure(message: str) -> None:
    """Print the end of a run that has failed before it could print anything; only JSON has an object for it."""
    if OUTPUT.get() is Output.JSON and not _shown:
        _print(json.dumps({"state": "failed", "message": message, "tables": []}, ensure_ascii=False, indent=2))


def columns() -> int | None:
    """Columns of the terminal that the table is printed on; None for a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show(table: str, summary: Mapping[str, Any]) -> None:
    """Print the end of a run as asked for."""
    global _shown
    _shown = True
    match OUTPUT.get():
        case Output.TABLE:
            _print(f"\n{table}\n")
        case Output.JSON:
            _print(json.dumps(summary, ensure_ascii=False, indent=2))
        case Output.QUIET:
            pass


def _print(text: str) -> None:
    """Print. A terminal that has gone, or whose encoding lacks a letter, does not fail the run."""
    try:
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError as error:
        log.info("The end of the run could not be printed: %s", error)
