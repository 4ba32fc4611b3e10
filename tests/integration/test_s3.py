"""The same on S3: moto's server on a free port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.errors import LakeError
from intercom.lake import Lake
from tests.conftest import BUCKET
from tests.support.rig import Rig


@pytest.fixture
def rig(make_rig: Callable[..., Rig], s3_storage: dict[str, Any]) -> Rig:
    made = make_rig(lake=f"s3://{BUCKET}/some/prefix", contacts=200, history_days=40)
    made.storage = s3_storage
    return made


def test_first_load_and_increment_are_exact(rig: Rig) -> None:
    rig.sync()
    rig.check()
    rig.workspace.travel(60)
    for table in ("contacts", "companies"):
        for row in rig.workspace.rows(table)[::5]:
            rig.workspace.update(table, row["id"], name="changed")
    rig.workspace.create("contacts")
    rig.workspace.travel(1)
    rig.sync()
    rig.check()


def write_and_die(path: Path, rows: pa.Table) -> None:
    """The writer closes its file on the way out: it reads well and lacks two rows."""
    with pq.ParquetWriter(path, rows.schema) as writer:
        writer.write_table(rows.slice(0, 1))
        raise RuntimeError


def test_an_exception_in_the_middle_of_a_write_leaves_nothing_behind(rig: Rig, s3_storage: dict[str, Any]) -> None:
    lake = Lake(rig.lake_url, s3_storage)
    target = "data/acme/contacts/created_month=2026-01/data.parquet"
    rows = pa.table({"id": ["a", "b", "c"]})
    with lake.scratch() as path:
        with pytest.raises(RuntimeError):
            write_and_die(path, rows)
        assert pq.read_metadata(path).num_rows == 1
        with pytest.raises(LakeError, match="1 rows instead of 3"):
            lake.publish(path, target, rows=3)
    with lake.scratch() as path:
        path.write_bytes(b"no parquet")
        with pytest.raises(LakeError):
            lake.publish(path, target, rows=1)
    assert lake.list("") == {}
    assert not path.exists()


def test_a_run_that_dies_while_it_writes_shows_no_partial_table(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    published = 0
    put = Lake.publish

    def dying(self: Lake, *args: Any, **options: Any) -> int:
        nonlocal published
        published += 1
        if published == 3:
            raise Killed
        return put(self, *args, **options)

    monkeypatch.setattr(Lake, "publish", dying)
    with pytest.raises(Killed):
        rig.sync(["contacts"])
    monkeypatch.setattr(Lake, "publish", put)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_bucket_that_does_not_exist_is_a_clear_error(rig: Rig, s3_storage: dict[str, Any]) -> None:
    with pytest.raises(LakeError, match="no-such-bucket"):
        Lake("s3://no-such-bucket/lake", s3_storage).identity()


def test_of_two_creators_of_a_record_one_wins(rig: Rig, s3_storage: dict[str, Any]) -> None:
    lake = Lake(rig.lake_url, s3_storage)
    assert lake.create_json("_state/probe.json", {"n": 1})
    assert not lake.create_json("_state/probe.json", {"n": 2})
    assert lake.read_json("_state/probe.json") == {"n": 1}


def test_a_file_put_by_another_writer_is_seen_at_once(rig: Rig, s3_storage: dict[str, Any]) -> None:
    lake = Lake(rig.lake_url, s3_storage)
    assert lake.list("data") == {}
    other, root = fsspec.core.url_to_fs(rig.lake_url, **s3_storage)
    other.pipe_file(f"{root}/data/acme/tags/data.parquet", b"x")
    assert lake.list("data") == {"data/acme/tags/data.parquet": 1}
