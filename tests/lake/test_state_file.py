"""A record that is saved over the one that was read, whatever the order of two runs' steps and of files left over."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from intercom.errors import OvertakenError
from intercom.lake.conditional_put import ConditionalPut, ConditionFailed
from intercom.lake.state_file import StateFile
from intercom.lake.storage import Lake
from tests.conftest import BUCKET

PATH = "_state/acme/tags.json"


class Blind(Lake):
    """On a store that can neither create exclusively nor replace conditionally."""

    def creates_exclusively(self) -> bool:
        return False


@pytest.fixture(params=["local", "memory", "s3", "blind"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "s3":
        return Lake(f"s3://{BUCKET}/lake", request.getfixturevalue("s3_storage"))
    url = str(tmp_path) if request.param == "local" else f"memory://lake-{uuid.uuid4().hex}"
    return Blind(url) if request.param == "blind" else Lake(url)


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def generations(lake: Lake) -> list[str]:
    return sorted(name for name in lake.names("_state/acme") if name != "tags.json")


def test_a_record_is_saved_over_the_one_that_was_read(lake: Lake) -> None:
    ours, theirs = StateFile(lake, PATH), StateFile(lake, PATH)
    assert ours.read().record is None
    first = ours.save({"by": "ours"}, None)
    assert ours.read() == theirs.read()
    assert theirs.read().generation == first
    second = theirs.save({"by": "theirs"}, first)
    for over in (first, None):
        with pytest.raises(OvertakenError, match=r"overtaken by another run.*_state/acme/tags\.json in the lake"):
            ours.save({"by": "ours"}, over)
    third = ours.save({"by": "ours"}, second)
    assert (first.number, second.number, third.number) == (1, 2, 3)
    assert ours.read().record == {"by": "ours", "generation": 3}
    written = lake.read_json(PATH)
    assert written is not None
    assert len(written.pop("checksum")) == 64
    assert written == ours.read().record
    assert len(generations(lake)) <= 1


def test_a_record_that_is_gone_is_saved_by_nobody_who_has_read_it(lake: Lake) -> None:
    record_file = StateFile(lake, PATH)
    first = record_file.save({"by": "first"}, None)
    lake.delete([PATH])
    assert record_file.read().record is None
    with pytest.raises(OvertakenError):
        record_file.save({"by": "second"}, first)
    assert record_file.read().record is None
    record_file.save({"by": "anew"}, None)
    assert record_file.read().record is not None


def test_the_record_counts_and_not_generations_that_lie_there_without_it_or_before_it(local: Lake) -> None:
    record_file = StateFile(local, PATH)
    saved = record_file.save({"by": "first"}, None)
    local.write_json(PATH, {"by": "a version of the program without generations, or by hand"})
    assert (record_file.read().record or {})["by"].startswith("a version")
    assert record_file.read().generation.number == saved.number
    record_file.save({"by": "third"}, record_file.read().generation)
    local.write_json("_state/acme/tags.9", {"by": "later, and dead before it renewed the record", "generation": 9})
    assert (record_file.read().record or {})["by"].startswith("later")
    (Path(local.url.removeprefix("file://")) / "_state/acme/tags.11").write_text('{"torn')
    assert (record_file.read().record or {})["by"] == "third"
    assert record_file.save({"by": "fourth"}, record_file.read().generation).number == 12
    assert generations(local) == ["tags.12"]


def test_a_generation_that_another_one_has_created_is_not_taken(local: Lake) -> None:
    """One that is frozen after its look finds the very number that it would create."""
    record_file = StateFile(local, PATH)
    first = record_file.save({"by": "first"}, None)

    class Frozen(Lake):
        def create_json(self, path: str, record: Any) -> bool:
            record_file.save({"by": "second"}, first)
            return super().create_json(path, record)

    with pytest.raises(OvertakenError):
        StateFile(Frozen(local.url), PATH).save({"by": "late"}, first)
    assert (record_file.read().record or {})["by"] == "second"
    assert json.loads(local.read_bytes("_state/acme/tags.2") or b"")["by"] == "second"


def test_a_generation_that_was_taken_and_cleaned_up_is_not_taken_again(local: Lake) -> None:
    """One that is frozen after its look creates what others have created, saved over, and removed long ago."""
    record_file = StateFile(local, PATH)
    first = record_file.save({"by": "first"}, None)

    class Frozen(Lake):
        def create_json(self, path: str, record: Any) -> bool:
            second = record_file.save({"by": "second"}, first)
            record_file.save({"by": "third"}, second)
            return super().create_json(path, record)

    with pytest.raises(OvertakenError):
        StateFile(Frozen(local.url), PATH).save({"by": "late"}, first)
    assert (record_file.read().record or {})["by"] == "third"
    assert generations(local) == ["tags.3"]


def test_a_record_that_is_written_late_does_not_count_before_a_later_generation(local: Lake) -> None:
    record_file = StateFile(local, PATH)
    first = record_file.save({"by": "first"}, None)

    class Frozen(Lake):
        def write_json(self, path: str, record: Any) -> None:
            record_file.save({"by": "third"}, record_file.read().generation)
            super().write_json(path, record)

    StateFile(Frozen(local.url), PATH).save({"by": "second"}, first)
    assert json.loads(local.read_bytes(PATH) or b"")["by"] == "second"
    assert (record_file.read().record or {})["by"] == "third"


def test_of_two_that_have_read_the_same_one_saves(lake: Lake) -> None:
    first = StateFile(lake, PATH).save({"by": "first"}, None)
    saved = []
    for run in range(3):
        try:
            saved.append(StateFile(lake, PATH).save({"by": run}, first))
        except OvertakenError:
            continue
    assert len(saved) == 1


# -- on the wire ----------------------------------------------------------------------------------------------------


class Ignoring:
    """An S3 server that does not look at ``If-Match``."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            environ.pop("HTTP_IF_MATCH", None)
        return self._moto(environ, start)


def test_a_store_that_ignores_a_condition_is_found_out_and_generations_are_counted_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = make_server("127.0.0.1", 0, Ignoring(), threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        options = {"key": "test", "secret": "test", "endpoint_url": f"http://127.0.0.1:{server.server_port}"}
        bucket = f"bucket-{uuid.uuid4().hex}"
        lake = Lake(f"s3://{bucket}/lake", options)
        lake.filesystem.mkdir(bucket)
        with caplog.at_level("INFO", "intercom"):
            assert not lake.replaces_conditionally()
        assert "a condition that does not hold is ignored" in caplog.text
        first = StateFile(lake, PATH).save({"by": "first"}, None)
        StateFile(lake, PATH).save({"by": "second"}, first)
        with pytest.raises(OvertakenError):
            StateFile(lake, PATH).save({"by": "late"}, first)
        assert generations(lake) == ["tags.2"]
        assert lake.list("_locks") == {}
    finally:
        server.shutdown()
        server.server_close()


def test_a_put_whose_answer_was_lost_and_that_is_sent_again_counts(s3_storage: dict[str, Any]) -> None:
    lake = Lake(f"s3://{BUCKET}/lake", s3_storage)
    conditional = ConditionalPut(lake.filesystem, BUCKET)
    first = conditional.replace("x.json", b"one", None)
    second = conditional.replace("x.json", b"two", first)
    assert conditional.replace("x.json", b"two", first) == second
    with pytest.raises(ConditionFailed):
        conditional.replace("x.json", b"three", first)


def test_a_large_file_is_put_in_pieces_in_one_step(s3_storage: dict[str, Any], tmp_path: Path) -> None:
    fs, file = Lake(f"s3://{BUCKET}/lake", s3_storage).filesystem, tmp_path / "large"
    conditional = ConditionalPut(fs, BUCKET, in_one_request=1 << 20, piece=5 << 20)
    file.write_bytes(bytes(range(256)) * (11 << 12))
    conditional.replace_by_file("large", file, None)
    assert fs.cat_file(f"{BUCKET}/large") == file.read_bytes()
    with pytest.raises(ConditionFailed):
        conditional.replace_by_file("large", file, None)
    assert fs.call_s3("list_multipart_uploads", Bucket=BUCKET).get("Uploads", []) == []
