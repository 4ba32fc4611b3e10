"""One run over one table without Prefect, in a process of its own: ``loading URL TOKEN LAKE TABLE``.

Prints the wall seconds from the first request until the table is merged.
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

from tests.support.rig import Rig


class PatientRig(Rig):
    """Waits in real time: the server's clock is another process's."""

    def _nap(self, seconds: float) -> None:
        time.sleep(seconds)


def main(base_url: str, token: str, lake: str, table: str) -> None:
    server: Any = SimpleNamespace(base_url=base_url, token=token)
    rig = PatientRig(server, lake)
    started = time.monotonic()
    rig.sync([table])
    print(time.monotonic() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
