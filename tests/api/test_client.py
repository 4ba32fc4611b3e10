"""The client over real sockets: a server plays one scripted answer after the other; nobody sleeps for real."""

from __future__ import annotations

import gc
import gzip
import logging
import socket
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from intercom.api.client import IntercomClient, TableClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.api.traffic import TrafficCounter
from intercom.config.connection import Connection, make_connection
from intercom.errors import (
    ApiError,
    FatalApiError,
    PageTooHeavyError,
    PermissionDeniedError,
    RequestRejectedError,
    RetriableApiError,
)
from tests.support.scripted import (
    BROKEN,
    FATAL,
    GOOD,
    HTML,
    TOKEN,
    Handler,
    Script,
    Server,
    error,
    raw,
    reply,
    reset,
)


class Clock:
    """Time passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


class CountingLimiter(RateLimiter):
    """The real limiter; keeps count of what becomes of permits."""

    def __init__(self, clock: Clock) -> None:
        self.own = Clock()
        self.outcomes: list[str] = []
        self.urgent: list[bool] = []  # of each request
        # It has naps of its own, on the same time.
        super().__init__(clock=lambda: clock.now + self.own.now, sleep=self.own.sleep)

    def acquire(self, *, urgent=False, **options):  # type: ignore[no-untyped-def]
        self.outcomes.append("acquired")
        self.urgent.append(urgent)
        return super().acquire(urgent=urgent, **options)

    def answered(self, permit, headers):  # type: ignore[no-untyped-def]
        self.outcomes.append("answered")
        super().answered(permit, headers)

    def lost(self, permit):  # type: ignore[no-untyped-def]
        self.outcomes.append("lost")
        super().lost(permit)

    def throttled(self, permit, headers, retry_after):  # type: ignore[no-untyped-def]
        self.outcomes.append("throttled")
        return super().throttled(permit, headers, retry_after)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> CountingLimiter:
    return CountingLimiter(clock)


def connect(url: str) -> Connection:
    return make_connection(name="acme", access_token=TOKEN, region="eu", base_url=url, place="test")


@pytest.fixture
def client(
    request: pytest.FixtureRequest, server: Server, clock: Clock, limiter: CountingLimiter
) -> Iterator[IntercomClient]:
    policy = RetryPolicy(read_seconds=0.15 if "silence" in request.node.name else 10.0)
    client = IntercomClient(connect(server.url), limiter, policy=policy, sleep=clock.sleep)
    yield client
    client.close()


@pytest.fixture
def contacts(client: IntercomClient) -> TableClient:
    return client.for_table("contacts", "read and list users and companies")


def test_an_answer_holds_the_members_exactly_as_sent(server: Server, contacts: TableClient) -> None:
    body = b'{"type" : "list", "data": [ {"id":"1", "n":1.50} ],"pages":null}'
    server.script = [reply(body=body, Date="Tue, 14 Nov 2023 22:13:20 GMT", X_Request_Id="req-9")]
    # The server's own Date comes first; the scripted one is the second header of that name.
    answer = contacts.post("/contacts/search", {"query": {}}, expect=("data",))
    del body
    gc.collect()
    assert {name: bytes(value) for name, value in answer.fields.items()} == {
        "type": b'"list"',
        "data": b'[ {"id":"1", "n":1.50} ]',
        "pages": b"null",
    }
    assert answer.server_time is None or abs(answer.server_time - time.time()) < 60
    assert answer.request_id == "req-9"


def test_every_request_says_who_and_which_version(server: Server, contacts: TableClient) -> None:
    contacts.post("/contacts/search", {"pagination": {"per_page": 150}})
    contacts.get("/companies/scroll", {"scroll_param": "a b", "n": 1})
    (post, path, sent, body), (get, scroll, got, nothing) = server.seen
    assert (post, path, body) == ("POST", "/contacts/search", b'{"pagination":{"per_page":150}}')
    assert (get, scroll, nothing) == ("GET", "/companies/scroll?scroll_param=a+b&n=1", b"")
    for headers in (sent, got):
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["Accept"] == "application/json"
        assert headers["Intercom-Version"] == "2.14"
        assert headers["User-Agent"].startswith("intercom-lake/")
        assert headers["Accept-Encoding"] == "gzip"
    assert sent["Content-Type"] == "application/json"
    assert got["Content-Type"] is None


def test_a_netrc_file_does_not_replace_the_token(
    server: Server, contacts: TableClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    contacts.get("/tags")
    assert server.seen[0][2]["Authorization"] == f"Bearer {TOKEN}"


def test_a_path_cannot_leave_the_host(server: Server, contacts: TableClient) -> None:
    contacts.get("@elsewhere.example/tags")
    assert server.seen[0][1] == "/@elsewhere.example/tags"


def test_gzip_is_unpacked(server: Server, contacts: TableClient) -> None:
    server.script = [reply(body=gzip.compress(GOOD), Content_Encoding="gzip")]
    assert bytes(contacts.get("/tags", expect=("data",)).fields["data"]) == b'[{"id":"1"}]'


@pytest.mark.parametrize("broken", BROKEN)
def test_what_may_pass_is_tried_again(
    broken: str, server: Server, contacts: TableClient, clock: Clock, limiter: CountingLimiter
) -> None:
    server.script = [BROKEN[broken], BROKEN[broken], reply()]
    contacts.post("/contacts/search", {}, expect=("data",))
    assert len(server.seen) == contacts.counter.requests == 3
    assert contacts.counter.throttled == 0
    first, second = clock.naps
    assert 0.5 <= first <= 1.0 <= second <= 2.0
    assert limiter.outcomes.count("acquired") == 3
    assert limiter.outcomes.count("answered") + limiter.outcomes.count("lost") == 3


@pytest.mark.parametrize("broken", BROKEN)
def test_after_all_tries_the_error_says_what_happened(
    broken: str, server: Server, contacts: TableClient, clock: Clock
) -> None:
    server.script = [BROKEN[broken]] * 7
    with pytest.raises(RetriableApiError, match=r"POST /contacts/search .*'contacts'.*'acme'.* 7 tries") as caught:
        contacts.post("/contacts/search", {}, expect=("data",))
    assert not isinstance(caught.value, PageTooHeavyError)
    assert caught.value.status == (int(broken) if broken.isdigit() else caught.value.status)
    assert len(clock.naps) == 6
    assert sum(clock.naps) <= 63


@pytest.mark.parametrize("broken", BROKEN)
def test_a_page_that_moves_a_position_is_asked_for_once(broken: str, server: Server, contacts: TableClient) -> None:
    server.script = [BROKEN[broken]]
    with pytest.raises(RetriableApiError) as caught:
        contacts.get("/companies/scroll", expect=("data",), once=True)
    assert caught.value.status == (int(broken) if broken.isdigit() else caught.value.status)
    assert len(server.seen) == 1


def test_a_page_that_moves_a_position_is_asked_for_again_after_429(server: Server, contacts: TableClient) -> None:
    server.script = [error(429, "rate_limit_exceeded"), error(429, "too_many_requests"), reply()]
    contacts.get("/companies/scroll", expect=("data",), once=True)
    assert (contacts.counter.requests, contacts.counter.throttled) == (3, 2)


def test_only_a_page_that_moves_a_position_goes_before_the_others(
    server: Server, contacts: TableClient, limiter: CountingLimiter
) -> None:
    server.script = [reply(), reply(), reply()]
    contacts.get("/companies/scroll", expect=("data",))
    contacts.get("/companies/scroll", expect=("data",), once=True)
    contacts.post("/contacts/search", {"query": {}}, expect=("data",))
    assert limiter.urgent == [False, True, False]


@pytest.mark.parametrize("broken", ["408", "502", "503", "504", "silence"])
def test_two_failures_of_a_heavy_page_ask_for_a_smaller_one(broken: str, server: Server, contacts: TableClient) -> None:
    server.script = [error(500, "server_error"), BROKEN[broken], error(429, "rate_limit_exceeded"), BROKEN[broken]]
    with pytest.raises(PageTooHeavyError):
        contacts.post("/contacts/search", {}, heavy=True)
    assert len(server.seen) == 4


def test_other_failures_of_a_heavy_page_follow_the_usual_policy(server: Server, contacts: TableClient) -> None:
    pause = error(503, "service_unavailable", Retry_After="5")
    server.script = [reply(502), reset, reply(502), reply(500), pause, pause, reply()]
    contacts.post("/contacts/search", {}, heavy=True)
    assert len(server.seen) == 7


def test_a_connection_that_nobody_answers_is_tried_again(clock: Clock, limiter: CountingLimiter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = IntercomClient(connect(f"http://127.0.0.1:{port}"), limiter, sleep=clock.sleep)
    with pytest.raises(RetriableApiError, match=r"no answer \(connection refused: ConnectionError from") as caught:
        client.for_table("tags").get("/tags")
    assert (caught.value.status, len(clock.naps)) == (None, 6)
    assert limiter.outcomes.count("lost") == 7
    client.close()


def test_a_host_without_an_address_is_told_in_words(
    clock: Clock, limiter: CountingLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    client = IntercomClient(connect("https://nowhere.invalid"), limiter, sleep=clock.sleep)
    with pytest.raises(RetriableApiError, match="the host's name cannot be resolved: ConnectionError from"):
        client.for_table("tags").get("/tags")
    client.close()


@pytest.mark.parametrize(
    ("answer", "request_id"), [(HTML, None), (reply(502, b""), None), (FATAL["401"], "req-1"), (FATAL["301"], None)]
)
def test_an_error_keeps_the_time_of_the_answer_it_is_about(
    answer: Script, request_id: str | None, server: Server, contacts: TableClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "date_time_string", lambda self: "Tue, 14 Nov 2023 22:13:20 GMT")
    server.script = [answer] * 7
    with pytest.raises(ApiError) as caught:
        contacts.post("/contacts/search", {})
    assert (caught.value.server_time, caught.value.request_id) == (1_700_000_000, request_id)


@pytest.mark.parametrize("answer", [reset, raw(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")])
def test_an_error_without_an_answer_or_a_date_has_no_time(
    answer: Script, server: Server, contacts: TableClient
) -> None:
    server.script = [answer]
    with pytest.raises(RetriableApiError) as caught:
        contacts.get("/companies/scroll", once=True)
    assert caught.value.server_time is None


@pytest.mark.parametrize("status", FATAL)
def test_what_cannot_pass_fails_at_once(
    status: str, server: Server, contacts: TableClient, limiter: CountingLimiter
) -> None:
    server.script = [FATAL[status]]
    with pytest.raises(FatalApiError) as caught:
        contacts.get("/tags")
    assert len(server.seen) == 1
    assert limiter.outcomes == ["acquired", "answered"]
    kind = PermissionDeniedError if status in ("401", "402", "403") else RequestRejectedError
    assert type(caught.value) is kind
    assert caught.value.status == int(status)
    assert len(str(caught.value)) < 600
    assert "elsewhere" not in str(caught.value)


def test_a_refused_token_is_told_apart_from_a_missing_permission(server: Server, contacts: TableClient) -> None:
    server.script = [FATAL["401"]]
    with pytest.raises(PermissionDeniedError, match=r"wrong, expired or revoked.* region is 'eu'") as caught:
        contacts.get("/contacts")
    assert "Grant" not in str(caught.value)


def test_a_refused_permission_says_who_must_do_what(server: Server, contacts: TableClient) -> None:
    server.script = [error(403, "forbidden", "Not\x07 allowed\r\nhere")]
    with pytest.raises(PermissionDeniedError) as caught:
        contacts.get("/contacts")
    assert (caught.value.code, caught.value.request_id) == ("forbidden", "req-1")
    for part in (
        "'acme'",
        "'contacts'",
        "status 403",
        "forbidden: Not allowed here",
        "request req-1",
        "'read and list users and companies'",
        "'eu'",
        "check the region",
        "watermark has not moved",
    ):
        assert part in str(caught.value)


def test_every_error_of_a_list_is_told(server: Server, contacts: TableClient) -> None:
    body = b'{"errors":[{"code":"a","message":"One"},{"code":"b","message":null,"field":"x"}],"request_id":null}'
    server.script = [reply(400, body, X_Request_Id="head")]
    with pytest.raises(RequestRejectedError, match="a: One; b, request head") as caught:
        contacts.get("/contacts")
    assert (caught.value.code, caught.value.request_id) == ("a", "head")


def test_a_429_waits_as_the_limiter_says_and_is_no_failed_try(
    server: Server, contacts: TableClient, clock: Clock
) -> None:
    server.script = [error(429, "rate_limit_exceeded", Retry_After="3")] * 10 + [reply()]
    contacts.get("/tags")
    assert clock.naps == pytest.approx([3.0] * 10)
    assert contacts.counter == TrafficCounter(requests=11, throttled=10)


def test_a_429_with_a_reset_waits_until_then(server: Server, contacts: TableClient, clock: Clock) -> None:
    def full(handler: Handler) -> None:
        until = str(int(time.time()) + 8)
        headers = {"X_RateLimit_Limit": "166", "X_RateLimit_Remaining": "0", "X_RateLimit_Reset": until}
        error(429, "rate_limit_exceeded", **headers)(handler)

    server.script = [full, reply()]
    contacts.get("/tags")
    assert 6.9 <= clock.naps[0] <= 9.1


def test_a_429_of_a_resource_under_load_backs_off(server: Server, contacts: TableClient, clock: Clock) -> None:
    server.script = [error(429, "too_many_requests")] * 8 + [reply()]
    contacts.get("/tags")
    longest = [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(clock.naps) == len(longest)
    assert all(most / 2 <= nap <= most for nap, most in zip(clock.naps, longest, strict=True))


@pytest.mark.parametrize("kind", ["rate_limit_exceeded", "too_many_requests"])
def test_endless_429s_end_with_the_total_time(kind: str, server: Server, contacts: TableClient, clock: Clock) -> None:
    server.script = [error(429, kind)] * 500
    with pytest.raises(RetriableApiError) as caught:
        contacts.get("/tags")
    assert (caught.value.status, caught.value.code) == (429, kind)
    assert sum(clock.naps) <= 900


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_obeyed(date: bool, server: Server, contacts: TableClient, clock: Clock) -> None:
    def busy(handler: Handler) -> None:
        later = handler.date_time_string(int(time.time()) + 20) if date else "20"
        reply(503, b"", Retry_After=later)(handler)

    server.script = [busy, reply()]
    contacts.get("/tags")
    assert clock.naps[0] == pytest.approx(20, abs=1.1)


def test_a_wait_beyond_the_total_time_is_not_begun(server: Server, contacts: TableClient, clock: Clock) -> None:
    server.script = [reply(503, b"", Retry_After="901")]
    with pytest.raises(RetriableApiError):
        contacts.get("/tags")
    assert clock.naps == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b'{"data":["a\xffb"]}', '["a\ufffdb"]'.encode()),
        (b'{"data":["a\\ud83db", "\\ud83d\\ude00", "\\\\ud83d"]}', b'["a\\\\ud83db", "\\ud83d\\ude00", "\\\\ud83d"]'),
        (b'{"data":["\\ud83d\\ud83d\\ude00\\ude00"]}', b'["\\\\ud83d\\ud83d\\ude00\\\\ude00"]'),
    ],
)
def test_text_that_is_no_unicode_is_repaired(sent: bytes, kept: bytes, server: Server, contacts: TableClient) -> None:
    server.script = [reply(body=sent)]
    answer = contacts.get("/contacts", expect=("data",))
    assert bytes(answer.fields["data"]) == kept
    msgspec.json.decode(answer.fields["data"])
    assert len(server.seen) == 1


def test_every_failure_is_logged_without_body_or_token(
    server: Server, contacts: TableClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="intercom")
    server.script = [error(500, "server_error"), error(429, "rate_limit_exceeded", Retry_After="3"), reply()]
    contacts.get("/contacts", {"q": "private"})
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert (
        "GET /contacts (table 'contacts', connection 'acme'): status 500 (server_error: No., request req-1)"
        in warnings[0]
    )
    assert "try 1" in warnings[0]
    assert "try 2" in warnings[1]
    assert "3.0 s" in warnings[1]
    assert "private" not in caplog.text
    assert '"id"' not in caplog.text


@pytest.mark.parametrize("kind", [*BROKEN, *FATAL])
def test_the_token_is_in_no_error_and_no_log(
    kind: str, server: Server, client: IntercomClient, contacts: TableClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script = [{**BROKEN, **FATAL}[kind]] * 7
    with pytest.raises(ApiError) as caught:
        contacts.post("/contacts/search", {}, expect=("data",))
    raised: BaseException | None = caught.value
    assert raised.__cause__ is raised.__context__ is None
    texts = [str(raised), repr(raised), *traceback.format_exception(raised), caplog.text]
    texts += [
        repr(value)
        for frame in traceback.TracebackException.from_exception(raised, capture_locals=True).stack
        for value in (frame.locals or {}).values()
        if "test_client" not in frame.filename
    ]
    assert not [text for text in texts if TOKEN in text]
    assert TOKEN not in repr(client.connection)


def test_an_interrupted_request_gives_its_permit_back(
    client: IntercomClient, contacts: TableClient, limiter: CountingLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("requests.Session.send", interrupt)
    with pytest.raises(KeyboardInterrupt):
        contacts.get("/tags")
    assert limiter.outcomes == ["acquired", "lost"]


def test_threads_share_a_client_and_its_counters(server: Server, client: IntercomClient) -> None:
    tags, teams = client.for_table("tags"), client.for_table("teams")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: (tags if n % 4 else teams).get("/x", expect=("data",)), range(80)))
    assert (tags.counter.requests, teams.counter.requests) == (60, 20)
    assert tags.scroll_lock is teams.scroll_lock is client.scroll_lock


def test_connections_are_kept_and_closed(server: Server, contacts: TableClient, client: IntercomClient) -> None:
    accepted: list[object] = []
    finish = server.finish_request

    def count(request: socket.socket, address: object) -> None:  # once for each connection
        accepted.append(address)
        finish(request, address)  # type: ignore[arg-type]

    server.finish_request = count  # type: ignore[method-assign, assignment]
    for _ in range(5):
        contacts.get("/tags")
    assert len(accepted) == 1
