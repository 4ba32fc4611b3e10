"""HTTP/1.1 over sockets: keep-alive, gzip, one thread per connection; knows nothing of Intercom."""

from __future__ import annotations

import gzip
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Lock, Thread
from typing import Any

from intercom.sandbox.answers import Answer
from intercom.sandbox.faults import Reset

Headers = Mapping[str, str]
"""Header names are in title case, as in ``Content-Type``, however they were sent."""
Respond = Callable[[str, str, Headers, bytes], Answer]
WORTH_GZIP = 1_000  # bytes; compressing a smaller body costs more than it saves


class _Handler(StreamRequestHandler):
    """One connection. Not http.server's handler, which reads the request head slower than all the rest takes."""

    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        while (request := self._request()) is not None and self._answer(*request):
            pass

    def _request(self) -> tuple[str, str, Headers, bytes] | None:
        """Method, target, headers and body; None at the end of the connection, or when this is no HTTP/1.1."""
        start = self.rfile.readline().decode("latin-1").split()
        if len(start) != 3 or start[2] != "HTTP/1.1":
            return None
        headers: dict[str, str] = {}
        while line := self.rfile.readline().rstrip(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.title()] = value.strip()
        return start[0], start[1], headers, self.rfile.read(int(headers.get("Content-Length", 0)))

    def _answer(self, method: str, target: str, headers: Headers, body: bytes) -> bool:
        """Send the answer; True if the connection stays open."""
        try:
            answer = self.server.respond(method, target, headers, body)
        except Reset:
            return False
        payload = answer.body
        fields = {"Content-Type": answer.content_type, **answer.headers}
        honest = answer.declared_length is None
        accepted = headers.get("Accept-Encoding", "")
        if honest and self.server.compress and len(payload) >= WORTH_GZIP and "gzip" in accepted:
            payload = gzip.compress(payload, compresslevel=1)
            fields["Content-Encoding"] = "gzip"
        fields["Content-Length"] = str(answer.declared_length or len(payload))
        head = f"HTTP/1.1 {answer.status} {_reason(answer.status)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        if answer.breaks or answer.drips:
            return self._unwell(head.encode("latin-1") + b"\r\n", payload, answer)
        # One call: headers and body in separate packets would each wait for a delayed acknowledgement.
        self.connection.sendall(head.encode("latin-1") + b"\r\n" + payload)
        return honest and headers.get("Connection", "").lower() != "close"

    def _unwell(self, head: bytes, payload: bytes, answer: Answer) -> bool:
        """Send half of the body and reset the connection, or all of it byte by byte; False: it ends with this."""
        if answer.breaks:
            self.connection.sendall(head + payload[: len(payload) // 2])
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return False
        self.connection.sendall(head)
        for place in range(len(payload)):
            time.sleep(answer.drips)
            self.connection.sendall(payload[place : place + 1])
        return False


@cache
def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, respond: Respond, port: int, *, compress: bool) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond
        self.compress = compress
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()

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
    """A server on the loopback interface, run by its own thread."""

    def __init__(self, respond: Respond, port: int, *, compress: bool) -> None:
        self._respond, self._compress = respond, compress
        self._server = _Server(respond, port, compress=compress)
        self._thread: Thread | None = None
        self.port: int = self._server.server_address[1]
        self._held: socket.socket | None = None

    def start(self) -> None:
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="sandbox", daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """As `stop`, and keep the port, which another process could take: connections to it are refused."""
        self.stop()
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", self.port))

    def reopen(self) -> None:
        """Listen on the same port again, after `refuse`."""
        self._server = _Server(self._respond, self.port, compress=self._compress)
        self.start()
        self._release()

    def stop(self) -> None:
        """Stop listening and close every connection; a second call does nothing."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.close_connections()
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
