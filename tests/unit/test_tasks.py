"""What tasks build from the names they are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from intercom import tasks


def test_a_connection_s_caps_reach_the_limiter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "load_connection", lambda _name: None)  # no block of that name
    file = tmp_path / "connections.yml"
    file.write_text(
        "connections:\n  intercom:\n"
        "    - {name: capped, access_token: secret, requests_per_10s: 40, requests_in_flight: 5}\n"
    )
    client = tasks._client("run", "capped", str(file))
    assert client.limiter.most_in_flight == 5
    assert client.for_table("contacts").most_in_flight == 5
    assert client.limiter.usage().limit == 40
    client.close()
