"""A lake's own rules, on a local disk and in memory; tests/lake/stores/ has what all stores have to do."""

from __future__ import annotations

import base64
import errno
import json
import os
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.errors import ConfigurationError, LakeError, OvertakenError
from intercom.lake.layout import FORMAT, LAKE_FILE
from intercom.lake.parquet import ParquetFile, Written
from intercom.lake.storage import Lake
from tests.lake.stores.files import publish


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


# -- publishing ---------------------------------------------------------------------------------------------------


def test_a_file_that_is_cut_off_is_not_published(lake: Lake) -> None:
    with lake.scratch() as written:
        pq.write_table(pa.table({"id": list(range(1000))}), written)
        written.write_bytes(written.read_bytes()[:-20])
        with pytest.raises(LakeError):
            lake.publish(written, "data/x.parquet", rows=1000)
    assert lake.list("data") == {}


def test_a_file_that_is_not_what_its_writer_says_is_not_published(lake: Lake) -> None:
    """Its footer is not read then."""
    rows = pa.table({"id": list(range(1000))})
    with lake.scratch() as written:
        with ParquetFile(written, rows.schema, "v1") as file:
            file.write(rows)
        assert file.written == Written(1000, written.stat().st_size)
        with pytest.raises(LakeError, match="written with 1000 rows instead of 999"):
            lake.publish(written, "data/x.parquet", rows=999, wrote=file.written)
        content = written.read_bytes()
        written.write_bytes(content[:-20])
        with pytest.raises(LakeError, match="bytes instead of"):
            lake.publish(written, "data/x.parquet", rows=1000, wrote=file.written)
        assert lake.list("data") == {}
        written.write_bytes(content)
        lake.publish(written, "data/x.parquet", rows=1000, wrote=file.written)
    assert lake.list("data") == {"data/x.parquet": len(content)}


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


def test_a_scratch_folder_that_cannot_be_made_is_no_overtaken_run() -> None:
    """`/proc` answers as if a folder above was missing, which after an overtaken run it is."""
    with pytest.raises(LakeError, match="Cannot write /proc/intercom-lake/_tmp") as raised:
        Lake("/proc/intercom-lake").write_bytes("_state/lake.json", b"{}")
    assert not isinstance(raised.value, OvertakenError)


def test_scratch_files_have_names_of_their_own(lake: Lake) -> None:
    with lake.scratch() as left, lake.scratch() as right:
        assert left != right


def test_scratch_files_of_a_local_lake_lie_on_its_disk_and_out_of_the_tables(tmp_path: Path) -> None:
    with Lake(str(tmp_path / "lake")).scratch() as written:
        assert written.parent.parent == tmp_path / "lake" / "_tmp"


def test_what_killed_writers_left_a_day_ago_is_removed_and_what_others_write_now_is_not(tmp_path: Path) -> None:
    (tmp_path / "_tmp").mkdir()
    for name, age in {"dead.parquet": 90_000, "alive.parquet": 80_000}.items():
        (tmp_path / "_tmp" / name).touch()
        os.utime(tmp_path / "_tmp" / name, (time.time() - age,) * 2)
    Lake(str(tmp_path)).write_json("_state/x.json", {})
    assert [path.name for path in (tmp_path / "_tmp").iterdir()] == ["alive.parquet"]


def test_without_hard_links_a_record_is_still_created_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    lake = Lake(str(tmp_path))
    assert lake.create_json("_state/x.json", {"n": 1})
    assert not lake.create_json("_state/x.json", {"n": 2})
    assert lake.read_json("_state/x.json") == {"n": 1}
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", lambda handle: fail_for_files(handle))
        with pytest.raises(LakeError, match="Make room there"):
            lake.create_json("_state/y.json", {"n": 1})
    assert list(lake.list("_state")) == ["_state/x.json"]


def fail_for_files(handle: int) -> None:
    """A disk that turns out to be full when a record in place, not a folder or a scratch file, is made durable."""
    if "/_state/y.json" in str(Path(f"/proc/self/fd/{handle}").readlink()):
        raise OSError(errno.ENOSPC, "No space left on device")


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


# -- deleting -----------------------------------------------------------------------------------------------------


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


def test_what_was_deleted_stays_deleted_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder that lost an entry is synced when it has lost it, and once, however many files were in it."""
    lake, root = Lake(str(tmp_path / "lake")), tmp_path / "lake"
    paths = [f"_staging/c/contacts/run/created_month=2026-{month:02}/part-{n}" for month in (1, 2) for n in range(50)]
    kept = root / "_staging/c/contacts/run/created_month=2026-02/kept"
    for path in (*paths, "_staging/c/tags/run/part"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    kept.touch()
    synced: list[tuple[int, tuple[str, ...]]] = []
    sync = os.fsync

    def watched(handle: int) -> None:
        synced.append((os.fstat(handle).st_ino, tuple(os.listdir(handle))))
        sync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    lake.delete([*paths, "_staging/c/tags/run/part", "_staging/c/gone/part"])
    run, c = kept.parent.parent, root / "_staging/c"
    assert sorted(synced) == sorted(
        [
            (c.stat().st_ino, ("contacts",)),
            (run.stat().st_ino, (kept.parent.name,)),
            (kept.parent.stat().st_ino, ("kept",)),
        ]
    )


# -- identity -----------------------------------------------------------------------------------------------------


def put(lake: Lake, path: str, text: str) -> None:
    """Whatever text, as somebody else would write it."""
    with fsspec.open(f"{lake.url}/{path}", "w", auto_mkdir=True) as file:
        file.write(text)


def test_two_lakes_have_two_identities(tmp_path: Path) -> None:
    assert Lake(str(tmp_path / "a")).identity() != Lake(str(tmp_path / "b")).identity()


def test_many_that_ask_at_the_same_time_get_one_identity(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Lake(str(tmp_path / "lake")).identity(), range(16)))
    assert len(set(found)) == 1


def test_an_known_identity_is_taken_as_it_is(lake: Lake) -> None:
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


def test_a_url_with_a_password_is_refused_and_does_not_show_it() -> None:
    for url in (
        "s3://key:secret-word@bucket/lake",
        "simplecache::ftp://me:secret-word@host/lake",
        "nosuch://:secret-word@x",
    ):
        with pytest.raises(ConfigurationError, match="environment") as told:
            Lake(url)
        assert "secret-word" not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize("url", ["s3://", "s3:///"])
def test_an_s3_url_without_a_bucket_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no bucket"):
        Lake(url)


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
        ("write", lambda lake: lake.create_json("_state/x.json", {})),
        ("read", lambda lake: lake.read_json("_state/x.json")),
        ("list", lambda lake: lake.list("data")),
        ("delete", lambda lake: lake.delete(["data/x.parquet"])),
        ("read", lambda lake: lake.identity()),
    ],
)
def test_storage_that_refuses_is_a_lake_error_that_says_what_was_tried_where(
    blocked: Lake, verb: str, access: Callable[[Lake], object]
) -> None:
    with pytest.raises(LakeError, match=f"Cannot {verb} .*NotADirectoryError.*run again") as told:
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


def test_a_record_that_the_store_refuses_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake("memory://refused")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("denied")

    monkeypatch.setattr(lake.filesystem, "put_file", refuse)
    with pytest.raises(LakeError, match=r"Cannot write _state/acme/tags\.json in the lake memory://"):
        lake.write_json("_state/acme/tags.json", {})


SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    "told",
    [
        SECRET,
        f"key {SECRET[5:25]} is wrong",
        quote(quote(SECRET, safe=""), safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        "".join(f"&#{ord(c)};" for c in SECRET),
        "https://bucket.example/x?X-Amz-Signature=0123456789abcdef&x=1",
        "https://me:0123456789abcdef@bucket.example/x",
    ],
)
@pytest.mark.parametrize("place", ["options", "nested options", "environment"])
def test_no_error_of_a_store_shows_its_secrets(told: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"options": {"secret": SECRET}, "nested options": {"client_kwargs": {"pwd": SECRET}}}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET if place == "environment" else "")
    lake = Lake("memory://refused", {**options.get(place, {}), "skip_instance_cache": True})

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("denied: " + told) from ValueError(told)

    monkeypatch.setattr(lake.filesystem, "put_file", refuse)
    with pytest.raises(LakeError, match=r"Cannot write _state/x\.json") as caught:
        lake.write_json("_state/x.json", {})
    shown = "".join(traceback.format_exception(caught.value))
    assert told not in shown
    assert "0123456789abcdef" not in shown
    assert not [at for at in range(len(SECRET) - 7) if SECRET[at : at + 8] in shown]
    assert "Check the credentials" in shown
