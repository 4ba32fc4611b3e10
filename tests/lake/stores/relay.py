"""Stands between a client and a server, and lets an upload stall in its middle."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Passes on what a client sends, up to so many bytes over all connections; then it holds, and says so."""

    def __init__(self, server: str, up_to: int) -> None:
        self.stalled = threading.Event()
        self._server = (str(urlsplit(server).hostname), int(urlsplit(server).port or 0))
        self._left = up_to
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in [self._listener, *self._sockets]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while content := source.recv(1 << 16):
                with self._lock:
                    send = content[: self._left] if counted else content
                    self._left -= len(send) if counted else 0
                target.sendall(send)
                if len(send) < len(content):
                    self.stalled.set()
                    return
            target.shutdown(socket.SHUT_WR)


@contextmanager
def stalling(server: str, up_to: int) -> Iterator[Relay]:
    relay = Relay(server, up_to)
    try:
        yield relay
    finally:
        relay.close()
