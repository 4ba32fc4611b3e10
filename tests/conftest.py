"""Shared by all tests: sandbox workspaces behind a real HTTP server, and lakes in fresh folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from intercom.sandbox import SandboxServer, Workspace
from tests.support.rig import Rig

NOW = 1_793_707_200  # 2026-11-03 12:00:00 UTC; in Los Angeles a day of 25 hours has just passed


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Makes rigs with their own workspace; `seeded` options are the workspace's, `server` ones the server's.

    Records are of a few months only: each month is a file, and writing files is what takes the time here."""
    with ExitStack() as stack:

        def make(*, server: dict[str, Any] | None = None, lake: str | None = None, **seeded: Any) -> Rig:
            workspace = Workspace.seeded(**{"now": NOW, "history_days": 80, **seeded})
            running = stack.enter_context(SandboxServer(workspace, **(server or {})))
            return Rig(running, lake or str(tmp_path / "lake"))

        yield make


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A small workspace in Los Angeles and an empty lake."""
    return make_rig()
