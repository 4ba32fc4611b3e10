"""Prefect's server answers 503, refuses, is started anew, or cannot write while runs need their blocks."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prefect.context import SyncClientContext

from intercom.errors import PrefectError
from intercom.lake.watermark import Watermark, WatermarkStore
from intercom.orchestration.server import retry
from intercom.orchestration.server.documents import load_connection, load_storage_options
from intercom.orchestration.server.slots import SlotRequest, SlotState, hold_slot
from intercom.orchestration.server.watermark_store import BlockWatermarks, document_name
from intercom.sandbox import LoggedRequest
from intercom.tables.catalogue import TABLES
from tests.support.prefect_server import ROOT, Prefect, temporary_client
from tests.support.relay import relayed
from tests.support.rig import BY_DEFAULT, CONNECTION, Rig
from tests.support.watermark_contract import WatermarkStoreContract

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def watermark(value: int) -> Watermark:
    return Watermark(
        connection=CONNECTION, table="contacts", lake_id="0123456789", lake_url="/lake", cursor_field="updated_at",
        value=value, run_id="run-1", rows=1, saved_at=datetime.now(UTC),
    )  # fmt: skip


def saved() -> int | None:
    kept = BlockWatermarks().load(CONNECTION, "contacts", "0123456789")
    return None if kept is None else kept.value


class TestBlockWatermarks(WatermarkStoreContract):
    @pytest.fixture
    def store(self, prefect: Prefect) -> Iterator[WatermarkStore]:
        with using(prefect.api):
            yield BlockWatermarks()


class Faults:
    """Answers so many requests about block documents by a status; all others are passed on."""

    def __init__(self, status: int, times: int, methods: str = "GET POST PATCH") -> None:
        self.status, self.left, self.methods = status, times, methods.split()

    def __call__(self, method: str, path: str) -> int | None:
        about_blocks = path.startswith(("/block_documents", "/block_types"))
        if not self.left or not about_blocks or method not in self.methods:
            return None
        self.left -= 1
        return self.status


@contextmanager
def using(api: str) -> Iterator[None]:
    """Prefect in this process asks each thing once by itself."""
    with temporary_client(api, retries=False):
        yield


@contextmanager
def giving_up_soon() -> Iterator[None]:
    """Only around calls that are to fail: a busy machine's server may take longer for others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry, "TIMING", retry.RetryTiming(most=1.0, pause=0.1))
        yield


def test_a_run_whose_blocks_meet_a_busy_server_completes_and_is_exact(prefect: Prefect, rig: Rig) -> None:
    """As SQLite answers when much is written: the connection is read, and watermarks are saved, after some tries."""
    rig.connection = "busy"  # a block of the other one's name would be taken by tests that have it in a file
    prefect.save_connection(rig.connection, rig)
    met: Counter[str] = Counter()

    def busy(method: str, path: str) -> int | None:
        saved = method in ("POST", "PATCH") and path.startswith("/block_documents") and not path.endswith("/filter")
        if "intercom-connection" in path or saved:
            met[method] += 1
            return 503 if met[method] <= 4 else None
        return None

    with relayed(prefect, busy) as api:
        options = ("--connection", rig.connection, "--lake", rig.lake_url, "--tables", "contacts,articles,tags")
        done = prefect.run("flows/sync.py", *options, PREFECT_API_URL=api)
    assert done.returncode == 0, done.stdout + done.stderr
    assert min(met["GET"], met["POST"]) >= 5
    assert "Trying again to save the watermark block" in done.stderr
    # Prefect's own thread of events logs a traceback when an event meets it just after it has given up: that one only.
    assert "Traceback" not in done.stderr.split("Error emitting event")[0]
    assert f'File "{ROOT}/intercom' not in done.stderr
    rig.check(("contacts", "articles", "tags"))
    lake_id = rig.lake().identity().id
    with using(prefect.api):
        for table in ("contacts", "articles"):
            assert BlockWatermarks().load(rig.connection, table, lake_id) is not None


def test_a_run_whose_watermark_the_server_refuses_fails_with_all_rows_in_the_lake(prefect: Prefect, rig: Rig) -> None:
    """Each later run would begin at the older one, and be refused again."""
    rig.connection = "forbidden"
    prefect.save_connection(rig.connection, rig)

    def refuse(method: str, path: str) -> int | None:
        return 403 if method in ("POST", "PATCH") and path.rstrip("/") == "/block_documents" else None

    with relayed(prefect, refuse) as api:
        options = ("--connection", rig.connection, "--lake", rig.lake_url, "--tables", "articles,tags")
        done = prefect.run("flows/sync.py", *options, PREFECT_API_URL=api)
    assert done.returncode == 1
    assert "articles failed: Prefect's server refuses to save the watermark block forbidden-articles-" in done.stderr
    assert "API key write blocks" in done.stderr
    assert "tags failed" not in done.stdout + done.stderr
    rig.check(("articles", "tags"))


def test_first_runs_that_meet_on_a_new_server_all_save(prefect: Prefect) -> None:
    """Block type, schema and document are looked for by all before the first one has created them."""
    meet = threading.Barrier(5)

    def run(value: int) -> None:
        with using(prefect.api):
            meet.wait(30)
            BlockWatermarks().save(watermark(value))

    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(run, value) for value in range(5)]:
            done.result(120)
    with using(prefect.api):
        assert saved() in range(5)


@pytest.mark.parametrize("methods", ["GET", "PATCH"])
def test_a_watermark_is_saved_when_the_server_has_been_busy(prefect: Prefect, methods: str) -> None:
    with using(prefect.api):
        BlockWatermarks().save(watermark(1))
    with relayed(prefect, faults := Faults(503, 1, methods)) as api, using(api):
        BlockWatermarks().save(watermark(2))
        assert faults.left == 0
        assert saved() == 2


def test_a_run_reads_its_watermarks_by_one_request_and_saves_those_that_moved_by_one_each(prefect: Prefect) -> None:
    asked: list[str] = []
    lake_id, tables = "89abcdef01", ("contacts", "companies", "articles")
    marks = {table: replace(watermark(1), table=table, lake_id=lake_id) for table in tables}
    with using(prefect.api):
        for mark in list(marks.values())[:2]:
            BlockWatermarks().save(mark)
    with relayed(prefect, lambda method, path: asked.append(f"{method} {path}")) as api, using(api):
        run = BlockWatermarks([document_name(CONNECTION, table, lake_id) for table in tables])
        loaded = [run.load(CONNECTION, table, lake_id) for table in tables]
        run.save(replace(marks["contacts"], run_id="another", saved_at=datetime.now(UTC)))
        run.save(moved := replace(marks["companies"], value=2))
        about_blocks = [call for call in asked if "/block_documents" in call]
    assert loaded == [marks["contacts"], marks["companies"], None]
    assert [call.split()[0] for call in about_blocks] == ["POST", "PATCH"]
    with using(prefect.api):
        assert BlockWatermarks().load(CONNECTION, "contacts", lake_id) == marks["contacts"]
        assert BlockWatermarks().load(CONNECTION, "companies", lake_id) == moved


def test_a_block_that_was_deleted_under_a_run_is_made_anew(prefect: Prefect) -> None:
    with using(prefect.api):
        (run := BlockWatermarks()).save(watermark(11))
        assert saved() == 11
        run.load(CONNECTION, "contacts", "0123456789")
        found = prefect.post(
            "block_documents/filter", {"block_documents": {"name": {"any_": ["acme-contacts-01234567"]}}}
        )
        prefect.delete(f"block_documents/{found[0]['id']}")
        run.save(watermark(12))
        assert saved() == 12


def pauses_of_this_thread(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its sleeps, which take no time; other threads, which tests before have left, sleep as they will."""
    here, sleep = threading.get_ident(), time.sleep
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        if threading.get_ident() == here:
            pauses.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr(time, "sleep", pause)
    return pauses


@pytest.mark.parametrize("is_shared", [False, True], ids=["own client", "the run's client"])
def test_a_busy_server_is_soon_asked_for_a_slot_again_and_then_as_seldom_as_prefect_does(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    """The server is often busy with the first events of a run when this takes its slot."""
    answers = [503, 503, 503]
    asked: list[str] = []

    def busy(method: str, path: str) -> int | None:
        if not path.startswith("/v2/concurrency_limits/increment"):
            return None
        asked.append(path)
        return answers.pop() if answers else None

    limit = f"soon-{is_shared}".lower()
    with relayed(prefect, busy) as api, temporary_client(api), ExitStack() as stack:
        if is_shared:
            stack.enter_context(SyncClientContext.get_or_create())
        pauses = pauses_of_this_thread(monkeypatch)
        with hold_slot(SlotRequest(limit, "nobody", lambda _waited: False, made=True)) as held:
            assert held is SlotState.SLOT
    assert len(asked) == 5  # the last is that after the limit was made
    first, second, third = pauses
    assert first == pytest.approx(0.1, rel=0.3)
    assert second == pytest.approx(0.4, rel=0.3)
    assert third >= 4


def test_a_busy_server_is_asked_again_by_us_and_not_by_prefects_client(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose waits double from two seconds on, also after its last try."""
    monkeypatch.setattr(retry, "TIMING", retry.RetryTiming(pause=0.0))
    pauses = pauses_of_this_thread(monkeypatch)
    with temporary_client(prefect.api):
        BlockWatermarks().save(watermark(1))
    for faults, told in ((3, 0), (4, 1)):
        caplog.clear()
        with relayed(prefect, Faults(503, faults, "PATCH")) as api, temporary_client(api):
            BlockWatermarks().save(watermark(faults))
            assert saved() == faults
        assert caplog.text.count("Trying again to save the watermark block") == told
    assert set(pauses) == {0.0}


def test_a_watermark_is_saved_though_the_server_is_started_anew_meanwhile(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "_LOGGED_TRY", 1)  # how often it is asked until the server is there is left to chance
    with using(prefect.api):
        BlockWatermarks().save(watermark(3))
        prefect.stop()
        saving = threading.Thread(target=lambda: in_settings(prefect, lambda: BlockWatermarks().save(watermark(4))))
        saving.start()
        while saving.is_alive() and "Trying again to save" not in caplog.text:
            time.sleep(0.01)
        prefect.start()
        saving.join(120)
        assert saved() == 4
    assert "Trying again to save the watermark block acme-contacts-01234567" in caplog.text


def in_settings(prefect: Prefect, do: object) -> None:
    """Settings of Prefect are a thread's own."""
    assert callable(do)
    with using(prefect.api):
        do()


def test_a_watermark_that_no_server_takes_ends_no_run(prefect: Prefect, caplog: pytest.LogCaptureFixture) -> None:
    with using(prefect.api):
        BlockWatermarks().save(watermark(5))
    with relayed(prefect, Faults(503, 1000, "PATCH")) as api, using(api):
        with giving_up_soon():
            BlockWatermarks().save(watermark(6))
        assert saved() == 5
    assert "the next run begins at the block's older one" in caplog.text


def test_a_server_that_refuses_a_watermark_is_told_with_the_cure(prefect: Prefect) -> None:
    with using(prefect.api):
        BlockWatermarks().save(watermark(7))
    with (
        relayed(prefect, faults := Faults(403, 10, "PATCH")) as api,
        using(api),
        pytest.raises(PrefectError, match=r"refuses to save the watermark block acme-.*403.*API key write blocks"),
    ):
        BlockWatermarks().save(watermark(8))
    assert faults.left == 9  # asked once


def test_blocks_that_a_server_does_not_give_are_named(prefect: Prefect, rig: Rig) -> None:
    lake_id, name = "0123456789", document_name(CONNECTION, "contacts", "0123456789")
    with relayed(prefect, Faults(503, 1000)) as api, using(api), giving_up_soon():
        for what, ask in {
            f"read the watermark block {name}": lambda: BlockWatermarks().load(CONNECTION, "contacts", lake_id),
            f"read block intercom-connection/{CONNECTION}": lambda: load_connection(CONNECTION),
            "read block secret/keys": lambda: load_storage_options("secret/keys"),
        }.items():
            with pytest.raises(PrefectError, match=rf"asked for 0 minutes and did not {what}: .*503"):
                ask()


MOST_SECONDS = 50.0
"""A server waits for a minute for whoever writes to its database."""


class Writer:
    """A second connection to a server's database: a write transaction from `start` until all tables are in the lake."""

    def __init__(self, prefect: Prefect, rig: Rig) -> None:
        self._file, self._rig = prefect.home / "prefect.db", rig
        self._thread = threading.Thread(target=self._hold)
        self._holds = threading.Event()
        self._once = threading.Lock()
        self.saw_all = False

    def start(self, request: LoggedRequest) -> None:
        """With the first page of contacts, which is answered once the transaction is open."""
        if request.path == "/contacts/search" and self._once.acquire(blocking=False):
            self._thread.start()
            assert self._holds.wait(60)

    def join(self) -> None:
        self._thread.join(60)

    def _hold(self) -> None:
        connection = sqlite3.connect(self._file, timeout=60, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        self._holds.set()
        until = time.monotonic() + MOST_SECONDS
        while not self.saw_all and time.monotonic() < until:
            time.sleep(0.1)
            files = self._rig.lake().list(f"data/{self._rig.connection}")
            self.saw_all = {path.split("/")[2] for path in files} == set(BY_DEFAULT)
        time.sleep(2)  # watermarks are on their way now
        connection.execute("ROLLBACK")
        connection.close()


def test_tables_are_read_and_merged_while_prefects_database_is_locked(prefect: Prefect, rig: Rig) -> None:
    """Only what is saved on the server waits, and is saved in the end."""
    rig.connection = "locked"
    prefect.save_connection(rig.connection, rig)
    writer = Writer(prefect, rig)
    rig.server.before_request(writer.start)
    done = prefect.run("flows/sync.py", "--connection", rig.connection, "--lake", rig.lake_url)
    writer.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert writer.saw_all
    assert "Traceback" not in done.stderr
    rig.check()
    lake_id = rig.lake().identity().id[:8]
    documents = prefect.post("block_documents/filter", {"block_documents": {"name": {"like_": lake_id}}})
    assert {document["name"]: document["data"]["value"] is None for document in documents} == {
        f"{rig.connection}-{name}-{lake_id}": False for name in BY_DEFAULT if TABLES[name].cursor_field
    }
