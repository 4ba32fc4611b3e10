"""Files of the summaries that runs leave: which is the newest, which are too old, and what that asks of a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import s3fs

from intercom.lake.run_summaries import RunSummaries
from tests.lake.stores.kinds import LOCAL, MEMORY, MOTO, Backend

NOW = datetime(2026, 11, 3, 12, 7, 51, tzinfo=UTC)
FOLDER = "_state/my%20acme/runs"
of_each_kind = pytest.mark.parametrize("store", [LOCAL, MEMORY, MOTO], ids=lambda kind: kind.name, indirect=True)


@pytest.fixture
def summaries(store: Backend) -> RunSummaries:
    return RunSummaries(store.lake(), "my acme")


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of all objects that S3 lists."""
    found: list[str] = []
    pages = s3fs.S3FileSystem._iterdir

    async def noting(self: Any, *args: Any, **options: Any) -> Any:
        async for one in pages(self, *args, **options):
            found.append(str(one["name"]))
            yield one

    monkeypatch.setattr(s3fs.S3FileSystem, "_iterdir", noting)
    return found


@of_each_kind
def test_a_summary_is_read_as_it_was_saved_and_the_latest_is_the_newest(summaries: RunSummaries) -> None:
    assert summaries.newest(NOW) is None
    assert not summaries.any_run()
    assert summaries.save({"n": 1}, NOW - timedelta(days=3), "a") == f"{FOLDER}/20261031T120751Z-a.json"
    assert summaries.any_run()
    assert summaries.newest(NOW) == {"n": 1}  # none is of today
    summaries.save({"n": 2}, NOW - timedelta(seconds=1), "b")
    summaries.save({"n": 3}, NOW - timedelta(minutes=1), "c")
    assert summaries.newest(NOW) == {"n": 2}
    assert summaries.names() == ["20261031T120751Z-a.json", "20261103T120651Z-c.json", "20261103T120750Z-b.json"]


@of_each_kind
def test_only_summaries_older_than_400_days_go_and_no_other_file(summaries: RunSummaries, store: Backend) -> None:
    for days in (401, 400, 1, 0):
        summaries.save({"days": days}, NOW - timedelta(days=days), "run")
    store.put(f"{FOLDER}/20200101T000000Z.json", b"{}")
    store.put(f"{FOLDER}/20209901T000000Z-x.json", b"{}")
    store.put(f"{FOLDER}/notes.txt", b"mine")
    assert summaries.prune(NOW) == 1
    assert summaries.prune(NOW) == 0
    assert [(summaries.read(name) or {})["days"] for name in summaries.names()] == [400, 1, 0]
    assert len(set(store.lake().names(FOLDER))) == 6


@pytest.mark.parametrize("store", [LOCAL], ids=lambda kind: kind.name, indirect=True)
def test_one_that_a_machine_with_a_wrong_clock_has_left_is_not_the_newest(summaries: RunSummaries) -> None:
    summaries.save({"n": 1}, NOW - timedelta(days=1), "right")
    summaries.save({"n": 2}, NOW + timedelta(days=900), "years ahead")
    assert summaries.newest(NOW) == {"n": 1}
    assert summaries.prune(NOW) == 0


@pytest.mark.parametrize("store", [LOCAL], ids=lambda kind: kind.name, indirect=True)
@pytest.mark.parametrize("content", [b"{", b"[1]", b""], ids=["torn", "a list", "empty"])
def test_a_damaged_summary_counts_as_none(summaries: RunSummaries, store: Backend, content: bytes) -> None:
    store.put(f"{FOLDER}/{NOW:%Y%m%dT%H%M%SZ}-run.json", content)
    assert summaries.newest(NOW) is None


@pytest.mark.parametrize("store", [MOTO], ids=lambda kind: kind.name, indirect=True)
def test_an_hourly_run_lists_its_own_day_only(summaries: RunSummaries, store: Backend, listed: list[str]) -> None:
    """Of a folder with thousands of summaries; all are listed by the first run of a day."""
    hours = [NOW - timedelta(hours=hour) for hour in range(2_500)]
    store.put_many([f"{FOLDER}/{hour:%Y%m%dT%H%M%SZ}-run.json" for hour in hours], b"{}")
    assert summaries.newest(NOW) == {}
    assert len(listed) == 13  # 00:07 to 12:07
    listed.clear()
    assert summaries.newest(NOW + timedelta(days=1)) == {}
    assert len(listed) == 2_500
