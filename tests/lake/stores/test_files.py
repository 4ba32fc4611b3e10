"""What a lake does with files and records is the same in every store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.errors import LakeError
from intercom.lake.layout import TablePaths
from intercom.lake.parquet import open_parquet
from intercom.lake.storage import Lake
from tests.lake.stores.files import ids, publish
from tests.lake.stores.kinds import LOCAL, Backend, kinds

NAMES = ["my intercom", "Käse Grüße", "100%", "a%20b", "a+b", "a#b", "a?b", "a=b", "a:b", "é🙂", "a/b", "..", "k=v&w"]
ODD_FOLDERS = ["a b", "a%20b", "100%", "a+b", "é🙂", "k=v&w", "[ab]", "a"]


# -- files --------------------------------------------------------------------------------------------------------


def test_a_file_is_published_listed_read_back_replaced_and_deleted(lake: Lake) -> None:
    path = "data/c/tags/data.parquet"
    assert lake.list("data") == {}
    size = publish(lake, path)
    before = lake.stamp(path)
    assert lake.list("data") == {path: size}
    assert lake.stamps("data") == {path: before}
    assert ids(lake, path) == [0, 1, 2]
    size = publish(lake, path, rows=50)
    assert lake.list("data") == {path: size}
    assert lake.stamps("data") == {path: lake.stamp(path)} != {path: before}
    assert ids(lake, path) == list(range(50))
    lake.delete([path])
    assert lake.list("data") == lake.stamps("data") == {}


def test_a_folder_lists_what_is_below_it_and_not_its_neighbours(lake: Lake) -> None:
    for path in ("data/c/tags/data.parquet", "data/c/tags2/data.parquet", "data/c2/tags/data.parquet"):
        publish(lake, path)
    assert list(lake.list("data/c/tags")) == ["data/c/tags/data.parquet"]
    assert list(lake.list("data/c")) == ["data/c/tags/data.parquet", "data/c/tags2/data.parquet"]
    assert lake.list("data/nobody/contacts") == {}


def test_files_are_deleted_in_one_go_and_those_that_are_gone_are_no_error(lake: Lake) -> None:
    kept, gone = "data/b.parquet", [f"data/{n}/x.parquet" for n in range(5)]
    for path in (kept, *gone):
        publish(lake, path)
    lake.delete(["data/never.parquet", *gone, *gone[:2], "nowhere/at/all.parquet"])
    assert list(lake.list("")) == [kept]
    lake.delete(["data/never.parquet"])
    lake.delete(gone)
    lake.delete([])
    assert list(lake.list("data")) == [kept]


def test_some_columns_and_rows_of_a_file_are_read_without_the_rest(lake: Lake) -> None:
    path = "data/c/contacts/created_month=2026-01/data.parquet"
    size = publish(lake, path, rows=100_000)
    with lake.open(path, size) as source, open_parquet(source) as file:
        assert file.read(columns=["id"]).column("id").to_pylist() == list(range(100_000))


def test_reading_what_is_not_there_is_an_error_that_names_it(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"data/gone\.parquet"):
        lake.stamp("data/gone.parquet")
    with pytest.raises((LakeError, FileNotFoundError), match=r"data/gone\.parquet"):
        ids(lake, "data/gone.parquet")


# -- names --------------------------------------------------------------------------------------------------------


def test_paths_with_odd_characters_are_different_files(lake: Lake) -> None:
    paths = [f"data/{folder}/tags/data.parquet" for folder in ODD_FOLDERS]
    for rows, path in enumerate(paths, start=1):
        publish(lake, path, rows=rows)
    assert list(lake.list("data")) == sorted(paths)
    assert [len(ids(lake, path)) for path in paths] == list(range(1, len(paths) + 1))
    lake.delete([f"data/{folder}/tags/data.parquet" for folder in ("[ab]", "a%20b", "a+b")])
    left = sorted(f"data/{folder}/tags/data.parquet" for folder in ("a b", "100%", "é🙂", "k=v&w", "a"))
    assert list(lake.list("data")) == left
    lake.delete(left)
    assert lake.list("data") == {}


def test_the_files_of_a_connection_of_any_name_are_found_below_its_folder(lake: Lake) -> None:
    tables = [TablePaths(name, "contacts") for name in NAMES]
    for rows, paths in enumerate(tables, start=1):
        publish(lake, paths.published("2026-01"), rows=rows)
        lake.write_json(paths.checkpoint("run", "plan"), {"rows": rows})
        lake.write_json(paths.state, {"rows": rows})
    for rows, paths in enumerate(tables, start=1):
        assert [paths.month_of(path) for path in lake.list(paths.data)] == ["2026-01"]
        assert [paths.attempt_of(path) for path in lake.list(paths.staging)] == ["run"]
        assert len(ids(lake, paths.published("2026-01"))) == rows
        assert lake.read_json(paths.state) == {"rows": rows}


# -- records ------------------------------------------------------------------------------------------------------


def test_a_record_is_written_and_replaced_whole(lake: Lake) -> None:
    assert lake.read_json("_state/c/tags.json") is None
    lake.write_json("_state/c/tags.json", {"name": "é🙂", "long": "x" * 1000})
    lake.write_json("_state/c/tags.json", {"name": "short"})
    assert lake.read_json("_state/c/tags.json") == {"name": "short"}


def test_a_record_that_is_no_json_is_a_value_error(store: Backend, lake: Lake) -> None:
    for text in ("", "{", '{"a": 1', "\x00"):
        store.put("_state/x.json", text.encode())
        with pytest.raises(ValueError, match="Expecting"):
            lake.read_json("_state/x.json")


def test_a_record_is_created_only_once(store: Backend, lake: Lake) -> None:
    assert lake.creates_exclusively() == store.kind.creates_exclusively
    assert lake.create_json("_locks/c/tags.lock", {"owner": "first"})
    assert not lake.create_json("_locks/c/tags.lock", {"owner": "second"})
    assert lake.read_json("_locks/c/tags.lock") == {"owner": "first"}
    lake.delete(["_locks/c/tags.lock"])
    assert lake.create_json("_locks/c/tags.lock", {"owner": "third"})


@pytest.mark.parametrize("store", kinds(lambda kind: kind.creates_exclusively), ids=lambda k: k.name, indirect=True)
def test_of_many_creators_at_the_same_time_one_wins(store: Backend, lake: Lake) -> None:
    lakes = [store.lake() for _ in range(16)] if store.kind is LOCAL else [lake] * 16
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: lakes[n].create_json("_state/x.json", {"owner": n}), range(16)))
    if store.kind.other_processes_see_it:  # a store within one process looks, and then writes
        assert made.count(True) == 1
        assert lake.read_json("_state/x.json") == {"owner": made.index(True)}


def test_an_identity_is_made_once_and_two_lake_objects_agree(store: Backend, lake: Lake) -> None:
    identity = lake.identity()
    assert lake.identity() == store.lake().identity() == identity
    lake.delete(["_state/lake.json"])
    assert lake.identity() != identity


# -- writes that end half-way --------------------------------------------------------------------------------------


def write_and_fail(written: Path) -> None:
    """The Parquet writer closes its file on the way out, so that it reads well, and lacks rows."""
    rows = pa.table({"id": [7, 8, 9]})
    with pq.ParquetWriter(written, rows.schema) as writer:
        writer.write_table(rows.slice(0, 1))
        raise RuntimeError


def test_an_exception_in_the_middle_of_a_write_leaves_the_old_file_or_none(lake: Lake) -> None:
    size = publish(lake, "data/old.parquet", rows=2)
    for path in ("data/old.parquet", "data/new.parquet"):
        with lake.scratch() as written:
            with pytest.raises(RuntimeError):
                write_and_fail(written)
            for rows in (0, 3):
                with pytest.raises(LakeError, match=f"1 rows instead of {rows}; it was not published"):
                    lake.publish(written, path, rows=rows)
    with lake.scratch() as written:
        for content in (b"", b"PAR1", b"no parquet", b"PAR1" + b"\0" * 100 + b"PAR1"):
            written.write_bytes(content)
            with pytest.raises(LakeError, match=r"Cannot write data/old\.parquet"):
                lake.publish(written, "data/old.parquet", rows=0)
    assert not written.exists()
    assert lake.list("data") == {"data/old.parquet": size}
    assert ids(lake, "data/old.parquet") == [0, 1]


# -- other writers ------------------------------------------------------------------------------------------------


def test_what_another_client_writes_replaces_and_removes_is_seen_at_once(store: Backend, lake: Lake) -> None:
    path = "data/acme/tags/data.parquet"
    assert lake.list("data") == {}
    store.put(path, b"one")
    assert lake.list("data") == {path: 3}
    before = lake.stamp(path)
    store.put(path, b"three")
    assert lake.list("data") == {path: 5}
    assert lake.stamps("data") == {path: lake.stamp(path)} != {path: before}
    store.put(path, b"longer")
    assert lake.stamp(path).startswith("6:")
    store.put("_state/x.json", b"1")
    assert lake.read_json("_state/x.json") == 1
    store.put("_state/x.json", b"2")
    assert lake.read_json("_state/x.json") == 2
    store.remove(path)
    store.remove("_state/x.json")
    assert lake.list("data") == {}
    assert lake.read_json("_state/x.json") is None
    publish(store.lake(), path)
    assert ids(lake, path) == [0, 1, 2]
    assert store.get(path)[:4] == b"PAR1"
