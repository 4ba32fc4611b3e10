"""Prefect's API with faults: a proxy that forwards requests, or answers them with an error status."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.prefect_server import Prefect


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server in a thread of this process; gives its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def relayed(prefect: Prefect, fault: Callable[[str, str], int | None]) -> Iterator[str]:
    """The URL of a proxy of Prefect's API that answers with the status that `fault(method, path)` gives.

    For None, the request is forwarded; but a WebSocket request, such as the stream of events, gets a 500.
    """
    api = urlsplit(prefect.api)

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = fault(self.command, self.path.removeprefix("/api")), b'{"detail": "out of order"}'
            if status is None and "upgrade" in self.headers.get("Connection", "").lower():
                status = 500
            if status is None:
                connection = http.client.HTTPConnection(str(api.hostname), api.port, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                status, content = answer.status, answer.read()
                connection.close()
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None: ...

    with serving(Relay) as url:
        yield f"{url}/api"
