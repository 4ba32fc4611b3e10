"""HTTP answers as values, and the error bodies that Intercom sends."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

CODES = {
    400: "parameter_invalid",
    401: "unauthorized",
    402: "api_plan_restricted",
    403: "forbidden",
    404: "not_found",
    405: "client_error",
    406: "client_error",
    408: "request_timeout",
    409: "conflict",
    415: "client_error",
    422: "unprocessable_entity",
    429: "rate_limit_exceeded",
    500: "server_error",
    502: "service_unavailable",
    503: "service_unavailable",
    504: "service_unavailable",
}
SCROLL_BROKEN = "Request failed due to an internal network error. Please restart the scroll operation."


@dataclass(slots=True)
class Answer:
    """Status, headers and body. If set, ``declared_length`` is sent as Content-Length, whatever the body's size.

    ``breaks`` resets the connection in the middle of the body. ``drips`` sends the body byte by byte, with so many
    seconds between two of them.
    """

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    declared_length: int | None = None
    breaks: bool = False
    drips: float = 0.0


class Refusal(Exception):
    """The request is answered with an error body instead of records."""

    def __init__(self, status: int, message: str, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or CODES.get(status, "client_error" if status < 500 else "server_error")
        self.field = field

    def answer(self, request_id: str) -> Answer:
        """The documented ``error.list`` body."""
        error = {"code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        return json_answer({"type": "error.list", "request_id": request_id, "errors": [error]}, self.status)


def json_answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode())


def list_answer(kind: str, records_key: str, records: list[bytes], rest: dict[str, Any]) -> Answer:
    """A list whose records are already JSON text; ``rest`` are the fields beside them."""
    head = f'{{"type":"{kind}","{records_key}":['.encode()
    tail = (("]," if rest else "]") + json.dumps(rest)[1:]).encode()
    if not records:
        return Answer(200, head + tail)
    # One join: copying a page again takes longer than finding its records.
    framed = [head + records[0], *records[1:]]
    framed[-1] += tail
    return Answer(200, b",".join(framed))


def html_answer(status: int) -> Answer:
    """What a proxy in front of the API sends: no JSON, no rate headers."""
    page = f"<html>\r\n<head><title>{status}</title></head>\r\n<body>Sent by a proxy</body>\r\n</html>\r\n"
    return Answer(status, page.encode(), content_type="text/html")
