"""A lake on a local disk and in memory: files are whole or absent, records are exclusive, faults are LakeErrors."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.errors import ConfigurationError, LakeError
from intercom.lake import Lake
from intercom.paths import LAKE_FILE, TablePaths
from intercom.watermarks import FORMAT

ODD_PATHS = [
    "data/a b/tags/data.parquet",
    "data/a%20b/tags/data.parquet",
    "data/100%/tags/data.parquet",
    "data/a+b/tags/data.parquet",
    "data/é🙂/tags/data.parquet",
    "data/x/contacts/created_month=2026-01/data.parquet",
    "data/k=v&w/tags/data.parquet",
]


@pytest.fixture(params=["local", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    if request.param == "local":
        yield Lake(str(tmp_path / "lake"))
        return
    root = f"/lake-{uuid.uuid4().hex}"
    yield Lake(f"memory:/{root}")
    memory = fsspec.filesystem("memory")
    if memory.exists(root):
        memory.rm(root, recursive=True)


def publish(lake: Lake, path: str, rows: int = 3) -> int:
    with lake.scratch() as written:
        pq.write_table(pa.table({"id": list(range(rows))}), written)
        return lake.publish(written, path, rows=rows)


def ids(lake: Lake, path: str) -> list[int]:
    with lake.fetch(path) as file:
        found: list[int] = pq.read_table(file).column("id").to_pylist()
        return found


# -- publishing ---------------------------------------------------------------------------------------------------


def test_a_published_file_can_be_read_and_is_listed_with_its_size(lake: Lake) -> None:
    size = publish(lake, "data/c/tags/data.parquet")
    assert ids(lake, "data/c/tags/data.parquet") == [0, 1, 2]
    assert lake.list("data") == {"data/c/tags/data.parquet": size}
    with lake.fetch("data/c/tags/data.parquet") as file:
        assert file.stat().st_size == size


def test_publishing_again_replaces_the_file(lake: Lake) -> None:
    publish(lake, "data/x.parquet", rows=3)
    size = publish(lake, "data/x.parquet", rows=50)
    assert ids(lake, "data/x.parquet") == list(range(50))
    assert lake.list("data") == {"data/x.parquet": size}


@pytest.mark.parametrize("told", [0, 2, 4])
def test_a_file_with_another_number_of_rows_is_not_published(lake: Lake, told: int) -> None:
    publish(lake, "data/x.parquet", rows=1)
    with lake.scratch() as written:
        pq.write_table(pa.table({"id": [7, 8, 9]}), written)
        with pytest.raises(LakeError, match=f"3 rows instead of {told}; it was not published"):
            lake.publish(written, "data/x.parquet", rows=told)
        with pytest.raises(LakeError):
            lake.publish(written, "data/new.parquet", rows=told)
    assert ids(lake, "data/x.parquet") == [0]
    assert list(lake.list("data")) == ["data/x.parquet"]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_broken_file_is_not_published(lake: Lake, content: bytes) -> None:
    with lake.scratch() as written:
        written.write_bytes(content)
        with pytest.raises(LakeError, match=r"Cannot write data/x\.parquet"):
            lake.publish(written, "data/x.parquet", rows=0)
    assert lake.list("data") == {}


def test_a_file_that_is_cut_off_is_not_published(lake: Lake) -> None:
    with lake.scratch() as written:
        pq.write_table(pa.table({"id": list(range(1000))}), written)
        written.write_bytes(written.read_bytes()[:-20])
        with pytest.raises(LakeError):
            lake.publish(written, "data/x.parquet", rows=1000)
    assert lake.list("data") == {}


def test_a_file_that_was_never_written_is_not_published(lake: Lake) -> None:
    with lake.scratch() as written, pytest.raises(LakeError):
        lake.publish(written, "data/x.parquet", rows=0)
    assert lake.list("data") == {}


def test_a_scratch_file_is_removed_when_its_block_raises(lake: Lake) -> None:
    seen = []

    def write_half() -> None:
        with lake.scratch() as written:
            seen.append(written)
            written.write_bytes(b"half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_half()
    assert not seen[0].exists()
    assert lake.list("data") == {}


def test_a_scratch_file_that_was_not_published_is_removed(lake: Lake) -> None:
    with lake.scratch(".json") as written:
        written.write_bytes(b"unused")
        assert written.suffix == ".json"
    assert not written.exists()


def test_scratch_files_have_names_of_their_own(lake: Lake) -> None:
    with lake.scratch() as left, lake.scratch() as right:
        assert left != right


def test_scratch_files_of_a_local_lake_lie_on_its_disk_and_out_of_the_tables(tmp_path: Path) -> None:
    with Lake(str(tmp_path / "lake")).scratch() as written:
        assert written.parent == tmp_path / "lake" / "_tmp"


def test_publishing_to_a_local_lake_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    publish(lake, "data/x.parquet")
    lake.write_json("_state/x.json", {})
    lake.create_json("_state/y.json", {})
    assert sorted(lake.list("data") | lake.list("_state") | lake.list("_tmp")) == [
        "_state/x.json",
        "_state/y.json",
        "data/x.parquet",
    ]


# -- reading and deleting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ODD_PATHS)
def test_odd_characters_in_names_are_kept(lake: Lake, path: str) -> None:
    size = publish(lake, path)
    lake.write_json("_state/other.json", {})
    assert lake.list("data") == {path: size}
    assert lake.list(path.rsplit("/", 1)[0]) == {path: size}
    assert ids(lake, path) == [0, 1, 2]
    lake.delete([path])
    assert lake.list("data") == {}


def test_paths_that_differ_only_in_their_escapes_are_different_files(lake: Lake) -> None:
    for rows, path in enumerate(ODD_PATHS, start=1):
        publish(lake, path, rows=rows)
    assert list(lake.list("data")) == sorted(ODD_PATHS)
    assert [len(ids(lake, path)) for path in ODD_PATHS] == list(range(1, len(ODD_PATHS) + 1))


@pytest.mark.parametrize("name", ["my intercom", "a/b", "..", "50%", "é"])
def test_the_files_of_a_connection_of_any_name_are_found_below_its_folder(lake: Lake, name: str) -> None:
    paths = TablePaths(name, "contacts")
    publish(lake, paths.published("2026-01"))
    publish(lake, paths.part("run", "2026-01", 0))
    assert [paths.month_of(path) for path in lake.list(paths.data)] == ["2026-01"]
    assert [paths.run_and_month(path) for path in lake.list(paths.staging)] == [("run", "2026-01")]


def test_a_folder_that_is_not_there_lists_as_empty(lake: Lake) -> None:
    assert lake.list("data/nobody/contacts") == {}
    publish(lake, "data/somebody/contacts/data.parquet")
    assert lake.list("data/nobody/contacts") == {}


def test_a_folder_lists_what_is_below_it_and_not_its_neighbours(lake: Lake) -> None:
    for path in ("data/c/tags/data.parquet", "data/c/tags2/data.parquet", "data/c2/tags/data.parquet"):
        publish(lake, path)
    assert list(lake.list("data/c/tags")) == ["data/c/tags/data.parquet"]
    assert list(lake.list("data/c")) == ["data/c/tags/data.parquet", "data/c/tags2/data.parquet"]


def test_a_listing_sees_what_another_lake_object_has_just_written(lake: Lake) -> None:
    other = Lake(lake.url)
    assert lake.list("data") == {}
    publish(other, "data/x.parquet")
    assert list(lake.list("data")) == ["data/x.parquet"]
    other.delete(["data/x.parquet"])
    assert lake.list("data") == {}


def test_deleting_files_that_are_gone_is_no_error(lake: Lake) -> None:
    publish(lake, "data/a.parquet")
    publish(lake, "data/b.parquet")
    lake.delete(["data/gone.parquet", "data/a.parquet", "data/a.parquet", "nowhere/at/all.parquet"])
    assert list(lake.list("data")) == ["data/b.parquet"]


def test_folders_that_get_empty_go_and_others_stay(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    publish(lake, "data/c/contacts/created_month=2026-01/data.parquet")
    publish(lake, "data/c/contacts/created_month=2026-02/data.parquet")
    lake.delete(["data/c/contacts/created_month=2026-01/data.parquet"])
    assert [path.name for path in (tmp_path / "lake/data/c/contacts").iterdir()] == ["created_month=2026-02"]
    lake.delete(["data/c/contacts/created_month=2026-02/data.parquet"])
    assert not (tmp_path / "lake/data").exists()
    assert (tmp_path / "lake").is_dir()


def test_the_root_of_a_local_lake_stays_when_its_last_file_goes(tmp_path: Path) -> None:
    (tmp_path / "lake/data").mkdir(parents=True)
    (tmp_path / "lake/data/x.parquet").touch()
    Lake(str(tmp_path / "lake")).delete(["data/x.parquet"])
    assert list((tmp_path / "lake").iterdir()) == []


def test_reading_a_file_that_is_not_there_is_an_error(lake: Lake) -> None:
    with pytest.raises((LakeError, FileNotFoundError)):
        ids(lake, "data/gone.parquet")


# -- records ------------------------------------------------------------------------------------------------------


def test_a_record_is_written_and_replaced_whole(lake: Lake) -> None:
    lake.write_json("_state/c/tags.json", {"name": "é🙂", "long": "x" * 1000})
    lake.write_json("_state/c/tags.json", {"name": "short"})
    assert lake.read_json("_state/c/tags.json") == {"name": "short"}


def test_a_record_that_is_not_there_is_none(lake: Lake) -> None:
    assert lake.read_json("_state/c/tags.json") is None


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', "\x00"])
def test_a_record_that_is_no_json_is_a_value_error(lake: Lake, text: str) -> None:
    put(lake, "_state/x.json", text)
    with pytest.raises(ValueError, match="Expecting"):
        lake.read_json("_state/x.json")


def test_a_record_is_created_only_once(lake: Lake) -> None:
    assert lake.create_json("_locks/c/tags.lock", {"owner": "first"})
    assert not lake.create_json("_locks/c/tags.lock", {"owner": "second"})
    assert lake.read_json("_locks/c/tags.lock") == {"owner": "first"}
    lake.delete(["_locks/c/tags.lock"])
    assert lake.create_json("_locks/c/tags.lock", {"owner": "third"})


def test_of_many_creators_at_the_same_time_one_wins(tmp_path: Path) -> None:
    lakes = [Lake(str(tmp_path / "lake")) for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: lakes[n].create_json("_locks/x.lock", {"owner": n}), range(16)))
    assert made.count(True) == 1
    assert lakes[0].read_json("_locks/x.lock") == {"owner": made.index(True)}


# -- identity -----------------------------------------------------------------------------------------------------


def put(lake: Lake, path: str, text: str) -> None:
    """Whatever text, as somebody else would write it."""
    with fsspec.open(f"{lake.url}/{path}", "w", auto_mkdir=True) as file:
        file.write(text)


def test_an_identity_is_made_once_and_two_lake_objects_agree(lake: Lake) -> None:
    identity = lake.identity()
    assert identity.format == FORMAT
    assert lake.identity() == identity
    assert Lake(lake.url).identity() == identity
    assert lake.read_json(LAKE_FILE)["id"] == identity.id


def test_two_lakes_have_two_identities(tmp_path: Path) -> None:
    assert Lake(str(tmp_path / "a")).identity() != Lake(str(tmp_path / "b")).identity()


def test_a_deleted_identity_is_followed_by_another_one(lake: Lake) -> None:
    before = lake.identity()
    lake.delete([LAKE_FILE])
    assert lake.identity().id != before.id


def test_many_that_ask_at_the_same_time_get_one_identity(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Lake(str(tmp_path / "lake")).identity(), range(16)))
    assert len(set(found)) == 1


def test_an_existing_identity_is_taken_as_it_is(lake: Lake) -> None:
    put(lake, LAKE_FILE, json.dumps({"id": "mine", "format": FORMAT, "more": "unknown fields"}))
    assert lake.identity().id == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"text"',
        "5",
        '{"id": "x"}',
        '{"format": 1}',
        '{"id": null, "format": 1}',
        '{"id": "x", "format": "abc"}',
        "\x00\x01",
    ],
)
def test_a_damaged_identity_is_an_error_and_is_never_overwritten(lake: Lake, text: str) -> None:
    put(lake, LAKE_FILE, text)
    with pytest.raises(LakeError, match=r"lake\.json is damaged"):
        lake.identity()
    with fsspec.open(f"{lake.url}/{LAKE_FILE}") as file:
        assert file.read() == text.encode()


def test_a_lake_of_a_later_format_is_refused_and_left_alone(lake: Lake) -> None:
    put(lake, LAKE_FILE, json.dumps({"id": "x", "format": FORMAT + 1}))
    with pytest.raises(LakeError, match="Upgrade intercom-lake"):
        lake.identity()
    assert lake.read_json(LAKE_FILE) == {"id": "x", "format": FORMAT + 1}


# -- where it is --------------------------------------------------------------------------------------------------


def test_a_relative_path_a_file_url_and_an_absolute_path_name_the_same_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    urls = ["lake", "./lake", "lake/", f"{tmp_path}/lake", f"file://{tmp_path}/lake", f"file://{tmp_path}/lake/"]
    lakes = [Lake(url) for url in urls]
    assert len({lake.identity() for lake in lakes}) == 1
    assert {lake.url for lake in lakes} == {f"file://{tmp_path}/lake"}
    assert {lake.local for lake in lakes} == {True}


@pytest.mark.parametrize("name", ["my lake", "100%", "a%20b", "é🙂", "a+b=c"])
def test_the_url_of_a_local_lake_leads_back_to_it_whatever_its_folder_is_called(tmp_path: Path, name: str) -> None:
    lake = Lake(str(tmp_path / name))
    assert Lake(lake.url).identity() == lake.identity()
    assert (tmp_path / name / LAKE_FILE).exists()


def test_a_path_with_detours_names_the_same_lake_and_lists_the_same_paths(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    publish(lake, "data/x.parquet")
    for url in (f"file://{tmp_path}/lake/../lake", f"file://{tmp_path}/./lake", f"{tmp_path}//lake/"):
        detour = Lake(url)
        assert detour.url == lake.url
        assert detour.list("data") == lake.list("data")


def test_a_local_lake_stays_where_it_was_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake("lake")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    lake.write_json("_state/x.json", {})
    assert (tmp_path / "lake/_state/x.json").exists()


def test_making_a_lake_object_writes_nothing(tmp_path: Path) -> None:
    assert Lake(str(tmp_path / "lake")).list("data") == {}
    assert not (tmp_path / "lake").exists()


def test_a_url_of_an_unknown_filesystem_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"'nosuch://bucket'.*for example"):
        Lake("nosuch://bucket")


def test_a_lake_in_memory_is_not_local(lake: Lake) -> None:
    assert lake.local == lake.url.startswith("file://")


# -- storage that refuses -----------------------------------------------------------------------------------------


@pytest.fixture
def blocked(tmp_path: Path) -> Lake:
    """A lake below a regular file: every access is refused by the operating system, for root too."""
    (tmp_path / "file").write_text("no folder")
    return Lake(str(tmp_path / "file" / "lake"))


@pytest.mark.parametrize(
    ("verb", "access"),
    [
        ("write", lambda lake: publish(lake, "data/x.parquet")),
        ("write", lambda lake: lake.write_json("_state/x.json", {})),
        ("create", lambda lake: lake.create_json("_state/x.json", {})),
        ("read", lambda lake: lake.read_json("_state/x.json")),
        ("list", lambda lake: lake.list("data")),
        ("delete", lambda lake: lake.delete(["data/x.parquet"])),
        ("read", lambda lake: lake.identity()),
    ],
)
def test_storage_that_refuses_is_a_lake_error_that_says_what_was_tried_where(
    blocked: Lake, verb: str, access: Callable[[Lake], object]
) -> None:
    with pytest.raises(LakeError, match=f"Cannot {verb} .*Error.*permission") as told:
        access(blocked)
    assert blocked.url in str(told.value)
    assert isinstance(told.value.__cause__, OSError)


def test_a_folder_in_the_place_of_a_file_is_a_lake_error(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    (tmp_path / "data/x.parquet/inside").mkdir(parents=True)
    with pytest.raises(LakeError, match=r"Cannot write data/x\.parquet"):
        publish(lake, "data/x.parquet")
    with pytest.raises(LakeError, match=r"Cannot delete data/x\.parquet"):
        lake.delete(["data/x.parquet"])
    with pytest.raises(LakeError, match=r"Cannot read data/x\.parquet"):
        lake.read_json("data/x.parquet")


def test_tables_that_clean_up_and_write_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    """They share folders above their own: one removes what it has emptied while the other makes what it needs."""
    lake = Lake(str(tmp_path / "lake"))

    def work(table: int) -> None:
        for number in range(150):
            path = f"_staging/acme/table-{table}/run-{number}/part.json"
            lake.write_json(path, {"number": number})
            lake.delete([path])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [None] * 4
    assert lake.list("_staging") == {}
