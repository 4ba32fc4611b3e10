"""What Prefect and the log are told, and when: the reporter's thread against a fake of Prefect's API."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from intercom.orchestration.observe import progress as reporting
from intercom.orchestration.observe.progress import Reporter, end_reports, report_progress
from intercom.sync.board import BOARD, Tracked
from intercom.sync.progress import TableProgress

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody")


@dataclass(frozen=True)
class Requests:
    sent: int = 7
    limit: int = 166


@dataclass
class FakeArtifacts:
    """Remembers every call; raises `error` if there is one, and waits for `gate` if it is closed."""

    calls: list[tuple[str, float, str]] = field(default_factory=list)
    keys: dict[UUID, str] = field(default_factory=dict)
    whose: list[str] = field(default_factory=list)
    error: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def create(self, key: str, percent: float, description: str) -> UUID:
        self._called(key, percent, description)
        self.keys[created := uuid4()] = key
        return created

    def update(self, artifact: UUID, percent: float, description: str) -> None:
        self._called(self.keys[artifact], percent, description)

    def _called(self, key: str, percent: float, description: str) -> None:
        assert threading.current_thread().name == "intercom-progress"
        self.gate.wait(60)
        self.calls.append((key, percent, description))
        self.whose.append(WHOSE.get())
        if self.error is not None:
            raise self.error


class Rig:
    """A reporter on the test's clock, which looks at its tables all the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0
        self.api = FakeArtifacts()
        self.reporter = Reporter(self.api, clock=lambda: self.now)

    def track(self, table: str = "contacts", run_id: str = "run") -> Tracked:
        return Tracked(run_id, "My_Acme", TableProgress(table, lambda: self.now), self._usage)

    def _usage(self) -> Requests:
        self.looks += 1
        return Requests()

    def pass_seconds(self, seconds: float) -> None:
        """Let the clock go on, and the reporter look at it."""
        self.now += seconds
        self.settle()

    def settle(self) -> None:
        """Until every table that is followed was looked at as it is now."""
        enough = self.looks + 4  # of two tables, each once from begin to end
        wait_until(lambda: self.looks >= enough)


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen within half a minute")


def thread_is_gone() -> bool:
    return all(thread.name != "intercom-progress" for thread in threading.enumerate())


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(reporting, "_TICK_SECONDS", 0.002)
    monkeypatch.setattr(reporting, "_FIRST_ARTIFACT_SECONDS", 0.0)
    rig = Rig()
    yield rig
    wait_until(thread_is_gone)  # whatever the test did


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG, "intercom")
    return lambda: [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_a_table_that_is_read_in_ten_seconds_has_no_artifact(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "_FIRST_ARTIFACT_SECONDS", 10.0)
    with rig.reporter.follow(rig.track("tags"), shown=True):
        rig.pass_seconds(9)
    assert rig.reporter.flush("run", 30)
    with rig.reporter.follow(rig.track("contacts"), shown=True):
        rig.pass_seconds(9)
        assert rig.api.calls == []
        rig.pass_seconds(1)
        wait_until(lambda: len(rig.api.calls) == 1)
    rig.reporter.flush("run", 30)
    assert [key for key, _, _ in rig.api.calls] == ["intercom-my-acme-contacts-progress"] * 2


def test_an_artifact_is_updated_every_five_seconds_at_most(rig: Rig) -> None:
    tracked = rig.track()
    with rig.reporter.follow(tracked, shown=True):
        wait_until(lambda: len(rig.api.calls) == 1)
        tracked.progress.expect(1000)
        for _ in range(4):
            tracked.progress.page(50)
            rig.pass_seconds(1.2)
        assert len(rig.api.calls) == 1
        rig.pass_seconds(0.2)
        assert len(rig.api.calls) == 2
        tracked.progress.page(50)
        tracked.progress.finish()
    rig.reporter.flush("run", 30)
    assert [(key, percent) for key, percent, _ in rig.api.calls] == [
        ("intercom-my-acme-contacts-progress", 0.0),
        ("intercom-my-acme-contacts-progress", 20.0),
        ("intercom-my-acme-contacts-progress", 100.0),
    ]
    assert rig.api.calls[1][2] == (
        "`My_Acme` contacts: 200 of about 1,000 rows, 4 pages, 7 of 166 requests per 10 s, about 20 s left"
    )
    assert rig.api.calls[2][2] == "`My_Acme` contacts: 250 rows, 5 pages, read in 5.0 s"


def test_a_total_that_intercom_does_not_tell_is_said_to_be_unknown(rig: Rig) -> None:
    tracked = rig.track("companies")
    with rig.reporter.follow(tracked, shown=True):
        wait_until(lambda: len(rig.api.calls) == 1)
        tracked.progress.page(100)
        rig.pass_seconds(5)
        tracked.progress.finish()
    rig.reporter.flush("run", 30)
    assert [percent for _, percent, _ in rig.api.calls] == [0.0, 0.0, 100.0]
    assert rig.api.calls[0][2].endswith("no page yet")
    assert "total unknown; Intercom does not say how many there are" in rig.api.calls[1][2]
    assert "does not say" not in rig.api.calls[2][2]


def test_a_table_of_unknown_size_that_fails_stays_at_0_percent(rig: Rig) -> None:
    tracked = rig.track("companies")
    with rig.reporter.follow(tracked, shown=True):
        tracked.progress.page(100)
        tracked.progress.fail()
    rig.reporter.flush("run", 30)
    assert rig.api.calls[-1][1:] == (0.0, "`My_Acme` companies: failed after 100 rows, 1 page")


def test_a_table_that_fails_does_not_end_at_100_percent(rig: Rig) -> None:
    tracked = rig.track()
    tracked.progress.expect(300)
    with suppress(RuntimeError), rig.reporter.follow(tracked, shown=True):
        tracked.progress.page(150)
        tracked.progress.finish()
        rig.settle()
        tracked.progress.fail()
        raise RuntimeError
    rig.reporter.flush("run", 30)
    assert rig.api.calls[-1][1:] == (50.0, "`My_Acme` contacts: failed after 150 rows, 1 page")


def test_one_thread_tells_of_all_tables_each_in_its_own_context(rig: Rig) -> None:
    def read(table: str) -> None:
        WHOSE.set(table)
        with rig.reporter.follow(rig.track(table), shown=True):
            met.wait(30)

    met = threading.Barrier(5)
    readers = [threading.Thread(target=read, args=(table,)) for table in ("tags", "admins", "teams", "data_attributes")]
    for reader in readers:
        reader.start()
    wait_until(lambda: len(rig.api.calls) == 4)
    assert [thread.name for thread in threading.enumerate()].count("intercom-progress") == 1
    met.wait(30)
    for reader in readers:
        reader.join()
    rig.reporter.flush("run", 30)
    assert sorted(zip(rig.api.whose, (key for key, _, _ in rig.api.calls), strict=True)) == sorted(
        2 * [(table, f"intercom-my-acme-{table.replace('_', '-')}-progress")
             for table in ("tags", "admins", "teams", "data_attributes")]
    )  # fmt: skip


def test_outside_of_prefect_nothing_is_sent(rig: Rig, lines: Callable[[], list[str]]) -> None:
    with rig.reporter.follow(rig.track(), shown=False):
        rig.pass_seconds(61)
    rig.reporter.flush("run", 30)
    assert rig.api.calls == []
    assert len(lines()) == 1


def test_trouble_with_prefect_is_told_once_and_stops_nothing(rig: Rig, lines: Callable[[], list[str]]) -> None:
    rig.api.error = RuntimeError("database is locked")
    tracked = rig.track()
    with rig.reporter.follow(tracked, shown=True):
        for calls in (1, 2, 3):
            wait_until(lambda calls=calls: len(rig.api.calls) == calls)  # type: ignore[misc]
            rig.pass_seconds(5)
        rig.api.error = None
        rig.pass_seconds(5)
        tracked.progress.finish()
    rig.reporter.flush("run", 30)
    assert lines() == ["INFO Prefect does not take progress artifacts: database is locked"]
    assert rig.api.calls[-1][1] == 100.0


def test_reading_and_the_end_of_a_run_do_not_wait_for_an_api_that_hangs(rig: Rig) -> None:
    rig.api.gate.clear()
    with rig.reporter.follow(rig.track(), shown=True):
        pass  # would never end if the call were made from here
    assert not rig.reporter.flush("run", 0.01)
    assert rig.api.calls == []
    assert rig.reporter.flush("another run", 0)  # has nothing to wait for
    rig.api.gate.set()
    assert rig.reporter.flush("run", 30)
    assert rig.api.calls != []


def test_the_log_has_a_line_a_minute_for_each_table_that_is_being_read(
    rig: Rig, lines: Callable[[], list[str]]
) -> None:
    contacts, tags = rig.track(), rig.track("tags")
    contacts.progress.expect(12_000)
    with rig.reporter.follow(contacts, shown=False), rig.reporter.follow(tags, shown=False):
        for _ in range(13):
            contacts.progress.page(150)
            rig.pass_seconds(5)
            if rig.now == 55:
                tags.progress.finish()  # within a minute: no line
            assert len(lines()) == (rig.now >= 60)
        rig.pass_seconds(54)
        assert len(lines()) == 1
        rig.pass_seconds(1)
        assert len(lines()) == 2
        contacts.progress.finish()
        rig.pass_seconds(200)
    assert lines() == [
        "INFO contacts: 1,800 of about 12,000 rows, 12 pages, 7 of 166 requests per 10 s, about 7 min left",
        "INFO contacts: 1,950 of about 12,000 rows, 13 pages, 7 of 166 requests per 10 s, time unknown",
    ]


def test_the_thread_ends_with_the_last_table_and_comes_back_for_the_next(rig: Rig) -> None:
    for run_id in ("first", "second"):
        with rig.reporter.follow(rig.track(run_id=run_id), shown=True):
            wait_until(lambda: not thread_is_gone())
        rig.reporter.flush(run_id, 30)
        wait_until(thread_is_gone)
    assert len(rig.api.calls) in (2, 3, 4)  # a table that is over at once needs one call only


def test_the_artifacts_of_a_run_are_given_once_when_it_is_over(rig: Rig) -> None:
    for table, run_id in (("contacts", "run"), ("tags", "run"), ("contacts", "another")):
        with rig.reporter.follow(rig.track(table, run_id), shown=True):
            rig.settle()
    for run_id in ("run", "another"):
        rig.reporter.flush(run_id, 30)
    made = rig.reporter.made_for("run")
    assert sorted(made.values()) == ["intercom-my-acme-contacts-progress", "intercom-my-acme-tags-progress"]
    assert {artifact: rig.api.keys[artifact] for artifact in made} == made
    assert rig.reporter.made_for("run") == {}
    assert len(rig.reporter.made_for("another")) == 1


def test_a_block_that_ends_well_is_finished_and_one_that_raises_is_failed() -> None:
    with report_progress("run", "acme", "tags", Requests) as good:
        good.page(3)
    with pytest.raises(KeyboardInterrupt), report_progress("run", "acme", "teams", Requests) as bad:
        raise KeyboardInterrupt
    assert (good.snapshot().finished, good.snapshot().failed) == (True, False)
    assert (bad.snapshot().finished, bad.snapshot().failed) == (False, True)
    assert [one.progress for one in BOARD.tracked()] == [good, bad]
    end_reports("run")
    assert BOARD.tracked() == []
    wait_until(thread_is_gone)
