"""Shared by tests of the client: a server that answers as a test scripts it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.scripted import Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()
