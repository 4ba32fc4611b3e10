"""A process that takes itself for one of another machine, with a clock of its own."""

from __future__ import annotations

import socket
import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import Any


def become_host(name: str | None, ahead: float) -> None:
    """From now on this process is on a host of that name, whose clock is so many seconds ahead; for forks only.

    The clock is that of `datetime.now` in the package, and of `time.time`.
    """
    if name is not None:
        socket.gethostname = lambda: name
    if not ahead:
        return
    real = time.time
    time.time = lambda: real() + ahead

    class OneOfAnyClock(type(datetime)):  # type: ignore[misc]
        def __instancecheck__(cls, one: Any) -> bool:
            return isinstance(one, datetime)

    class Ahead(datetime, metaclass=OneOfAnyClock):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=ahead)

        def __reduce_ex__(self, protocol: Any) -> Any:
            """As a plain one, which another process knows."""
            return datetime, super().__reduce_ex__(protocol)[1]

    for module in [module for name, module in sys.modules.items() if name.startswith("intercom.")]:
        if getattr(module, "datetime", None) is datetime:
            module.datetime = Ahead  # type: ignore[attr-defined]
