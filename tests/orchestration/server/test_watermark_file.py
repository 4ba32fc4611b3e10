"""An export that finds nothing: most likely from the wrong server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from intercom.errors import ConfigurationError
from intercom.orchestration.server import watermark_file as moving


def test_an_export_of_nothing_leaves_the_file_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def client(*, sync_client: bool) -> Iterator[None]:
        yield None

    monkeypatch.setattr(moving, "get_client", client)
    monkeypatch.setattr(moving, "documents", lambda _client, _kind: iter(()))
    file = tmp_path / "watermarks.json"
    file.write_text("earlier")
    with pytest.raises(ConfigurationError, match="no watermarks to export"):
        list(moving.export_watermarks(file))
    assert file.read_text() == "earlier"
