"""A proxy in front of an S3 server that spoils some requests: refused, cut off, answered late or without having been
forwarded, or forwarded and then told to have failed."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.support.relay import serving

FAULTS = ("500", "503 SlowDown", "reset", "500 after", "reset after", "cut off", "hang", "hang after")
"""``after``: the request has been done."""
HANG_SECONDS = 1.5
_CODES = {"500": "InternalError", "503": "SlowDown"}
_HOP_BY_HOP = ("connection", "transfer-encoding", "expect", "keep-alive")


class S3Faults:
    """Which requests are spoiled: each with the probability `rate`, for none of which the server is asked first."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._moments = random.Random()

    def begin(self, rate: float, seed: int) -> None:
        """Spoil requests from now on, as drawn by this seed."""
        with self._lock:
            self.rate, self._moments = rate, random.Random(seed)

    def end(self) -> None:
        """Forward all requests."""
        self.rate = 0.0

    def draw(self) -> str | None:
        """The fault of the next request."""
        with self._lock:
            if not self.rate or self._moments.random() >= self.rate:
                return None
            fault = self._moments.choice(FAULTS)
            self.counts[fault] += 1
            return fault


@contextmanager
def faulty_s3(server: str, faults: S3Faults) -> Iterator[str]:
    """The URL of the proxy."""
    target = urlsplit(server)
    closing = threading.Event()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body, fault = self._body(), faults.draw()
            if fault in ("reset", "hang"):
                self._drop(fault)
                return
            if fault in ("500", "503 SlowDown"):
                self._refuse(fault[:3])
                return
            found, content = self._forwarded(body)
            if fault in ("reset after", "hang after"):
                self._drop(fault)
            elif fault == "500 after":
                self._refuse("500")
            else:
                self._pass_on(found, content, cut_off=fault == "cut off")

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return content

        def _forwarded(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
            connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body, headers)
            found = connection.getresponse()
            content = found.read()
            connection.close()
            return found, content

        def _pass_on(self, found: http.client.HTTPResponse, content: bytes, *, cut_off: bool) -> None:
            self.send_response_only(found.status, found.reason)
            for name, value in found.getheaders():
                if name.lower() not in (*_HOP_BY_HOP, "content-length"):
                    self.send_header(name, value)
            length = found.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            if length is not None:
                self.send_header("Content-Length", length)
            self.end_headers()
            if cut_off:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self._reset()
            else:
                self.wfile.write(content)

        def _refuse(self, status: str) -> None:
            said = f"<?xml version='1.0'?><Error><Code>{_CODES[status]}</Code><Message>Try again.</Message></Error>"
            self.send_response_only(int(status))
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.encode())

        def _drop(self, fault: str) -> None:
            if fault.startswith("hang"):
                closing.wait(HANG_SECONDS)
            self._reset()

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, ValueError, http.client.HTTPException):
                self.close_connection = True  # the client has gone, or this connection was reset

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

        def log_message(self, format: str, *args: Any) -> None: ...

    with serving(Proxy) as url:
        try:
            yield url
        finally:
            closing.set()
