"""Serving a synthetic workspace until the process is told to stop."""

from __future__ import annotations

import gc
import signal
from threading import Event

from intercom.sandbox.server import SandboxServer
from intercom.sandbox.workspace import Workspace


def serve(workspace: Workspace, *, port: int, rate_limit: int, latency_seconds: float, compress: bool) -> None:
    """Print the address and the token in one line, then serve until SIGTERM or SIGINT."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    gc.freeze()  # so that garbage collection does not scan a million records again and again
    with SandboxServer(
        workspace, rate_limit=rate_limit, latency_seconds=latency_seconds, port=port, compress=compress
    ) as server:
        print(f"Sandbox workspace at {server.base_url}  token: {server.token}", flush=True)
        stop.wait()
