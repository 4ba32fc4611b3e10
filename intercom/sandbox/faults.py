"""Failures on demand: answers that are wrong, late, cut off or missing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal, get_args

from intercom.sandbox import untrue
from intercom.sandbox.answers import SCROLL_BROKEN, Answer, Refusal, html_answer
from intercom.sandbox.logged import LoggedRequest

FaultKind = Literal[
    "status",
    "html",
    "empty",
    "truncated",
    "truncated_json",
    "reset",
    "delay",
    "not_json",
    "redirect",
    "wrong_shape",
    "shard_away",
    "short",
    "shifted",
    "hollow",
    "again",
    "same_next",
    "fewer",
    "more",
    "another",
    "reset_body",
    "drip",
]
UNTRUE: frozenset[FaultKind] = frozenset(
    ("shard_away", "short", "shifted", "hollow", "again", "same_next", "fewer", "more", "another")
)
SCROLL_PATH = "/companies/scroll"
HALF_A_LIST = b'{"type":"list","data":[{"type":"contact","id":"5ba682d23d7cf92bef87bfd4","em'
MESSAGES = {429: "Exceeded rate limit of 166 in 10_seconds", 401: "Access Token Invalid"}


class Reset(Exception):
    """The connection is closed without an answer."""


@dataclass(slots=True)
class Fault:
    """Which requests fail, and how; ``hits`` counts the requests that have failed.

    Not all kinds can make each answer a wrong one: ``wrong`` counts the answers that were not the right ones.
    """

    kind: FaultKind
    path: str | None = None
    status: int = 502
    times: int = 1
    after: int = 0
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    executed: bool = False
    seconds: float = 0.0
    every: int = 10
    where: Callable[[LoggedRequest], bool] | None = None
    instead: Callable[[str], str] | None = None
    matches: int = 0
    hits: int = 0
    wrong: int = 0
    before: dict[str, bytes] = field(default_factory=dict)
    """By path: the right answer to the latest request that was not made to fail."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"Unknown kind of fault {self.kind!r}; known are {', '.join(get_args(FaultKind))}")

    def concerns(self, request: LoggedRequest) -> bool:
        """Whether a request is one of those that may fail."""
        return self.path in (None, request.path) and (self.where is None or self.where(request))

    @property
    def kills_scroll(self) -> bool:
        """Whether the fault ends the open scroll, as status 500 does (API reference, scroll over companies)."""
        return self.kind == "status" and self.status == 500

    @property
    def bare(self) -> bool:
        """Whether the answer comes from a proxy in front of the API, and so has no rate headers."""
        return self.kind in ("html", "redirect")

    def answer(self, request: LoggedRequest, request_id: str, execute: Callable[[str], Answer]) -> Answer:
        """The faulty answer; raises Reset if the connection is to be closed without an answer.

        `execute` gives the right answer to the request at a path.
        """
        path = request.path
        self.wrong += self.kind not in UNTRUE
        if self.kind == "delay":
            time.sleep(self.seconds)
            return execute(path)
        if self.kind in UNTRUE:
            right = execute(path)
            body = right.body
            if self.kind == "another" and self.instead is not None:
                right = execute(self.instead(path))
            untrue_one = self._untrue(request, right)
            self.wrong += untrue_one.body != body
            return untrue_one
        if self.kind in ("reset_body", "drip"):
            right = execute(path)
            right.breaks, right.drips = self.kind == "reset_body", self.seconds
            return right
        done = execute(path) if self.executed else None
        if self.kind == "reset":
            raise Reset
        answer = self._failure(request.path, request_id, done)
        answer.headers.update(self.headers)
        return answer

    def _untrue(self, request: LoggedRequest, right: Answer) -> Answer:
        """The right answer, changed to a wrong one if its status is 200."""
        if right.status == 200:
            match self.kind:
                case "shard_away":
                    right.body = untrue.shard_away(right.body)
                case "short":
                    right.body = untrue.short(right.body, self.every)
                case "hollow":
                    right.body = untrue.hollow(right.body)
                case "again":
                    right.body = self.before.get(request.path, right.body)
                case "same_next":
                    right.body = untrue.same_next(right.body, request)
                case "another":
                    pass  # another one was executed
                case "fewer":
                    right.body = untrue.counting(right.body, lambda count: count // 2)
                case "more":
                    right.body = untrue.counting(right.body, lambda count: count + count // 2 + 3)
                case _:
                    right.body = untrue.shifted(right.body)
        right.headers.update(self.headers)
        return right

    def _failure(self, path: str, request_id: str, done: Answer | None) -> Answer:
        part = HALF_A_LIST if done is None else done.body[: len(done.body) // 2]
        match self.kind:
            case "status":
                return self._status(path, request_id)
            case "html":
                return html_answer(self.status)
            case "empty":
                return Answer(200, b"")
            case "truncated":
                return Answer(200, part, declared_length=2 * len(part) + 1)
            case "truncated_json":
                return Answer(200, part)
            case "redirect":
                return Answer(302, b"", headers={"Location": f"https://elsewhere.invalid{path}"})
            case "not_json":
                return Answer(200, self._encoded(b"<!DOCTYPE html><title>Maintenance</title>"))
            case _:
                return Answer(200, self._encoded({"type": "list", "total_count": 1}))

    def _status(self, path: str, request_id: str) -> Answer:
        default = SCROLL_BROKEN if self.status == 500 and path == SCROLL_PATH else f"Failure {self.status}"
        answer = Refusal(self.status, MESSAGES.get(self.status, default)).answer(request_id)
        if self.body is not None:
            answer.body = self._encoded(self.body)
        return answer

    def _encoded(self, default: Any) -> bytes:
        body = default if self.body is None else self.body
        if isinstance(body, str):
            return body.encode()
        return body if isinstance(body, bytes) else json.dumps(body).encode()


class Faults:
    """The configured faults, in the order in which they were added; thread-safe."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def served(self, request: LoggedRequest, answer: Answer) -> None:
        """Note a right answer, which a later one may repeat."""
        with self._lock:
            for fault in self._faults:
                if fault.kind == "again" and answer.status == 200 and fault.concerns(request):
                    fault.before[request.path] = answer.body

    def match(self, request: LoggedRequest) -> Fault | None:
        """The fault for this request, if any: the first that matches, after ``after`` matches, and is not used up."""
        with self._lock:
            due = None
            for fault in self._faults:
                if not fault.concerns(request):
                    continue
                fault.matches += 1
                if due is None and fault.matches > fault.after and fault.hits < fault.times:
                    fault.hits += 1
                    due = fault
            return due
