"""A workspace, a lake's place and a Prefect API for `intercom-lake check`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from intercom.cli.checks.workspace import POLICY
from tests.support.checked import TOKEN, Checked, PlayedPrefect
from tests.support.rig import Rig


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, and an environment without settings of Prefect, Intercom or a proxy."""
    for name in [name for name in os.environ if name.upper().startswith(("PREFECT_", "INTERCOM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setattr("intercom.cli.checks.workspace.POLICY", replace(POLICY, base_seconds=0.01))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def rig(here: Path, make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A workspace whose clock is right, with a connection in ./connections.yml; its token is in the environment."""
    small = {"contacts": 20, "companies": 8, "conversations": 12, "articles": 6}
    rig = make_rig(server={"token": TOKEN, "rate_limit": 500}, now=time.time(), lake=str(here / "lake"), **small)
    rig.connections_file(here)
    monkeypatch.setenv("INTERCOM_ACCESS_TOKEN", TOKEN)
    return rig


@pytest.fixture
def checked(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Callable[..., Checked]:
    return lambda **options: Checked(capsys, **options)


@pytest.fixture
def played(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedPrefect]:
    with PlayedPrefect() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("PREFECT_API_URL", server.url)
        yield server
        server.shutdown()
        thread.join()
