"""Locks on a local disk, in memory and on S3, with a clock that only sleeping moves: who gets a table, and when."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intercom.errors import LakeError
from intercom.lake.locks.files import heartbeat_path
from intercom.lake.locks.liveness import LockTiming
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.process import Process
from intercom.lake.storage import Lake
from tests.conftest import BUCKET

ELSEWHERE = Process("elsewhere", "another boot", 4711, 1)


class Clock:
    """Time passes by sleeping only; `while_asleep` happens in every sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.while_asleep: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.while_asleep()


@pytest.fixture(params=["local", "memory", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "s3":
        return Lake(f"s3://{BUCKET}/lake", request.getfixturevalue("s3_storage"))
    return Lake(str(tmp_path / "lake") if request.param == "local" else f"memory://lake-{uuid.uuid4().hex}")


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run(lake: Lake, clock: Clock) -> Callable[..., TableLocks]:
    return runs_on(lake, clock)


def runs_on(lake: Lake, clock: Clock) -> Callable[..., TableLocks]:
    """Makes locks of runs, which tell themselves apart by their ids."""

    def make(run_id: str, *tables: str, connection: str = "acme", process: Process | None = None) -> TableLocks:
        timing = LockTiming(clock=clock, sleep=clock.sleep)
        return TableLocks(lake, connection, tables or ("contacts",), run_id, timing=timing, process=process)

    return make


def generations(lake: Lake) -> list[str]:
    return [path.removeprefix("_locks/tables/") for path in lake.list("_locks/tables")]


# -- one gets it ----------------------------------------------------------------------------------------------------


def test_a_run_holds_its_tables_until_it_releases_them(lake: Lake, run: Callable[..., TableLocks]) -> None:
    with run("first", "tags", "contacts") as locks:
        assert locks.held()
        locks.check()
        assert generations(lake) == ["acme/contacts/000001.json", "acme/tags/000001.json"]
        assert list(lake.list("_locks/runs")) == [heartbeat_path(locks.attempt)]
    assert lake.list("_locks/runs") == {}
    with pytest.raises(LakeError, match="released"):
        locks.check()


def test_numbers_of_generations_only_grow_and_one_is_left(
    lake: Lake, run: Callable[..., TableLocks], clock: Clock
) -> None:
    for number in range(1, 4):
        with run(f"run-{number}"):
            assert generations(lake) == [f"acme/contacts/{number:06d}.json"]
    assert clock.now == 0


def test_a_second_run_in_the_same_process_ends_at_once_and_moves_nothing(
    lake: Lake, run: Callable[..., TableLocks], clock: Clock
) -> None:
    with run("first") as locks:
        before = generations(lake), list(lake.list("_locks/runs"))
        with pytest.raises(LakeError, match=r"contacts: already running since 20.* by run first \(on .+\)"):
            run("second").acquire()
        assert (generations(lake), list(lake.list("_locks/runs"))) == before
        locks.check()
    assert clock.now == 0


def test_other_tables_connections_and_lakes_do_not_conflict(
    lake: Lake, run: Callable[..., TableLocks], tmp_path: Path, clock: Clock
) -> None:
    elsewhere = runs_on(Lake(str(tmp_path / "other")), clock)
    with run("a"), run("b", "tags"), run("c", connection="contacts"), run("d", connection="runs"), elsewhere("e"):
        assert len(lake.list("_locks/runs")) == 4


def test_a_run_gets_all_its_tables_or_none(lake: Lake, run: Callable[..., TableLocks], clock: Clock) -> None:
    with run("first", "contacts"):
        with pytest.raises(LakeError, match="contacts: already running"):
            run("second", "admins", "contacts", "tags").acquire()
        with run("third", "admins", "tags") as locks:
            locks.check()
    assert clock.now == 0


def test_a_creation_whose_answer_is_lost_counts(tmp_path: Path, clock: Clock) -> None:
    class LosesAnswers(Lake):
        def create_json(self, path: str, record: Mapping[str, Any]) -> bool:
            super().create_json(path, record)
            return False  # sent again after a break, and the first one is there

    with runs_on(LosesAnswers(str(tmp_path)), clock)("first", "contacts", "tags") as locks:
        locks.check()
        assert locks.token.generations == {"contacts": 1, "tags": 1}


def test_a_renewal_is_one_write_and_one_listing_whatever_the_number_of_tables(tmp_path: Path, clock: Clock) -> None:
    asked = []

    class Counts(Lake):
        def write_json(self, path: str, record: Mapping[str, Any]) -> None:
            asked.append("write")
            super().write_json(path, record)

        def list(self, folder: str) -> dict[str, int]:
            asked.append("list")
            return super().list(folder)

        def read_json(self, path: str) -> Any:
            asked.append("read")
            return super().read_json(path)

    with runs_on(Counts(str(tmp_path)), clock)("first", *"abcdefghi") as locks:
        asked.clear()
        locks.renew()
    assert asked == ["write", "list"]


# -- the owner is gone, silent or asleep --------------------------------------------------------------------------


def test_a_run_of_this_host_that_is_gone_is_replaced_at_once(
    lake: Lake, run: Callable[..., TableLocks], clock: Clock
) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    run("first", process=replace(Process.current(), pid=int(ended.stdout))).acquire()
    with run("second"):
        assert generations(lake) == ["acme/contacts/000002.json"]
        assert len(lake.list("_locks/runs")) == 1
    assert clock.now == 0


def test_a_silent_run_of_another_host_is_waited_for_until_it_expires(
    lake: Lake, run: Callable[..., TableLocks], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    first = run("first", process=ELSEWHERE)
    first.acquire()
    since = lake.read_json(heartbeat_path(first.attempt))["since"]
    with caplog.at_level(logging.INFO, "intercom"), run("second") as locks:
        locks.check()
        assert 60 <= clock.now <= 70
        assert [record.message for record in caplog.records if record.name.startswith("intercom.")] == [
            f"contacts: already running since {since} by run first (on elsewhere). "
            "It is watched for up to 63 s: if it does not show that it lives, its lock is taken over."
        ]
        assert not first.held()
        with pytest.raises(LakeError, match=r"The lock on contacts was lost by first\..*replaced by run second"):
            first.check()
        first.renew()
        assert list(lake.list("_locks/runs")) == [heartbeat_path(locks.attempt)]


def test_a_run_of_another_host_that_shows_that_it_lives_is_not_waited_for(
    lake: Lake, run: Callable[..., TableLocks], clock: Clock
) -> None:
    with run("first", process=ELSEWHERE) as first:
        clock.while_asleep = lambda: first.renew() if clock.now >= 14 else None
        with pytest.raises(LakeError, match=r"already running .* by run first \(on elsewhere\)"):
            run("second").acquire()
        assert clock.now <= 18
        first.check()


def test_a_run_that_releases_its_table_meanwhile_is_followed(run: Callable[..., TableLocks], clock: Clock) -> None:
    first = run("first", process=ELSEWHERE)
    first.acquire()
    clock.while_asleep = first.release
    with run("second") as second:
        second.check()
    assert clock.now <= 5


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_run_that_beats_is_never_taken_for_dead_by_the_times_of_files(local: Lake, clock: Clock, step: int) -> None:
    """The clock of the disk is set by an hour between two heartbeats."""
    run = runs_on(local, clock)
    with run("first", process=ELSEWHERE) as first:
        file = Path(local.url.removeprefix("file://"), heartbeat_path(first.attempt))
        os.utime(file, (file.stat().st_mtime + step,) * 2)
        clock.while_asleep = lambda: first.renew() if clock.now >= 14 else None
        with pytest.raises(LakeError, match=r"already running .* by run first \(on elsewhere\)"):
            run("second").acquire()
        first.check()


def test_a_run_of_this_host_that_is_there_is_at_work_however_old_its_heartbeat(local: Lake, clock: Clock) -> None:
    run = runs_on(local, clock)
    with run("first") as first:
        file = Path(local.url.removeprefix("file://"), heartbeat_path(first.attempt))
        os.utime(file, (file.stat().st_mtime - 3600,) * 2)
        with pytest.raises(LakeError, match=r"already running .* by run first"):
            run("second").acquire()
        first.check()
    assert clock.now == 0


def test_a_run_of_this_host_that_does_not_say_when_it_began_is_watched(local: Lake, clock: Clock) -> None:
    """Where there is no /proc another process may have its number by now."""
    run = runs_on(local, clock)
    run("first", process=replace(Process.current(), started=None)).acquire()
    run("second").acquire()
    assert 60 <= clock.now <= 70


def test_several_silent_runs_are_watched_at_the_same_time(local: Lake, clock: Clock) -> None:
    run = runs_on(local, clock)
    run("first", "contacts", process=ELSEWHERE).acquire()
    run("second", "tags", process=ELSEWHERE).acquire()
    run("third", "contacts", "tags").acquire()
    assert 60 <= clock.now <= 70


def test_what_a_machine_slept_through_is_no_silence(local: Lake, clock: Clock) -> None:
    """Two containers of one laptop whose lid was shut: the other one beats as soon as it is awake."""
    run = runs_on(local, clock)
    with run("first", process=ELSEWHERE) as first:

        def asleep() -> None:
            clock.now += 3600
            clock.while_asleep = first.renew

        clock.while_asleep = asleep
        with pytest.raises(LakeError, match="already running"):
            run("second").acquire()


def test_a_run_that_slept_too_long_goes_on_when_nobody_took_its_place(
    run: Callable[..., TableLocks], clock: Clock
) -> None:
    with run("first") as locks:
        clock.now += 1000
        assert not locks.held()
        locks.check()
        assert locks.held()


def test_a_lock_whose_files_were_removed_is_lost(lake: Lake, run: Callable[..., TableLocks]) -> None:
    with run("first") as locks:
        lake.delete(list(lake.list("_locks")))
        locks.renew()
        with pytest.raises(LakeError, match="lost"):
            locks.check()
        assert lake.list("_locks") == {}


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"no json"])
def test_a_damaged_generation_belongs_to_nobody_and_a_damaged_heartbeat_expires(
    local: Lake, clock: Clock, text: bytes
) -> None:
    run = runs_on(local, clock)
    folder = Path(local.url.removeprefix("file://"))
    run("first").acquire()
    (folder / "_locks/tables/acme/contacts/000001.json").write_bytes(text)
    second = run("second")
    second.acquire()
    assert clock.now == 0
    (folder / heartbeat_path(second.attempt)).write_bytes(text)
    run("third").acquire()
    assert 60 <= clock.now <= 70


def test_a_release_that_fails_is_told_and_no_error(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Refuses(Lake):
        refuses = False

        def delete(self, paths: Any) -> None:
            if self.refuses:
                raise LakeError("Cannot delete")
            super().delete(paths)

    lake = Refuses(str(tmp_path))
    with runs_on(lake, clock)("first"):
        lake.refuses = True
    assert "stays until it expires: Cannot delete" in caplog.text
    lake.refuses = False
    runs_on(lake, clock)("second").acquire()  # of the same process, which knows
    assert clock.now == 0


# -- another process asks --------------------------------------------------------------------------------------------


def test_a_token_tells_another_process_whether_the_table_is_still_held(
    lake: Lake, run: Callable[..., TableLocks]
) -> None:
    first = run("first", "contacts", "tags", process=ELSEWHERE)
    first.acquire()
    first.token.check(lake, "tags")
    with run("second", "tags"), pytest.raises(LakeError, match=r"The lock on tags was lost by first\."):
        first.token.check(lake, "tags")
    with run("third", "contacts") as third:
        third.token.check(lake, "contacts")
    with pytest.raises(LakeError, match="lost by third"):
        third.token.check(lake, "contacts")


def test_a_token_is_worth_nothing_for_a_table_that_has_a_later_generation(
    lake: Lake, run: Callable[..., TableLocks]
) -> None:
    with run("first", "contacts", "tags") as locks:
        lake.create_json("_locks/tables/acme/tags/000002.json", {"attempt": "second.1"})
        locks.token.check(lake, "contacts")
        with pytest.raises(LakeError, match="tags was lost"):
            locks.token.check(lake, "tags")
