"""Stores that do not create files exclusively: it is noticed, said once, and a lake there has an identity."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from threading import Thread
from typing import Any

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from intercom.errors import LakeError
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.storage import Lake


class OtherStore(MemoryFileSystem):
    """A filesystem of its own to fsspec, named by the class."""

    cachable = False

    def __init_subclass__(cls) -> None:
        cls.protocol = cls.__name__.lower()
        fsspec.register_implementation(cls.protocol, cls)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.removeprefix(f"{cls.protocol}:/"))
        return stripped


class Ignores(OtherStore):
    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        super().pipe_file(path, value)


class Refuses(OtherStore):
    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        if mode == "create":
            raise NotImplementedError("no conditional requests")
        super().pipe_file(path, value)


class LooksFirst(OtherStore):
    pipe_file = AbstractFileSystem.pipe_file


class Hiccups(OtherStore):
    failed = False

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        if mode == "create" and not self.failed:
            self.failed = True
            raise OSError("the connection was reset")
        super().pipe_file(path, value, mode)


class FailsLater(OtherStore):
    asked = 0

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self.asked += 1
        if self.asked > 1:
            raise OSError("the second one")
        super().pipe_file(path, value, mode)


class OutOfOrder(OtherStore):
    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        raise PermissionError("no")

    def put_file(self, *args: Any, **options: Any) -> None:
        raise PermissionError("no")


def lake_on(filesystem: type[OtherStore]) -> Lake:
    return Lake(f"{filesystem.protocol}://lake-{uuid.uuid4().hex}")


@pytest.mark.parametrize(
    ("filesystem", "why"),
    [
        (Ignores, "a second one replaced the first"),
        (Refuses, r"it refuses to \(no conditional requests\)"),
        (LooksFirst, "its filesystem looks for the file and then writes it"),
    ],
)
def test_a_store_without_exclusive_creation_has_no_lock_and_says_so_once(
    filesystem: type[OtherStore], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    lake = lake_on(filesystem)
    with caplog.at_level(logging.INFO, "intercom"):
        assert lake.identity() == Lake(lake.url).identity()
        with TableLocks(lake, "acme", ["tags"], "first"), TableLocks(lake, "acme", ["tags"], "second") as second:
            second.check()
            second.token.check(lake, "tags")
    (told,) = [record.message for record in caplog.records]
    assert re.search(f"{lake.url} does not create files exclusively: {why}", told)
    assert lake.list("_locks") == {}


def test_a_hiccup_does_not_switch_the_lock_off() -> None:
    assert lake_on(Hiccups).creates_exclusively()


def test_a_store_that_takes_nothing_at_all_is_an_error() -> None:
    with pytest.raises(LakeError, match=r"Cannot write .*permission"):
        lake_on(OutOfOrder).creates_exclusively()


def test_the_probe_leaves_nothing_behind() -> None:
    lake = Lake(f"memory://lake-{uuid.uuid4().hex}")
    assert lake.creates_exclusively()
    assert lake.list("") == {}


# -- on the wire ----------------------------------------------------------------------------------------------------


class OtherServer:
    """An S3 server that answers conditional puts in its own way: `conditional` any, `existing` those that fail."""

    def __init__(self, conditional: tuple[int, str] | None, existing: tuple[int, str]) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._conditional, self._existing = conditional, existing

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_IF_NONE_MATCH") != "*":
            return self._moto(environ, start)
        if self._conditional is not None:
            return refusal(*self._conditional)(environ, start)
        answer = Response.from_app(self._moto, environ)
        return (answer if answer.status_code == 200 else refusal(*self._existing))(environ, start)


def refusal(status: int, code: str) -> Response:
    return Response(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>", status, mimetype="text/xml")


@pytest.fixture
def lake_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lake]]:
    """Makes lakes on such servers."""
    with ExitStack() as stack:

        def make(conditional: tuple[int, str] | None, existing: tuple[int, str]) -> Lake:
            server = make_server("127.0.0.1", 0, OtherServer(conditional, existing), threaded=True)
            stack.callback(server.server_close)
            Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            options = {"key": "test", "secret": "test", "endpoint_url": f"http://127.0.0.1:{server.server_port}"}
            bucket = f"bucket-{uuid.uuid4().hex}"
            lake = Lake(f"s3://{bucket}/lake", options)
            lake.filesystem.mkdir(bucket)
            return lake

        yield make


def test_a_server_that_answers_501_to_conditional_puts_has_no_lock_but_an_identity(
    lake_of: Callable[..., Lake], caplog: pytest.LogCaptureFixture
) -> None:
    lake = lake_of((501, "NotImplemented"), (412, "PreconditionFailed"))
    assert not lake.creates_exclusively()
    assert lake.identity() == lake.identity()
    assert "it refuses to (" in caplog.text


@pytest.mark.parametrize("code", ["PreconditionFailed", "Another"])
def test_an_object_that_exists_is_known_by_the_status_of_the_answer(lake_of: Callable[..., Lake], code: str) -> None:
    lake = lake_of(None, (412, code))  # AWS also names the condition that failed; others do not
    assert lake.creates_exclusively()
    assert [lake.create_json("x.json", {"by": one}) for one in "ab"] == [True, False]
    assert lake.read_json("x.json") == {"by": "a"}


def test_a_server_that_always_says_that_another_creation_is_under_way_means_that_it_exists(
    lake_of: Callable[..., Lake],
) -> None:
    lake = lake_of(None, (409, "ConditionalRequestConflict"))
    assert lake.creates_exclusively()
    assert [lake.create_json("x.json", {}) for _ in range(2)] == [True, False]


def test_a_fault_while_trying_is_told_as_such() -> None:
    with pytest.raises(LakeError, match=r"Cannot create _locks/probe-.* the second one"):
        lake_on(FailsLater).creates_exclusively()
