"""One lake for all tests of a process, and what a report counts of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from intercom.report.facts import LakeFacts, read_facts
from tests.support.browser import chromium
from tests.support.reported import MADE_AT, reported_lake
from tests.support.rig import Rig

collect_ignore = [] if chromium() else ["test_page_in_browser.py"]
if collect_ignore and os.environ.get("BROWSER_TESTS") == "required":
    raise pytest.UsageError("BROWSER_TESTS=required, but there is no chromium: install Debian's package `chromium`.")


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A lake with everything that a report shows; tests only read it."""
    with reported_lake(str(tmp_path_factory.mktemp("report") / "lake")) as rig:
        yield rig


@pytest.fixture(scope="session")
def facts(reported: Rig) -> LakeFacts:
    return read_facts(reported.lake(), reported.connection, MADE_AT)


@pytest.fixture(scope="session")
def folder(reported: Rig) -> Path:
    return reported.lake_folder
