"""Calls a command with the shell's arguments."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from cyclopts import App, CycloptsError, Parameter

from intercom.cli.endings import COMPLETED, FAILED, WRONG_SETTINGS

LAST_WINS: Final = Parameter(allow_repeating=True)
"""For all options: one that is given twice counts as it is given last, so that a script can add to a command."""


def call(app: App, arguments: Sequence[str] | None = None) -> int:
    """Parse and run; `WRONG_SETTINGS` and a line on standard error for arguments that no command takes.

    `FAILED` without a word where nobody reads standard output to its end, as in ``intercom-lake check | head``.
    """
    try:
        result: Any = app(arguments, result_action="return_value", print_error=False, exit_on_error=False)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
        return FAILED
    except CycloptsError as error:
        app.error_console.print(f"{error}\n--help shows the options.", markup=False, highlight=False)
        return WRONG_SETTINGS
    return result if isinstance(result, int) else COMPLETED
