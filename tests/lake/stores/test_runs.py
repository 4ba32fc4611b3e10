"""Runs over stores that are not a local folder: exact, also after runs that were refused or died."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from intercom.errors import LakeError
from intercom.lake.storage import Lake
from tests.lake.stores.kinds import LOCAL, MOTO, Backend, kinds
from tests.support.effort import effort
from tests.support.rig import Rig

TABLES = ["contacts", "companies", "tags", "contact_tags"]
AGAIN = "then run again"
REFUSED = ("PutObject _staging", "PutObject data", "PutObject _state", "GetObject _state", "GetObject data")


@pytest.fixture
def rig(make_rig: Callable[..., Rig], store: Backend) -> Rig:
    made = make_rig(lake=store.url, contacts=30, companies=8, history_days=20)
    made.storage = store.options
    return made


def change(rig: Rig) -> None:
    rig.workspace.travel(60)
    for table in ("contacts", "companies"):
        for row in rig.workspace.rows(table)[::5]:
            rig.workspace.update(table, row["id"], name="changed")
    rig.workspace.create("contacts")
    rig.workspace.travel(1)


def not_local() -> Any:
    return pytest.mark.parametrize("store", kinds(lambda k: k is not LOCAL), ids=lambda k: k.name, indirect=True)


@not_local()
def test_first_load_and_increment_are_exact(rig: Rig) -> None:
    rig.sync(TABLES)
    rig.check(TABLES)
    change(rig)
    rig.sync(TABLES)
    rig.check(TABLES)


@not_local()
def test_a_run_that_dies_while_it_publishes_is_repaired_by_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    published = 0
    publish = Lake.publish

    def dying(self: Lake, *args: Any, **options: Any) -> int:
        nonlocal published
        published += 1
        if published == 3:
            raise Killed
        return publish(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "publish", dying)
        with pytest.raises(Killed):
            rig.sync(["contacts"])
    rig.sync(["contacts"])
    rig.check(["contacts"])


@pytest.mark.parametrize("wrong", ["key", "secret"])
@pytest.mark.parametrize("store", kinds(lambda k: k.checks_credentials), ids=lambda k: k.name, indirect=True)
def test_wrong_credentials_are_told_without_them_and_touch_nothing(rig: Rig, store: Backend, wrong: str) -> None:
    rig.sync(["tags"])
    before = rig.lake().stamps("")
    change(rig)
    lake = store.lake(**{wrong: "not-the-right-one"})
    with pytest.raises(LakeError, match=f"Check the credentials.*{AGAIN}") as told:
        rig.sync(["tags"], lake=lake)
    for refused in (
        lambda: lake.list("data"),
        lambda: lake.read_json("_state/lake.json"),
        lambda: lake.write_json("_state/lake.json", {}),
        lambda: lake.delete(list(before)),
        lambda: lake.delete(["data/one"]),
    ):
        with pytest.raises(LakeError, match="PermissionError") as also:
            refused()
        assert store.url in str(also.value)
    shown = "".join(traceback.format_exception(told.value))
    assert "not-the-right-one" not in shown
    assert store.options["secret"] not in shown
    assert rig.lake().stamps("") == before
    rig.sync(["tags"])
    rig.check(["tags"])


@pytest.mark.parametrize("store", kinds(lambda k: k.s3), ids=lambda k: k.name, indirect=True)
def test_a_bucket_that_does_not_exist_is_told(rig: Rig, store: Backend) -> None:
    lake = replace(store, url="s3://no-such-bucket/lake").lake()
    with pytest.raises(LakeError, match=f"s3://no-such-bucket/lake.*Check that its bucket or folder exists; {AGAIN}"):
        rig.sync(["tags"], lake=lake)
    with pytest.raises(LakeError, match="no-such-bucket"):
        lake.list("data")


@pytest.mark.parametrize("store", [MOTO], ids=lambda k: k.name, indirect=True)
def test_a_bucket_that_denies_loses_nothing(rig: Rig, store: Backend) -> None:
    rig.sync(["contacts"])
    for refused in random.sample(REFUSED, effort(2, len(REFUSED))):
        before = rig.lake().stamps("data")
        change(rig)
        store.deny(*refused.split())
        with pytest.raises(LakeError, match=f"Check the credentials.*{AGAIN}"):
            rig.sync(["contacts"])
        assert rig.lake().stamps("data") == before
        store.client.delete_bucket_policy(Bucket=store.bucket)
        rig.sync(["contacts"])
        rig.check(["contacts"])


@pytest.mark.parametrize("store", [MOTO], ids=lambda k: k.name, indirect=True)
def test_a_server_that_cannot_be_reached_is_told(store: Backend) -> None:
    options = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 1}}}
    with pytest.raises(LakeError, match=f"127.0.0.1:9.*Check that the store can be reached.*{AGAIN}"):
        store.lake(**options).list("data")
