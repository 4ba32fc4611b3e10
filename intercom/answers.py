"""What came back from the API -> an answer, or what is wrong with it. Pure: no HTTP library, no waiting, no raising."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from intercom.headers import http_date
from intercom.jsontext import mend

_DETAIL_CHARACTERS = 200


@dataclass(frozen=True)
class Received:
    """A whole HTTP answer, unpacked; ``headers`` finds names in any case. Its repr shows nothing that was sent."""

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

    ``fields`` holds its top-level members, each one's JSON text unchanged; the text stays valid for as long as the
    value is held. ``server_time`` is the Date header in unix seconds.
    """

    fields: dict[str, msgspec.Raw]
    server_time: int | None
    request_id: str | None


@dataclass(frozen=True)
class Failure:
    """An attempt without a usable answer."""

    reason: str
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    server_time: int | None = None
    wait_seconds: float = 0.0  # what the server asked for, or the limiter
    heavy: bool = False

    @property
    def throttled(self) -> bool:
        return self.status == 429

    @property
    def over_quota(self) -> bool:
        # The other 429, too_many_requests, means that this resource is under load: the rate headers do not help.
        return self.throttled and self.code != "too_many_requests"


def read_answer(received: Received, expect: str | None) -> Answer | Failure:
    """The answer, when it is whole: a body can be empty or cut although its status is 200.

    ``expect`` names the member that must be a JSON array.
    """
    request_id = received.headers.get("X-Request-Id")
    fault = None
    fields: dict[str, msgspec.Raw] = {}
    try:
        fields = _members(received.body)
    except msgspec.MsgspecError as error:
        fault = f"broken body, {error}"
    else:
        if expect is not None and not (expect in fields and bytes(memoryview(fields[expect])[:1]) == b"["):
            fault = f"answer without the list {expect!r}"
    if fault is not None:
        return Failure(fault, received.status, request_id=request_id, server_time=received.server_time)
    return Answer(fields, received.server_time, request_id)


class _ErrorItem(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    errors: list[_ErrorItem]
    request_id: str | None = None


def read_refusal(received: Received, secret: str) -> Failure:
    """What an error answer says: Intercom's error list, or the start of whatever the edge has sent instead."""

    def clean(text: str) -> str:
        printable = "".join(c if c.isprintable() else " " for c in text.replace(secret, "[token]"))
        return " ".join(printable.split())[:_DETAIL_CHARACTERS]

    status, text = received.status, received.body.decode("utf-8", "replace")
    code = None
    request_id = received.headers.get("X-Request-Id")
    try:
        body = msgspec.json.decode(text, type=_ErrorBody)
    except msgspec.MsgspecError:
        pass
    else:
        code = next((clean(e.code) for e in body.errors if e.code), None)
        text = "; ".join(": ".join(filter(None, (e.code, e.message))) for e in body.errors)
        request_id = body.request_id or request_id
    request_id = clean(request_id) if request_id else None
    detail = ", ".join(filter(None, (clean(text), request_id and f"request {request_id}")))
    reason = f"status {status} ({detail})" if detail else f"status {status}"
    return Failure(reason, status, code, request_id, received.server_time)


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _members(body: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object; raises msgspec's errors unless the whole body is sound JSON, once mended.

    The values are views that keep the body alive.
    """
    try:
        body.decode()  # msgspec looks at no byte of what it leaves raw
        return _OBJECT.decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return _OBJECT.decode(mend(body))
