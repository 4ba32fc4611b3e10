"""The lookback: how far before its watermark a run reads a table again, as it is typed and as a run goes by it. Pure.

Intercom's search index shows a change some time after it was made. A change that comes into the index when a run has
passed it is found by a later run whose lookback reaches back to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from intercom.errors import ConfigurationError
from intercom.tables.catalogue import TABLES

_BY_DEFAULT: Final = 3_600
_LEAST_SECONDS: Final = 600
_MOST_SECONDS: Final = 366 * 86_400
_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400}
_TIME: Final = "[1-9][0-9]{0,5}[mhd]"
_TABLES: Final = tuple(name for name, table in TABLES.items() if table.reads_by_window)
"""Those of which a run reads what is new after the watermark; all others are read whole."""

LOOKBACK_PATTERN: Final = "^ *{0}( *, *{0})* *$".format(f"(({'|'.join(_TABLES)}) *= *)?{_TIME}")
"""Of the texts that `parse_lookback` takes, but for the bounds: Prefect's server checks a run by it."""


@dataclass(frozen=True, slots=True)
class Lookback:
    """Seconds before its watermark from which a run reads a table again; `of_tables` have times of their own."""

    seconds: int = _BY_DEFAULT
    of_tables: tuple[tuple[str, int], ...] = ()

    def of(self, table: str) -> int:
        """The seconds of one table."""
        return dict(self.of_tables).get(table, self.seconds)


USUAL_LOOKBACK: Final = Lookback()


def parse_lookback(text: str) -> Lookback:
    """``26h`` for all tables, ``contacts=6h`` for one, or several with commas between them.

    Raises ConfigurationError for text that is none of that, for tables that are read whole, and for two times of one.
    """
    times: dict[str, int] = {}
    for entry in text.split(","):
        table, of_one, time = (part.strip() for part in entry.rpartition("="))
        if not re.fullmatch(_TIME, time, re.ASCII) or (of_one and not table):
            raise ConfigurationError(
                f"The lookback {text!r} is not a duration. Write a number of minutes, hours or days, such as 90m, 26h "
                "or 2d; for single tables 1h,contacts=6h. Nothing was read."
            )
        if table and table not in _TABLES:
            raise ConfigurationError(
                f"The lookback {text!r} names {table!r}. Only these tables have a lookback: "
                f"{', '.join(_TABLES)}. Nothing was read."
            )
        if table in times:
            raise ConfigurationError(f"The lookback {text!r} has two times for the same tables. Nothing was read.")
        times[table] = int(time[:-1]) * _UNITS[time[-1]]
        if not _LEAST_SECONDS <= times[table] <= _MOST_SECONDS:
            raise ConfigurationError(f"The lookback {time} is not between 10 minutes and 366 days. Nothing was read.")
    return Lookback(times.pop("", _BY_DEFAULT), tuple(times.items()))
