"""Many staged parts: more than a listing, or a batch of deletes, holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import s3fs
from botocore.exceptions import ClientError

from intercom.errors import LakeError
from intercom.lake.layout import TablePaths
from intercom.lake.table import LakeTable
from tests.lake.stores.kinds import LOCAL, MOTO, Backend, kinds
from tests.support.rig import CONNECTION, Rig

MANY = 1_200
MONTHS = ["2026-08", "2026-09", "2026-10", "2026-11"]
PATHS = TablePaths(CONNECTION, "contacts")


def parts(run: str, many: int = MANY) -> list[str]:
    return [PATHS.part(run, MONTHS[number % len(MONTHS)], number) for number in range(many)]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each request was sent that is of S3 only."""
    sent = Counter[str]()
    call = s3fs.S3FileSystem.call_s3

    def counting(self: Any, method: str, *args: Any, **options: Any) -> Any:
        sent[method] += 1
        return call(self, method, *args, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", counting)
    return sent


def test_all_of_many_parts_are_listed_counted_and_deleted(store: Backend, requests: Counter[str]) -> None:
    store.put_many(parts("run.aaaaaaaa"), b"x")
    store.put(PATHS.part("run.bbbbbbbb", "2026-08", 0), b"y")
    lake_table = LakeTable(store.lake(), PATHS)
    found = lake_table.parts()
    assert sorted(part.number for part in found if part.attempt == "run.aaaaaaaa") == list(range(MANY))
    assert lake_table.findings(None).staged == {"run.aaaaaaaa": MANY, "run.bbbbbbbb": 1}
    requests.clear()
    lake_table.lake.delete(part.path for part in found if part.attempt == "run.aaaaaaaa")
    assert requests == ({"delete_objects": 2} if store.kind.s3 else {})
    assert list(lake_table.staged_files()) == [PATHS.part("run.bbbbbbbb", "2026-08", 0)]


@pytest.mark.parametrize("store", [LOCAL], ids=lambda k: k.name, indirect=True)
def test_a_run_merges_its_own_parts_only_and_removes_those_of_dead_runs(
    store: Backend, make_rig: Callable[..., Rig]
) -> None:
    rig = make_rig(lake=store.url, contacts=60, history_days=32)
    rig.storage = store.options
    store.put_many(parts("dead.aaaaaaaa"), b"no parquet")
    rig.sync(["contacts"])
    rig.check(["contacts"])


# -- servers that refuse batches ----------------------------------------------------------------------------------


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Requests that no server here refuses, but others do."""
    said = []

    def refusing(self: Any, method: str, *args: Any, **options: Any) -> Any:
        said.append(method)
        answer = {"Error": {"Code": "InvalidRequest", "Message": "Missing required header: Content-MD5"}}
        raise ClientError(answer, "DeleteObjects")

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", refusing)
    return said


@pytest.mark.parametrize("store", kinds(lambda k: k.s3), ids=lambda k: k.name, indirect=True)
def test_a_server_that_takes_no_batches_gets_single_requests(store: Backend, refused: list[str]) -> None:
    store.put_many(parts("run.aaaaaaaa", 30), b"x")
    lake = store.lake()
    lake.delete([*parts("run.aaaaaaaa", 29), PATHS.part("never", "2026-08", 0)])
    assert refused == ["delete_objects"]
    assert list(lake.list("")) == parts("run.aaaaaaaa", 30)[29:]


@pytest.mark.parametrize("store", [MOTO], ids=lambda k: k.name, indirect=True)
def test_what_a_batch_may_not_remove_is_told(store: Backend) -> None:
    store.put_many(["data/a", "data/b", "_staging/c"], b"x")
    store.deny("DeleteObject", "data")
    with pytest.raises(LakeError, match=r"Cannot delete _staging/c and 2 more .* AccessDenied|Access Denied|Forbidden"):
        store.lake().delete(["_staging/c", "data/a", "data/b"])
    assert list(store.lake().list("")) == ["data/a", "data/b"]
