"""Error lists in answers of status 200, and servers that repeat the token in whatever they answer."""

from __future__ import annotations

import base64
import html
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from intercom.api.client import IntercomClient, TableClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.config.connection import make_connection
from intercom.errors import ApiError, PermissionDeniedError, RequestRejectedError, RetriableApiError
from tests.support.scripted import TOKEN, Script, Server, error, reply


class Naps(list[float]):
    """The pauses that were asked for; time passes by them, and by the limiter's own, only."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.append(seconds)
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def contacts(request: pytest.FixtureRequest, server: Server, naps: Naps) -> Iterator[TableClient]:
    connection = make_connection(name="acme", access_token=TOKEN, base_url=server.url, place="test")
    policy = RetryPolicy(tries=2 if "repeats" in request.node.name else 7)
    limiter = RateLimiter(clock=lambda: naps.now, sleep=naps.pass_by)
    client = IntercomClient(connection, limiter, policy=policy, sleep=naps.sleep)
    yield client.for_table("contacts", "read contacts")
    client.close()


# -- status 200 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        ("unauthorized", PermissionDeniedError, 401),
        ("token_revoked", PermissionDeniedError, 401),
        ("forbidden", PermissionDeniedError, 403),
        ("api_plan_restricted", PermissionDeniedError, 403),
        ("not_found", RequestRejectedError, 404),
        ("company_not_found", RequestRejectedError, 404),
        ("parameter_invalid", RequestRejectedError, 400),
        ("scroll_exists", RequestRejectedError, 400),
        ("data_invalid", RequestRejectedError, 422),
    ],
)
@pytest.mark.parametrize("expect", [("data",), ()])
def test_an_error_list_that_is_final_ends_the_request_at_once(
    code: str, kind: type[ApiError], status: int, expect: tuple[str, ...], server: Server, contacts: TableClient
) -> None:
    server.script = [error(200, code, "Because.")]
    with pytest.raises(kind, match=rf"status 200 \(an error list: {code}: Because\., request req-1\)") as caught:
        contacts.get("/contacts", expect=expect)
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (status, code, "req-1")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "code", ["server_error", "service_unavailable", "request_timeout", "gateway_timeout", "never heard of"]
)
def test_an_error_list_that_may_pass_is_tried_again(code: str, server: Server, contacts: TableClient) -> None:
    server.script = [error(200, code), error(200, code), reply()]
    contacts.get("/contacts", expect=("data",))
    assert len(server.seen) == 3
    server.script = [error(200, code, "Later.")] * 7
    with pytest.raises(RetriableApiError, match=rf"7 tries.*{code}: Later\., request req-1") as caught:
        contacts.get("/contacts", expect=("data",))
    assert (caught.value.code, caught.value.request_id) == (code, "req-1")


def test_an_error_list_over_the_rate_is_no_failed_try(server: Server, contacts: TableClient, naps: Naps) -> None:
    server.script = [error(200, "rate_limit_exceeded", Retry_After="3")] * 9 + [reply()]
    contacts.get("/contacts", expect=("data",))
    assert naps == pytest.approx([3.0] * 9, abs=0.2)
    assert (contacts.counter.requests, contacts.counter.throttled) == (10, 9)


@pytest.mark.parametrize(
    "body",
    [b'{"type":"error.list","errors":[]}', b'{"type":"error.list"}', b'{"type":"error.list","errors":[7]}'],
)
def test_an_error_list_without_a_cause_may_pass(body: bytes, server: Server, contacts: TableClient) -> None:
    server.script = [reply(200, body, X_Request_Id="head")] * 7
    with pytest.raises(RetriableApiError, match=r"error list.*request head"):
        contacts.get("/contacts")
    assert len(server.seen) == 7


def test_an_error_list_of_a_search_without_its_type_is_told_too(server: Server, contacts: TableClient) -> None:
    server.script = [reply(200, b'{"errors":[{"code":"not_found","message":"Gone"}]}')]
    with pytest.raises(RequestRejectedError, match="not_found: Gone"):
        contacts.get("/contacts", expect=("data",))


def test_a_record_may_have_a_field_of_that_name(server: Server, contacts: TableClient) -> None:
    server.script = [reply(200, b'{"type":"company","errors":[{"code":"x"}]}')]
    assert bytes(contacts.get("/companies/1").fields["type"]) == b'"company"'


# -- the token ----------------------------------------------------------------------------------------------------

ECHOES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in the middle": lambda token: f"x{token}y",
    "escaped": lambda token: "".join(f"\\u{ord(c):04x}" for c in token),
    "escaped in part": lambda token: token.replace("=", "\\u003d").replace("O", "\\x4f"),
    "in a URL": lambda token: quote(f"Bearer {token}", safe=""),
    "in a URL, every letter": lambda token: "".join(f"%{ord(c):02X}" for c in token),
    "in a URL, twice": lambda token: quote("".join(f"%{ord(c):02X}" for c in token)),
    "HTML": lambda token: html.escape("".join(f"&#x{ord(c):x};" for c in token)),
    "HTML by numbers": lambda token: "".join(f"&#{ord(c)};" for c in token),
    "base64": lambda token: base64.b64encode(f"Bearer {token}".encode()).decode(),
    "base64 for URLs, cut": lambda token: base64.urlsafe_b64encode(token.encode()).decode()[3:-4],
    "hexadecimal": lambda token: token.encode().hex(),
    "cut off": lambda token: token[:9],
    "its end": lambda token: token[-8:],
    "broken by line ends": lambda token: "\r\n ".join(token[at : at + 5] for at in range(0, len(token), 5)),
    "quoted-printable": lambda token: "=\n".join(token[at : at + 6] for at in range(0, len(token), 6)),
    "in capitals": str.upper,
    "what it says": lambda token: base64.b64decode(token).decode(),
}
PLACES: dict[str, Callable[[str], Script]] = {
    "message": lambda echo: error(401, "unauthorized", f"Access Token {echo} Invalid"),
    "code": lambda echo: error(400, echo),
    "request id": lambda echo: error(404, "not_found", request_id=echo),
    "message of a 200": lambda echo: error(200, "parameter_invalid", echo),
    "passing message": lambda echo: error(503, "service_unavailable", echo),
    "passing page": lambda echo: reply(502, f"<html>{echo}</html>".encode()),
    "page": lambda echo: reply(404, echo.encode()),
    "JSON": lambda echo: reply(400, json.dumps({"headers": {"Authorization": echo}}).encode()),
    "broken JSON": lambda echo: reply(200, b'{"data": [' + echo.encode()),
    "header": lambda echo: reply(200, b"", X_Request_Id=echo.replace("\n", " ").replace("\r", " ")),
    "kind of content": lambda echo: reply(404, b"", Content_Type=f"text/{echo.split()[0]}"),
    "redirect": lambda echo: reply(302, b"", Location=f"https://elsewhere.example/{echo.split()[0]}"),
}


@pytest.mark.parametrize("place", PLACES)
def test_whatever_repeats_the_token_it_is_in_no_error_and_no_log(
    place: str, server: Server, contacts: TableClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="intercom")
    for name, echo in ECHOES.items():
        echoed = echo(TOKEN)
        server.script = [PLACES[place](echoed)] * 2
        with pytest.raises(ApiError) as caught:
            contacts.get("/contacts", expect=("data",))
        raised = caught.value
        shown = "\n".join(
            [str(raised), repr(raised), repr(vars(raised)), caplog.text, *traceback.format_exception(raised)]
        )
        tokens = [TOKEN[at : at + 8].lower() for at in range(len(TOKEN) - 7)]
        assert not [piece for piece in tokens if piece in shown.lower()], (name, shown)
        if name not in ("plain", "in the middle", "escaped in part", "in a URL", "broken by line ends"):
            assert " ".join(echoed.split())[:9] not in shown, (name, shown)  # what hides all of it
        caplog.clear()


def test_a_message_that_only_sounds_like_a_token_is_shown_whole(server: Server, contacts: TableClient) -> None:
    told = "Exceeded rate limit of 167 in 10_seconds for app a1b2c3d4 (https://example.com/?q=dG9r&x=%20%41)"
    server.script = [error(400, "parameter_invalid", told, request_id="0001a2b3-c4d5-46e7-98f9-0a1b2c3d4e5f")]
    with pytest.raises(RequestRejectedError) as caught:
        contacts.get("/contacts")
    assert told in str(caught.value)
    assert caught.value.request_id == "0001a2b3-c4d5-46e7-98f9-0a1b2c3d4e5f"


def test_of_a_page_that_is_no_error_list_only_its_kind_is_shown(server: Server, contacts: TableClient) -> None:
    server.script = [reply(404, b"<html>private</html>", Content_Type="text/html; charset=utf-8")]
    with pytest.raises(RequestRejectedError, match=r"status 404 \(text/html\)") as caught:
        contacts.get("/contacts")
    assert "private" not in str(caught.value)
