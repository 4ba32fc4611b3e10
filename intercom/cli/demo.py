"""The demo: a simulated workspace, with a lake and a Prefect server of its own beside those that this machine has."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intercom.lake.scratch import private_folder, sweep

LAKE = "./lake/demo"
"""Where the demo writes when nothing else is said: not into ``./lake``, which may be a real one."""
_NOW = datetime(2026, 11, 2, 9, tzinfo=UTC).timestamp()
FURTHER_RECORDS: Mapping[str, Any] = {
    "further": 20,
    "conversation_parts": 520,
    "help_centers": 2,
    "newsfeeds": 3,
    "ticket_states": 5,
    "ticket_types": 4,
}
"""Records of tables beyond the default ones: twenty each, but of some as many as is said."""


def use_own_prefect() -> None:
    """Take every setting of Prefect out of the environment, and give it a home that is removed when the process ends.

    To be called before Prefect is imported. A home that a killed demo has left is removed, too.
    """
    system = Path(tempfile.gettempdir())
    sweep(system)
    home = private_folder(system)
    atexit.register(
        shutil.rmtree, home, ignore_errors=True
    )  # before the server's own end is registered: it comes first
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    # The database by its name, since a file of settings in the current folder may say another one.
    os.environ.update(
        PREFECT_HOME=str(home),
        PREFECT_PROFILES_PATH=str(home / "profiles.toml"),
        PREFECT_SERVER_DATABASE_CONNECTION_URL=f"sqlite+aiosqlite:///{home / 'prefect.db'}",
    )


@contextmanager
def demo_connection() -> Iterator[dict[str, str]]:
    """Options for a simulated workspace on loopback, which lives as long as the block."""
    from intercom.sandbox import SandboxServer, Workspace

    # The same each time, so that a second demo is an increment.
    workspace = Workspace.seeded(seed=7, now=_NOW, **FURTHER_RECORDS)
    with SandboxServer(workspace) as server, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "connections.yml")
        file.write_text(
            "connections:\n  intercom:\n"
            f'    - {{name: demo, access_token: "{server.token}", base_url: "{server.base_url}"}}\n',
            encoding="utf-8",
        )
        print(f"Sandbox workspace at {server.base_url}: synthetic data, no account needed", flush=True)
        yield {"connection": "demo", "connections_file": str(file)}
