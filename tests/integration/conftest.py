"""Shared by tests of the flows: a Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.prefect_server import Prefect


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[Prefect]:
    """One for the tests of a file, with an empty database; a file that needs other settings has one of its own."""
    server = Prefect(tmp_path_factory.mktemp("prefect"), prefect_database)
    server.start()
    yield server
    server.stop()
