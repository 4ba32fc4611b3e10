"""The body of an HTTP answer: read and unpacked within bounds of size and time, whatever the server sends.

A time-out of a socket is one of each wait: a server that sends a byte now and then never meets it. And a packed body
of a megabyte may hold a gigabyte. So the whole answer has a time, headers included, and what is unpacked is counted
while it is unpacked.
"""

from __future__ import annotations

import io
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from typing import Any, cast

_PIECE = 1 << 20
"""Bytes that are asked for at once: more than a page, since a body in two pieces is copied once more."""
_STEP = 8 << 10
"""Bytes that are unpacked at once after a first member: zlib copies what follows each, and there may be thousands."""
_MOST_MEMBERS = 10_000
"""Of one body: empty ones cost time and bring nothing; common programs begin one every 64 KB at most."""
_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
"""zlib's parameter for each encoding; deflate comes with zlib's header, as the standard says, or without one."""


class TooLargeError(OSError):
    """A body of more bytes than are allowed, packed or unpacked."""


class NotPackedError(OSError):
    """A body that is not packed as its header says, or that ends in the middle."""


class TooSlowError(TimeoutError):
    """An answer that is not whole after the time that it has."""


def read_body(read: Callable[[int], bytes], encoding: str, most: int) -> bytes:
    """A whole body, unpacked; ``read`` gives at most so many bytes as they were sent, and none at the end.

    An encoding that is not known leaves the body as it is. Raises TooLargeError as soon as more than ``most`` bytes
    were read or unpacked, or thousands of gzip members; and NotPackedError.
    """
    pieces = _pieces(read, most)
    windows = _WINDOWS.get(encoding.strip().lower())
    parts = list(pieces if windows is None else _unpacked(pieces, windows, most))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _pieces(read: Callable[[int], bytes], most: int) -> Iterator[bytes]:
    size = 0
    while piece := read(_PIECE):
        size += len(piece)
        if size > most:
            raise TooLargeError
        yield piece


def _unpacked(pieces: Iterator[bytes], windows: tuple[int, ...], most: int) -> Iterator[bytes]:
    """What the pieces hold: of gzip any number of members, and what follows them that is none is left out."""
    size, members = 0, 0
    unpacker = None
    for piece in pieces:
        view, place = memoryview(piece), 0
        while place < len(view):
            packed = view[place : place + (_STEP if members else _PIECE)]
            try:
                unpacker = unpacker or _begun(packed, windows)
                part = unpacker.decompress(packed, most - size + 1)
            except zlib.error as error:
                if not members:
                    raise NotPackedError from error
                return
            size += len(part)
            if size > most or members >= _MOST_MEMBERS:
                raise TooLargeError
            if part:
                yield part
            place += len(packed)
            if unpacker.eof:
                place -= len(unpacker.unused_data)
                unpacker, members = None, members + 1
    if unpacker is not None:
        raise NotPackedError


def _begun(packed: memoryview, windows: tuple[int, ...]) -> Any:
    """An unpacker that knows the form of these bytes, the first of a body or a member."""
    for window in windows[:-1]:
        try:
            zlib.decompressobj(window).decompress(packed[:2], 1)
        except zlib.error:
            continue
        return zlib.decompressobj(window)
    return zlib.decompressobj(windows[-1])


def answers_within(seconds: float, clock: Callable[[], float] = time.monotonic) -> type[HTTPResponse]:
    """The class of HTTP answers that raise TooSlowError when they are not whole so long after they were waited for."""

    class TimedResponse(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_TimedReader(raw, sock, clock() + seconds, clock))

    return TimedResponse


class _TimedReader(io.RawIOBase):
    """Reads a socket until a moment of the clock."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, end: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._raw, self._sock, self._end, self._clock = raw, sock, end, clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - self._clock()
        if left <= 0:
            raise TooSlowError
        most = self._sock.gettimeout()
        if most is not None and most <= left:
            return self._read(buffer)
        self._sock.settimeout(left)
        try:
            return self._read(buffer)
        except TimeoutError:
            raise TooSlowError from None

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()

    def _read(self, buffer: Any) -> int | None:
        return cast("int | None", self._raw.readinto(buffer))
