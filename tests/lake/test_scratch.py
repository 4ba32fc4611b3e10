"""Unfinished files: private while they are written, and removed by the next run once their process is gone."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from intercom.errors import OvertakenError
from intercom.lake.process import Process
from intercom.lake.scratch import private_folder, scratch_file, sweep
from intercom.lake.storage import Lake
from tests.lake.stores.files import publish

PROGRAM = """
import sys, time
from pathlib import Path
from intercom.errors import OvertakenError
from intercom.lake.process import Process
from intercom.lake.scratch import scratch_file
with scratch_file(Path(sys.argv[1]), ".parquet") as path, scratch_file(Path(sys.argv[1]), ".json") as other:
    path.write_bytes(b"half a table")
    print(path, flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["local", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "system"))
    return Lake(str(tmp_path / "lake") if request.param == "local" else f"memory://scratch-{uuid.uuid4().hex}")


@pytest.fixture
def base(lake: Lake, tmp_path: Path) -> Path:
    """Where the lake's folders of unfinished files are."""
    folder = tmp_path / "lake" / "_tmp" if lake.local else tmp_path / "system"
    folder.mkdir(parents=True)
    return folder


@contextmanager
def writing(base: Path) -> Iterator[Path]:
    """Another process in the middle of a file, killed with SIGKILL at the end."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(base)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Path(process.stdout.readline().strip())
        finally:
            process.kill()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_this_user_can_read_what_is_being_written(lake: Lake, base: Path) -> None:
    with lake.scratch() as path:
        path.write_bytes(b"a customer")
        assert path.parent.parent == base
        assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert list(base.iterdir()) == []


def test_only_this_user_can_look_into_a_private_folder(tmp_path: Path) -> None:
    assert mode(private_folder(tmp_path)) == 0o700


def test_what_is_published_on_a_disk_can_be_read_as_any_new_file(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    publish(lake, "data/x.parquet")
    lake.write_json("_state/x.json", {})
    lake.create_json("_state/y.json", {})
    (tmp_path / "new").touch()
    for path in ("data/x.parquet", "_state/x.json", "_state/y.json"):
        assert mode(tmp_path / path) == mode(tmp_path / "new")


def test_files_of_one_process_are_in_one_folder_until_the_last_one_ends(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        one, other = first.enter_context(scratch_file(tmp_path, "")), second.enter_context(scratch_file(tmp_path, ""))
        assert one.parent == other.parent
        first.close()
        other.write_bytes(b"still there")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_may_be_kept_for_many_files(lake: Lake, base: Path) -> None:
    with lake.keeping_scratch():
        with lake.scratch() as first:
            pass
        with lake.scratch() as second:
            assert second.parent == first.parent
        assert list(base.iterdir()) == [first.parent]
    assert list(base.iterdir()) == []


def test_what_a_process_writes_after_its_kept_folder_was_discarded_is_refused(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    with lake.keeping_scratch():
        lake.discard_scratch(Process.current())
        with pytest.raises(OvertakenError):
            lake.write_json("_state/x.json", {})
    assert lake.list("_state") == {}


def test_the_next_run_removes_what_a_killed_process_left(lake: Lake, base: Path) -> None:
    with writing(base) as left:
        assert len(list(left.parent.iterdir())) == 2
    assert left.exists()
    lake.write_json("_state/x.json", {})
    assert list(base.iterdir()) == []


def test_what_a_living_process_writes_stays_however_old_it_is(lake: Lake, base: Path) -> None:
    with writing(base) as path:
        for old in (path, path.parent):
            os.utime(old, (time.time() - 200_000,) * 2)
        lake.write_json("_state/x.json", {})
        assert path.read_bytes() == b"half a table"
        assert mode(path.parent) == 0o700


@pytest.mark.parametrize(("age", "stays"), [(80_000, True), (90_000, False)])
def test_what_another_host_left_stays_for_a_day(age: int, stays: bool, lake: Lake, base: Path) -> None:
    with writing(base) as here:
        pass
    name = re.sub("lake-[0-9a-f]{12}", f"lake-{'0' * 12}", here.parent.name)
    there = here.parent.rename(base / name)
    for old in (*there.iterdir(), there):
        os.utime(old, (time.time() - age,) * 2)
    lake.write_json("_state/x.json", {})
    assert there.exists() is stays


def test_links_and_what_has_another_name_stay(tmp_path: Path) -> None:
    base, kept = tmp_path / "base", tmp_path / "kept"
    with writing(tmp_path) as left:
        pass
    base.mkdir()
    left.parent.rename(kept)
    (base / left.parent.name).symlink_to(kept)
    (base / "intercom-lake-something").mkdir()
    os.utime(base / "intercom-lake-something", (time.time() - 200_000,) * 2)
    sweep(base)
    assert len(list(base.iterdir())) == 2
    assert len(list(kept.iterdir())) == 2


def test_what_another_user_left_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(tmp_path) as left:
        pass
    another = os.getuid() + 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: another)
        sweep(tmp_path)
    assert left.exists()
    sweep(tmp_path)
    assert not left.exists()


def test_what_was_left_goes_although_a_later_process_has_the_same_number(tmp_path: Path) -> None:
    ours = private_folder(tmp_path)
    *others, started, last = ours.name.split("-")
    left = tmp_path / "-".join([*others, str(int(started) - 1), last])
    left.mkdir()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [ours]
