"""A small workspace behind its server, and a session that knows address, token and version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace

NOW = 1_750_000_000  # 2025-06-15 15:06:40 UTC


class Api(requests.Session):
    """Sends paths instead of URLs to one server, with the headers that the API asks for."""

    def __init__(self, server: SandboxServer) -> None:
        super().__init__()
        self._base_url = server.base_url
        self.headers["Authorization"] = f"Bearer {server.token}"
        self.headers["Intercom-Version"] = "2.14"

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", 10)
        return super().request(method, self._base_url + url, *args, **kwargs)


@pytest.fixture
def serve() -> Iterator[Callable[..., requests.Session]]:
    """Start a server for a workspace with these settings; gives a session for it."""
    opened: list[Any] = []

    def start(workspace: Workspace, **settings: Any) -> requests.Session:
        server = SandboxServer(workspace, **settings).start()
        api = Api(server)
        opened.extend([api.close, server.stop])
        return api

    yield start
    for close in opened:
        close()


@pytest.fixture
def workspace() -> Workspace:
    """No records, UTC, and a clock that starts on a Sunday afternoon."""
    return Workspace(now=NOW)


@pytest.fixture
def server(workspace: Workspace) -> Iterator[SandboxServer]:
    with SandboxServer(workspace) as server:
        yield server


@pytest.fixture
def api(server: SandboxServer) -> Iterator[requests.Session]:
    with Api(server) as session:
        yield session


@pytest.fixture(scope="module")
def seeded() -> Iterator[SandboxServer]:
    """A seeded workspace that tests of a module share; they do not change it."""
    workspace = Workspace.seeded(contacts=400, companies=230, timezone="America/Los_Angeles", now=NOW)
    with SandboxServer(workspace) as server:
        yield server


@pytest.fixture
def seeded_api(seeded: SandboxServer) -> Iterator[requests.Session]:
    with Api(seeded) as session:
        yield session
