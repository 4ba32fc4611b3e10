"""A real HTTP server that plays one scripted answer after the other, whole ones and every kind of broken one."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

TOKEN = "dG9rOnRoaXMtaXMtYS1zZWNyZXQ="
GOOD = b'{"type":"list","data":[{"id":"1"}]}'
Script = Callable[["Handler"], None]


def reply(status: int = 200, body: bytes = GOOD, **headers: str) -> Script:
    """A whole answer; ``X_Request_Id="r"`` is the header X-Request-Id."""

    def play(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return play


def error(status: int, code: str, message: str = "No.", request_id: str = "req-1", **headers: str) -> Script:
    body = {"type": "error.list", "request_id": request_id, "errors": [{"code": code, "message": message}]}
    return reply(status, msgspec.json.encode(body), **headers)


def raw(data: bytes) -> Script:
    """Bytes as they are, then the end of the connection."""

    def play(handler: Handler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return play


def reset(handler: Handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def silence(handler: Handler) -> None:
    handler.server.released.wait(10)
    handler.close_connection = True


SHORT = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + GOOD)
SHORT_CHUNKED = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n" + GOOD[:20])
CUT_GZIP = reply(body=gzip.compress(GOOD * 50)[:60], Content_Encoding="gzip")
NOT_GZIP = reply(body=GOOD, Content_Encoding="gzip")
EMPTY = reply(body=b"")
HTML = reply(body=b"<html>maintenance</html>")
CUT = reply(body=b'{"type":"list","data":[{"id":"1"},{"id":')
BROKEN = {
    "reset": reset,
    "silence": silence,
    "short": SHORT,
    "short chunked": SHORT_CHUNKED,
    "cut gzip": CUT_GZIP,
    "not gzip": NOT_GZIP,
    "empty": EMPTY,
    "html": HTML,
    "cut json": CUT,
    "array": reply(body=b"[]"),
    "null": reply(body=b"null"),
    "trailing": reply(body=GOOD + b"}"),
    "no list": reply(body=b'{"type":"list"}'),
    "null list": reply(body=b'{"data":null}'),
    "object as list": reply(body=b'{"data":{}}'),
    "408": error(408, "request_timeout"),
    "500": reply(500, b"<html>oops</html>"),
    "502": reply(502, b""),
    "503": error(503, "service_unavailable"),
    "504": reply(504, b""),
}
FATAL = {
    "301": reply(301, b"", Location="https://elsewhere.example/?secret=query"),
    "302": reply(302, b"", Location="//[bad"),
    "400": error(400, "parameter_invalid"),
    "401": error(401, "unauthorized", f"Access Token {TOKEN} Invalid"),
    "402": reply(402, b""),
    "403": error(403, "api_plan_restricted"),
    "404": error(404, "not_found"),
    "405": reply(405, b""),
    "406": reply(406, b"x" * 5000),
    "409": error(409, "conflict"),
    "415": reply(415, b""),
    "422": error(422, "data_invalid"),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer comes 40 ms late
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, self.headers, body))
        script = self.server.script
        (script.pop(0) if script else reply())(self)

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    script: list[Script]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = []
        self.seen: list[tuple[str, str, Message, bytes]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that have gone are part of the tests
