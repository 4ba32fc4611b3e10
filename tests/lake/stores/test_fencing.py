"""A run that was frozen with its machine just before a step, while another one took its table and ended well."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from intercom.errors import LakeError, OvertakenError
from intercom.lake.storage import ANY, Lake
from intercom.lake.store import FileStat
from tests.lake.stores.kinds import LOCAL, MEMORY, MOTO, RCLONE, Backend
from tests.support.rig import Rig

CONTACTS = ["contacts"]
DAY = 86_400


class Freezing(Lake):
    """Between the check and the n-th step of a kind, ``file`` or ``record``, another run does all its work."""

    def __init__(self, store: Backend, kind: str, number: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(store.url, store.options)
        self._kind, self._left, self._meanwhile = kind, number, meanwhile
        self._counting = threading.Lock()

    def _freeze(self, kind: str, path: str) -> None:
        if kind != self._kind or not path.startswith({"file": "data/", "record": "_state/acme/"}[kind]):
            return
        with self._counting:  # months are published by several threads
            self._left -= 1
            is_it = self._left == -1
        if is_it:
            self._meanwhile()

    def check_stamp(self, path: str, over: str | None) -> None:
        super().check_stamp(path, over)
        self._freeze("file", path)

    def _put(self, written: Path, path: str, over: str | None = ANY) -> FileStat | None:
        if self.replaces_conditionally():
            self._freeze("file", path)
        return super()._put(written, path, over)

    def replace_json(self, path: str, record: Mapping[str, Any], etag: str | None) -> str:
        self._freeze("record", path)
        return super().replace_json(path, record, etag)

    def create_json(self, path: str, record: Mapping[str, Any]) -> bool:
        self._freeze("record", path)
        return super().create_json(path, record)

    def write_json(self, path: str, record: Mapping[str, Any]) -> None:
        if not self.local and not self.creates_exclusively():
            self._freeze("record", path)
        super().write_json(path, record)


@pytest.fixture
def rig(make_rig: Callable[..., Rig], store: Backend) -> Rig:
    made = make_rig(lake=store.url, contacts=12, companies=0, conversations=0, history_days=2)
    made.storage = store.options
    return made


def change(rig: Rig, name: str) -> None:
    """A change to some rows, further from the next run than what it would read again anyway."""
    for row in rig.workspace.rows("contacts")[::4]:
        rig.workspace.update("contacts", row["id"], name=name)
    rig.workspace.create("contacts")
    rig.workspace.travel(5 * DAY)


def another_run(rig: Rig, **options: Any) -> Callable[[], object]:
    def run() -> None:
        change(rig, "second")
        rig.workspace.create("contacts")
        rig.workspace.travel(1)
        rig.sync(CONTACTS, **options)

    return run


@pytest.mark.parametrize(
    ("store", "kind", "number"),
    [
        *((LOCAL, "record", number) for number in range(3)),
        (MOTO, "record", 1),
        (RCLONE, "record", 2),
        *((store, "file", 0) for store in (LOCAL, MOTO, RCLONE)),
    ],
    ids=lambda value: getattr(value, "name", None),
    indirect=["store"],
)
def test_a_run_that_was_frozen_before_a_step_ends_with_an_error_and_the_next_one_is_exact(
    rig: Rig, store: Backend, kind: str, number: int
) -> None:
    """Records are saved when a table was read, before it is merged, and after that."""
    rig.sync(CONTACTS)
    change(rig, "first")
    unseen = store.kind is RCLONE and kind == "record"  # it looks at the record, and then writes it
    told = r"overtaken by another run.*Nothing more is written by this run, and its watermark has not moved; run again"
    with suppress(LakeError) if unseen else pytest.raises(OvertakenError, match=told):
        rig.sync(CONTACTS, lake=Freezing(store, kind, number, another_run(rig)))
    ingested, _ = rig.sync(CONTACTS)["contacts"]
    late_file = kind == "file" and not store.kind.replaces_conditionally
    if not unseen:
        assert ("not as we left" in ingested.reason) == late_file
    rig.check(CONTACTS)


@pytest.mark.parametrize("store", [LOCAL, RCLONE], ids=lambda k: k.name, indirect=True)
def test_a_file_that_an_overtaken_run_brings_after_a_full_refresh_does_not_bring_rows_back(
    rig: Rig, store: Backend
) -> None:
    rig.sync(CONTACTS)
    change(rig, "first")
    by_time = sorted(rig.workspace.rows("contacts"), key=lambda row: row["created_at"])
    gone = {by_time[0]["id"], by_time[-1]["id"]}  # of the first and the last month: either file may be the late one

    def stored() -> set[str]:
        return set(rig.rows("contacts").column("id").to_pylist())

    def meanwhile() -> None:
        for key in gone:
            rig.workspace.delete("contacts", key)
        another_run(rig, full_refresh=True)()
        assert not gone & stored()

    with pytest.raises(OvertakenError):
        rig.sync(CONTACTS, lake=Freezing(store, "file", 0, meanwhile))
    assert gone & stored(), "the late file is there"
    rig.sync(CONTACTS)
    rig.check(CONTACTS)


@pytest.mark.parametrize("store", [LOCAL], ids=lambda k: k.name, indirect=True)
def test_a_first_load_that_was_frozen_before_its_first_record(rig: Rig, store: Backend) -> None:
    with pytest.raises(OvertakenError):
        rig.sync(CONTACTS, lake=Freezing(store, "record", 0, another_run(rig)))
    rig.sync(CONTACTS)
    rig.check(CONTACTS)


@pytest.mark.parametrize("store", [LOCAL], ids=lambda k: k.name, indirect=True)
def test_a_record_that_vanishes_while_a_run_works_is_an_error(rig: Rig, store: Backend) -> None:
    rig.sync(CONTACTS)
    for number, told in enumerate(("has gone|overtaken", "has gone|overtaken", "overtaken")):
        change(rig, f"change {number}")
        with pytest.raises(LakeError, match=told):
            rig.sync(
                CONTACTS, lake=Freezing(store, "record", number, lambda: store.remove("_state/acme/contacts.json"))
            )
        rig.sync(CONTACTS)
        rig.check(CONTACTS)


@pytest.mark.parametrize(
    ("store", "how"),
    [
        (LOCAL, "by a generation that one run can create"),
        (MEMORY, "by a generation that one run can create"),
        (MOTO, "by If-Match, and so is each of its published files"),
        (RCLONE, "after a look at it, since the store has no conditional writes"),
    ],
    ids=lambda value: getattr(value, "name", None),
    indirect=["store"],
)
def test_the_log_says_once_how_records_are_saved(
    rig: Rig, store: Backend, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "intercom"):
        rig.sync(["tags", "teams"])
    (level,) = [record.levelno for record in caplog.records if how in record.message]
    assert level == (logging.DEBUG if rig.lake().local else logging.INFO)  # a disk has no other way to be chosen
    assert rig.lake().replaces_conditionally() == store.kind.replaces_conditionally
