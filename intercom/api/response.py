"""HTTP response -> answer, or failure with its reason. Pure: no HTTP library, no waiting; raises nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from intercom.api.headers import http_date
from intercom.config.secret_masking import SecretMask
from intercom.normalise.json_repair import repair
from intercom.normalise.json_salvage import elements, members

_DETAIL_CHARACTERS = 200
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,40}", re.IGNORECASE)

# Error codes with the HTTP status that each comes with. Source: Intercom's API reference 2.14, "Error codes".
_STATUSES = {
    code: status
    for status, codes in {
        400: "bad_request client_error parameter_invalid parameter_not_found scroll_exists type_mismatch",
        401: "missing_authorization token_blocked token_expired token_not_found token_revoked token_unauthorized "
        "unauthorized",
        403: "action_forbidden api_plan_restricted forbidden",
        409: "conflict resource_conflict",
        422: "data_invalid unprocessable_entity",
        429: "rate_limit_exceeded retry_after too_many_requests",
    }.items()
    for code in codes.split()
}
_STATUSES_BY_PART = {"timeout": 408, "unavailable": 503, "server_error": 500, "not_found": 404, "forbidden": 403}
"""Statuses of families of codes, by the part that they share, such as ``company_not_found``."""


@dataclass(frozen=True)
class HttpResponse:
    """A whole HTTP response, its body unpacked. ``headers`` finds names in any case. The repr shows neither."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def server_time(self) -> int | None:
        """The Date header in unix seconds."""
        return http_date(self.headers.get("Date", ""))


@dataclass(frozen=True)
class Answer:
    """A JSON object as the API sent it.

    ``fields`` holds its top-level members, each as its unchanged JSON text, valid as long as this value is held.
    ``server_time`` is the Date header in unix seconds. ``elements`` is None if all of the body is sound JSON. Else it
    holds the texts in the expected list; or, where no list was expected, the whole body, and then ``fields`` has the
    sound members only. ``seconds`` is the time from sending the attempt to the last byte of its answer.
    """

    fields: dict[str, msgspec.Raw]
    server_time: int | None
    request_id: str | None
    elements: list[bytes] | None = None
    seconds: float = 0.0

    def member(self, path: tuple[str, ...]) -> msgspec.Raw | None:
        """The JSON text at a path of member names, outermost first; None where there is no sound one."""
        return _member(self.fields, path)


@dataclass(frozen=True)
class Failure:
    """An attempt without a usable answer. The status of an error list is the one that goes with its code.

    ``server_time`` is the Date header in unix seconds. ``wait_seconds`` is the least wait before the next attempt.
    ``heavy``: it looks like a page that is too much work for the server.
    """

    reason: str
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    server_time: int | None = None
    wait_seconds: float = 0.0  # asked for by the server, or by the rate limiter
    heavy: bool = False

    @property
    def throttled(self) -> bool:
        """Answered with a 429: the server has not executed the request."""
        return self.status == 429

    @property
    def over_quota(self) -> bool:
        """A 429 because the quota is used up."""
        # The other 429, too_many_requests, means that this resource is under load: the rate headers do not help.
        return self.throttled and self.code != "too_many_requests"


def read_answer(received: HttpResponse, expect: tuple[str, ...], mask: SecretMask) -> Answer | Failure:
    """The answer if it is whole, else the failure: in spite of status 200 a body can be empty, cut, or an error list.

    ``expect`` is the path of the member that must be a JSON array. Its elements may be anything: if one is not sound
    JSON, the others can still be used. A failure has the status that goes with its error's code.
    """
    request_id = _request_id(received, mask)
    fault = None
    fields: dict[str, msgspec.Raw] = {}
    try:
        fields = _members(received.body)
    except (msgspec.DecodeError, RecursionError) as error:
        salvaged = _salvaged(received.body, expect)
        if salvaged is not None:
            return Answer(salvaged[0], received.server_time, request_id, salvaged[1])
        fault = f"broken body, {error}"
    else:
        listed = _member(fields, expect) if expect else None
        is_list = listed is not None and bytes(memoryview(listed)[:1]) == b"["
        if bytes(fields.get("type", b"")) == b'"error.list"' or (expect and not is_list and "errors" in fields):
            failure = read_refusal(received, mask)
            return failure if failure.code is None else replace(failure, status=_status_of(failure.code))
        if expect and not is_list:
            fault = f"answer without the list {'.'.join(expect)!r}"
    if fault is not None:
        return Failure(fault, received.status, request_id=request_id, server_time=received.server_time)
    return Answer(fields, received.server_time, request_id)


class _ErrorItem(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    errors: list[_ErrorItem]
    request_id: str | None = None


def read_refusal(received: HttpResponse, mask: SecretMask) -> Failure:
    """The failure that an error list describes.

    For any other body it names the media type only: it may be the page of a proxy that repeats the request, token
    included.
    """
    status, code = received.status, None
    request_id = _request_id(received, mask)
    try:
        body = msgspec.json.decode(received.body.decode("utf-8", "replace"), type=_ErrorBody)
    except (msgspec.MsgspecError, RecursionError):
        kind = received.headers.get("Content-Type", "").partition(";")[0].strip()
        summary = mask.name(kind) if _MEDIA_TYPE.fullmatch(kind) else ""
        summary = "an error list that cannot be read" if 200 <= status < 300 else summary
    else:
        code = next((mask.name(e.code) for e in body.errors if e.code), None)
        text = "; ".join(": ".join(filter(None, (e.code, e.message))) for e in body.errors)
        summary = mask.clean(text, _DETAIL_CHARACTERS) or code or ""
        request_id = mask.name(body.request_id) if body.request_id else request_id
        if 200 <= status < 300:
            summary = f"an error list: {summary}" if summary else "an error list without errors"
    detail = ", ".join(filter(None, (summary, request_id and f"request {request_id}")))
    reason = f"status {status} ({detail})" if detail else f"status {status}"
    return Failure(reason, status, code, request_id, received.server_time)


def _request_id(received: HttpResponse, mask: SecretMask) -> str | None:
    sent = received.headers.get("X-Request-Id")
    return mask.name(sent) if sent else None


def _status_of(code: str) -> int:
    """The HTTP status that an error code comes with; for an unknown code 200, so that it is retried."""
    if (status := _STATUSES.get(code)) is not None:
        return status
    return next((status for part, status in _STATUSES_BY_PART.items() if part in code), 200)


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder(msgspec.Raw)


def _members(body: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, repaired if need be; the values are views that keep the body alive.

    Raises msgspec.DecodeError or RecursionError unless the whole body is sound JSON then.
    """
    try:
        body.decode()  # msgspec does not check the bytes of raw values
        return _OBJECT.decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return _OBJECT.decode(repair(body))


def _member(fields: Mapping[str, msgspec.Raw], path: tuple[str, ...]) -> msgspec.Raw | None:
    """The value at a path below an object's members; None where there is none, or something on the way is no object."""
    found = fields.get(path[0])
    for name in path[1:]:
        try:
            found = None if found is None else _OBJECT.decode(found).get(name)
        except msgspec.MsgspecError:
            return None
    return found


def _sent_member(found: Mapping[str, bytes], path: tuple[str, ...]) -> bytes:
    """The same of members that may be unsound: the text as sent, empty where there is none."""
    text = found.get(path[0], b"")
    for name in path[1:]:
        text = (members(text) or {}).get(name, b"")
    return text


def _salvaged(body: bytes, expect: tuple[str, ...]) -> tuple[dict[str, msgspec.Raw], list[bytes] | None] | None:
    """The sound members of a body that is whole but not sound throughout, and the elements of its list as sent.

    None when the body is not whole, or when a member beside the list is unsound: it may say which page comes next.
    In those members characters that are no Unicode are repaired.
    """
    found = members(body) or {}
    beside = [(name, sent) for name, sent in found.items() if name not in expect[:1]]
    fields = {name: msgspec.Raw(text) for name, sent in beside if (text := _sound(sent)) is not None}
    if not expect:
        return (fields, None if len(fields) == len(found) else [body]) if fields else None
    listed = elements(_sent_member(found, expect))
    if listed is None or len(fields) < len(found) - 1:
        return None
    return {**fields, expect[0]: msgspec.Raw(found[expect[0]])}, listed


def _sound(text: bytes) -> bytes | None:
    """The text of a value, repaired if need be; None if it does not decode even then."""
    text = repair(text)
    try:
        _VALUE.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return text
