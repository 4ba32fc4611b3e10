"""What came back from the API -> an answer, or what is wrong with it. Pure: no HTTP library, no waiting, no raising."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from intercom.headers import http_date
from intercom.jsontext import mend
from intercom.salvage import elements, members

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
    value is held. ``server_time`` is the Date header in unix seconds. ``elements`` are the texts in the list that was
    expected where not all of them are sound JSON; None where they are. Where no list was expected, it is the whole
    body, and ``fields`` has its sound members only.
    """

    fields: dict[str, msgspec.Raw]
    server_time: int | None
    request_id: str | None
    elements: list[bytes] | None = None


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

    ``expect`` names the member that must be a JSON array. Its elements may be anything: of a body with an odd one the
    others can be used.
    """
    request_id = received.headers.get("X-Request-Id")
    fault = None
    fields: dict[str, msgspec.Raw] = {}
    try:
        fields = _members(received.body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        salvaged = _salvaged(received.body, expect)
        if salvaged is not None:
            return Answer(salvaged[0], received.server_time, request_id, salvaged[1])
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
_VALUE = msgspec.json.Decoder(msgspec.Raw)


def _members(body: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object; raises unless the whole body is sound JSON.

    The values are views that keep the body alive.
    """
    body.decode()  # msgspec looks at no byte of what it leaves raw
    return _OBJECT.decode(body)


def _salvaged(body: bytes, expect: str | None) -> tuple[dict[str, msgspec.Raw], list[bytes] | None] | None:
    """The members of a body that is whole but not sound throughout, and the elements of its list as sent.

    None when it is not whole, or when what is odd lies beside the list, where it may tell what is still to come. There
    characters that are no Unicode are mended.
    """
    found = members(body) or {}
    sound = {name: text for name, sent in found.items() if name != expect and (text := _sound(sent)) is not None}
    fields = {name: msgspec.Raw(text) for name, text in sound.items()}
    if expect is None:
        return (fields, None if len(fields) == len(found) else [body]) if fields else None
    listed = elements(found.get(expect, b""))
    if listed is None or len(fields) < len(found) - 1:
        return None
    return {**fields, expect: msgspec.Raw(found[expect])}, listed


def _sound(text: bytes) -> bytes | None:
    """A value that decodes, as it is or mended; None where none does."""
    text = mend(text)
    try:
        _VALUE.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return text
