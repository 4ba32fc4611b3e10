"""Prefect's API for one run from a shell, where none is configured: a server that starts before Prefect is imported.

Prefect would start one too, but late: it first imports all of its server into the process of the run. Here a process
of its own does that, while the run's imports Prefect, the flow and what they need. Whether a server is wanted is for
Prefect's own settings to say (environment, profile, prefect.toml), so that process reads them before anything else.
Where none is wanted it ends at once, and the run is Prefect's own affair. Where it cannot start, as with a damaged
database, it ends with `_NOT_STARTED`: Prefect would fail at the same, with tracebacks, and try for minutes.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import re
import subprocess
import sys
import tempfile
import threading
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn
    from prefect.settings import Settings

_WANTED = "--wanted"
_NOT_STARTED = 3
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception)\b: .+", re.MULTILINE)
_LAST_SECONDS = 10
"""How long a run waits at its end for the server's last writes."""


def local_settings() -> AbstractContextManager[Settings]:
    """Settings of a run from a shell, where neither the environment nor a profile says otherwise."""
    from prefect.settings import (
        PREFECT_SERVER_ANALYTICS_ENABLED,
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
        temporary_settings,
    )

    return temporary_settings(
        set_defaults={
            PREFECT_SERVER_ANALYTICS_ENABLED: False,
            PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 120,  # migrations on a small machine take over 20 s
        }
    )


class TemporaryServer:
    """The server's process as the run sees it; it ends with the run, also when that is killed."""

    def __init__(self, *, wanted: bool = False, python: str = sys.executable) -> None:
        """Start it; to be called before Prefect is imported, so that what Prefect sends at exit still finds it.

        `wanted`: also where Prefect's settings name another server. `python` is the interpreter that runs it.
        """
        # What the server logs, tracebacks of a locked database too. Open as long as this object.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(  # nosec B603  # our own module
            [python, "-P", "-m", __name__, *([_WANTED] if wanted else [])],
            stdin=subprocess.PIPE,  # which the system closes when this process ends: the sign to end, too
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for the run, which then tells the server how it ended
        )
        atexit.register(self._stop)

    def connect(self) -> bool:
        """Wait until the server answers, and make it this process's API; False if none is wanted, or none came up."""
        from prefect.context import refresh_global_settings_context
        from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

        with local_settings():
            limit = threading.Timer(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value(), self._process.kill)
        limit.daemon = True
        limit.start()
        assert self._process.stdout is not None
        url = self._process.stdout.readline().decode().strip()
        limit.cancel()
        if url:
            os.environ["PREFECT_API_URL"] = url  # for all threads: those of Prefect do not all share a context
            refresh_global_settings_context()
        return bool(url)

    def fault(self) -> str | None:
        """Why the server could not start, after `connect` was False; None where none was wanted."""
        if self._process.wait() == 0:
            return None
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        errors = [found.group() for found in _EXCEPTION.finditer(said)]
        return (errors or [line.strip() for line in said.split("\n") if line.strip()] or ["no reason is known"])[-1]

    def _stop(self) -> None:
        """Tell the server to end, and wait for a while. It is never killed, since it may be migrating its database."""
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=_LAST_SECONDS)


def _serve() -> None:
    """Serve until standard input ends; the API's address is the one line on standard output."""
    tell = os.dup(sys.stdout.fileno())
    # Prefect prints there too, before the server is up: that one of its collections cannot be imported.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    alone, serving = threading.Event(), threading.Event()
    threading.Thread(target=_watch, args=(alone, serving), daemon=True).start()
    gc.disable()  # imported objects stay anyway: to scan them again and again takes a tenth of the start
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if _WANTED not in sys.argv and (settings.api.url or not settings.server.ephemeral.enabled):
        return
    with local_settings():
        import uvicorn
        from prefect.server.api.server import create_app

        app = create_app(ephemeral=True, final=True)
        gc.freeze()
        gc.enable()
        serving.set()
        config = uvicorn.Config(app, port=0, log_level="error", lifespan="on", timeout_graceful_shutdown=5)
        asyncio.run(_run(uvicorn.Server(config), alone, tell))


def _watch(alone: threading.Event, serving: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)  # not through sys.stdin, whose lock this thread would hold when the process ends
    alone.set()
    if not serving.is_set():
        os._exit(0)


async def _run(server: uvicorn.Server, alone: threading.Event, tell: int) -> None:
    running = asyncio.create_task(server.serve())
    told = False
    while not running.done():
        if server.started and not told:
            host, port = server.servers[0].sockets[0].getsockname()
            os.write(tell, f"http://{host}:{port}/api\n".encode())
            os.close(tell)
            told = True
        server.should_exit = server.should_exit or alone.is_set()
        await asyncio.sleep(0.05)
    await running
    if not told and not alone.is_set():
        sys.exit(_NOT_STARTED)


if __name__ == "__main__":
    _serve()
