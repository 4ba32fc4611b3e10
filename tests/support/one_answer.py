"""A server that is not Prefect's, at an address that is configured as its API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def answering(status: int, body: str, *, healthy: bool = False) -> Iterator[str]:
    """The address of a server that gives each request the same answer, as a PREFECT_API_URL.

    `healthy`: only requests for its health are answered as Prefect does.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            well = healthy and self.path.endswith("/health")
            told = "true" if well else body
            self.send_response(200 if well else status)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()
