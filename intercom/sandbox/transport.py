"""HTTP/1.1 over sockets: keep-alive, gzip, one thread per connection; knows nothing of Intercom."""

from __future__ import annotations

import gzip
import socket
import sys
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from .answers import Answer
from .faults import Reset

Respond = Callable[[str, str, Message, bytes], Answer]
WORTH_GZIP = 1_000  # bytes: below that the header costs more than it saves


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self.server.respond(self.command, self.path, self.headers, body)
        except Reset:
            self.close_connection = True
            return
        payload = answer.body
        headers = {"Content-Type": answer.content_type, **answer.headers}
        if answer.declared_length is not None:
            self.close_connection = True
        elif self.server.compress and len(payload) >= WORTH_GZIP and "gzip" in self.headers.get("Accept-Encoding", ""):
            payload = gzip.compress(payload, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(answer.declared_length or len(payload))
        head = f"HTTP/1.1 {answer.status} {_reason(answer.status)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        # One write: headers and body in separate packets would cost a delayed acknowledgement each.
        self.wfile.write(head.encode("latin-1") + b"\r\n" + payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the sandbox has its own log."""


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, respond: Respond, port: int, *, compress: bool) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond
        self.compress = compress
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()

    def server_bind(self) -> None:
        # http.server's own one looks up the host's name, which may take seconds without a network.
        socket_address = self.server_address
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(socket_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client may go away at any time
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """End keep-alive connections: their threads wait for a next request that never comes."""
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by the other side meanwhile


class Transport:
    """A server on the loopback interface with a thread of its own."""

    def __init__(self, respond: Respond, port: int, *, compress: bool) -> None:
        self._server = _Server(respond, port, compress=compress)
        self._thread: Thread | None = None
        self.port: int = self._server.server_port

    def start(self) -> None:
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="sandbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close every connection; a second call does nothing."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.close_connections()
