"""Serving a synthetic workspace until the process is told to stop."""

from __future__ import annotations

import gc
import signal
from threading import Event

from intercom.sandbox.changes import changes
from intercom.sandbox.server import SandboxServer
from intercom.sandbox.workspace import Workspace

_USE = """\
To copy it, write this into connections.yml, and run: intercom-lake sync --connection sandbox
connections:
  intercom:
    - name: "sandbox"
      access_token: "{token}"
      base_url: "{base_url}"
Ctrl-C stops the sandbox."""


def serve(
    workspace: Workspace,
    *,
    port: int,
    rate_limit: int,
    latency_seconds: float,
    compress: bool,
    changes_per_minute: float = 0.0,
) -> None:
    """Print the address and the token in one line, and how to copy it, then serve until SIGTERM or SIGINT."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    gc.freeze()  # so that garbage collection does not scan a million records again and again
    with SandboxServer(
        workspace, rate_limit=rate_limit, latency_seconds=latency_seconds, port=port, compress=compress
    ) as server:
        print(f"Sandbox workspace at {server.base_url}  token: {server.token}")
        print(_USE.format(token=server.token, base_url=server.base_url), flush=True)
        made, pause = changes(workspace, seed=0), 60 / changes_per_minute if changes_per_minute > 0 else None
        while not stop.wait(pause):
            next(made)
