"""Answers that drip, or that unpack to more than memory, over real sockets; a policy of a fraction of a second."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest

from intercom.api.client import IntercomClient, TableClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.config.connection import make_connection
from intercom.errors import AnswerTooLargeError, FatalApiError, PageTooHeavyError, RetriableApiError
from tests.support.scripted import GOOD, TOKEN, Handler, Script, Server, raw, reply

MOST = 1 << 20
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def contacts(request: pytest.FixtureRequest, server: Server) -> Iterator[TableClient]:
    seconds = 0.3 if "drips" in request.node.name else 20
    policy = RetryPolicy(read_seconds=0.2, answer_seconds=seconds, answer_bytes=MOST)
    connection = make_connection(name="acme", access_token=TOKEN, base_url=server.url, place="test")
    client = IntercomClient(connection, RateLimiter(), policy=policy, sleep=lambda _: None)
    yield client.for_table("contacts")
    client.close()


# -- time ---------------------------------------------------------------------------------------------------------


def dripping(begin: bytes, drop: bytes) -> Script:
    """A beginning, and then a drop every 20 ms for ever: no wait is ever long."""

    def play(handler: Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(begin)
        while not handler.server.released.wait(0.02):
            handler.wfile.write(drop)

    return play


DRIPPING = {
    "body": dripping(HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "chunks": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "size of a chunk": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailer": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "until the end": dripping(HEAD + b"\r\n", b" "),
    "header": dripping(HEAD + b"X-Long: ", b"y"),
    "other answers": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("what", DRIPPING)
def test_an_answer_that_drips_for_ever_is_tried_again(what: str, server: Server, contacts: TableClient) -> None:
    server.script = [DRIPPING[what], reply()]
    begun = time.monotonic()
    contacts.get("/tags", expect=("data",))
    assert 0.3 <= time.monotonic() - begun < 2
    assert len(server.seen) == 2


def test_an_answer_that_drips_says_for_how_long_it_was_waited(server: Server, contacts: TableClient) -> None:
    server.script = [DRIPPING["body"]]
    with pytest.raises(RetriableApiError, match=r"no answer \(not whole after 0\.3 s\)"):
        contacts.get("/companies/scroll", once=True)


def test_a_search_that_drips_twice_is_asked_for_a_smaller_page(server: Server, contacts: TableClient) -> None:
    server.script = [DRIPPING["body"]] * 2
    with pytest.raises(PageTooHeavyError):
        contacts.post("/contacts/search", {}, heavy=True)


def test_an_answer_that_is_slow_and_comes_in_time_is_taken(server: Server, contacts: TableClient) -> None:
    def slow(handler: Handler) -> None:
        handler.wfile.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD))
        for start in range(0, len(GOOD), 10):
            handler.wfile.write(GOOD[start : start + 10])
            handler.server.released.wait(0.01)

    server.script = [slow, reply()]
    contacts.get("/tags", expect=("data",))
    assert len(server.seen) == 1


# -- size ---------------------------------------------------------------------------------------------------------


def chunked(body: bytes, encoding: str = "") -> Script:
    named = f"Content-Encoding: {encoding}\r\n".encode() if encoding else b""
    pieces = [body[start : start + 5000] for start in range(0, len(body), 5000)]
    data = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return raw(HEAD + named + b"Transfer-Encoding: chunked\r\n\r\n" + data + b"0\r\n\r\n")


def endless(head: bytes, piece: bytes) -> Script:
    """As much as anybody reads; notes how much that was."""

    def play(handler: Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(HEAD + head + b"\r\n")
        try:
            while not handler.server.released.is_set():
                handler.wfile.write(piece)
                handler.server.sent += len(piece)  # type: ignore[attr-defined]
        except OSError:
            pass

    return play


HUGE = b" " * (64 * MOST)
PACKED = gzip.compress(HUGE, 1)
MEMBERS = gzip.compress(b" " * (MOST // 2)) * 100
LARGE = {
    "gzip": reply(body=PACKED, Content_Encoding="gzip"),
    "x-gzip in capitals": reply(body=PACKED, Content_Encoding="X-GZip"),
    "chunked gzip": chunked(PACKED, "gzip"),
    "many members": reply(body=MEMBERS, Content_Encoding="gzip"),
    "deflate": reply(body=zlib.compress(HUGE), Content_Encoding="deflate"),
    "raw deflate": reply(body=zlib.compress(HUGE)[2:-4], Content_Encoding="deflate"),
    "not packed": endless(b"", b" " * 65536),
    "not packed, of a known length": endless(b"Content-Length: 100000000000000\r\n", b" " * 65536),
    "not packed, chunked": endless(b"Transfer-Encoding: chunked\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "an unknown encoding": endless(b"Content-Encoding: br\r\n", b" " * 65536),
    "members without content": endless(b"Content-Encoding: gzip\r\n", gzip.compress(b"") * 3000),
}


@pytest.mark.parametrize("what", LARGE)
def test_an_answer_larger_than_allowed_is_not_read_on_and_says_so(
    what: str, server: Server, contacts: TableClient
) -> None:
    server.sent = 0  # type: ignore[attr-defined]
    contacts.get("/tags")  # what a first request imports
    server.script = [LARGE[what]]
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLargeError, match=r"larger than 1 MiB.*watermark has not moved"):
            contacts.get("/tags")
        assert tracemalloc.get_traced_memory()[1] < 20 * MOST
    finally:
        tracemalloc.stop()
    assert server.sent < 20 * MOST  # type: ignore[attr-defined] - with what sockets keep
    contacts.get("/tags", expect=("data",))  # by another connection


def test_a_search_that_is_too_large_is_asked_for_a_smaller_page(server: Server, contacts: TableClient) -> None:
    server.script = [LARGE["gzip"]]
    with pytest.raises(PageTooHeavyError, match="larger than 1 MiB"):
        contacts.post("/contacts/search", {}, heavy=True)
    assert len(server.seen) == 1


def test_a_too_large_answer_is_no_matter_for_another_try() -> None:
    assert issubclass(AnswerTooLargeError, FatalApiError)


def test_an_answer_of_exactly_the_most_is_taken(server: Server, contacts: TableClient) -> None:
    whole = GOOD + b" " * (MOST - len(GOOD))
    server.script = [
        reply(body=whole),
        reply(body=gzip.compress(whole), Content_Encoding="gzip"),
        chunked(gzip.compress(whole), "gzip"),
    ]
    for _ in range(3):
        contacts.get("/tags", expect=("data",))
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "pack",
    [
        pytest.param(lambda body: (gzip.compress(body[:9]) + gzip.compress(body[9:]), "gzip"), id="members"),
        pytest.param(lambda body: (gzip.compress(body) + b"\0" * 50, "gzip"), id="padded"),
        pytest.param(lambda body: (zlib.compress(body), "deflate"), id="deflate"),
        pytest.param(lambda body: (zlib.compress(body)[2:-4], "deflate"), id="raw deflate"),
    ],
)
def test_every_kind_of_packed_body_is_unpacked(
    pack: Callable[[bytes], tuple[bytes, str]], server: Server, contacts: TableClient
) -> None:
    body, encoding = pack(GOOD)
    server.script = [reply(body=body, Content_Encoding=encoding), chunked(body, encoding)]
    for _ in range(2):
        assert bytes(contacts.get("/tags", expect=("data",)).fields["data"]) == b'[{"id":"1"}]'
    assert len(server.seen) == 2
