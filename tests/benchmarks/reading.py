"""First loads of contacts by a server that takes its time: how soon all of the allowance is used, and what is asked.

Bound by latency, so that the machine hardly matters. `python -m tests.benchmarks.reading` draws the requests of one
load over time, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from intercom.sandbox import LoggedRequest, SandboxServer, Workspace
from tests.benchmarks.load import contacts_only, serving
from tests.benchmarks.processes import load, sync
from tests.benchmarks.table import Row

LATENCY_SECONDS = 0.3
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A workspace, what its server allows in ten seconds, and what the load is to keep within."""

    contacts: int
    allowed: int
    most_seconds: float
    most_requests: int

    def __str__(self) -> str:
        return f"{self.contacts:,} contacts, {self.allowed:,} per 10 s, {LATENCY_SECONDS * 1000:.0f} ms"


SMALL, LARGE = Case(15_000, 166, 8.5, 125), Case(60_000, 1_666, 8.0, 520)


def measure() -> Iterator[Row]:
    """Without Prefect, in rounds; then a whole flow, which asks before it knows that it may begin, too."""
    small = contacts_only(SMALL.contacts)
    yield _row(str(SMALL), SMALL, [_load(SMALL, small, _alone) for _ in range(ROUNDS)])
    yield _row(f"{SMALL}, a whole flow", SMALL, [_load(SMALL, small, _flow)])
    large = contacts_only(LARGE.contacts)
    yield _row(str(LARGE), LARGE, [_load(LARGE, large, _alone) for _ in range(ROUNDS)])


def _row(what: str, case: Case, loads: list[list[LoggedRequest]]) -> Row:
    seconds, requests = median(map(_seconds, loads)), max(map(len, loads))
    throttled = sum(request.status == 429 for requests in loads for request in requests)
    pages = [request for request in loads[-1] if _is_page(request)]
    return Row(
        what,
        f"{seconds:.1f} s from the first request to the last ({', '.join(f'{_seconds(each):.1f}' for each in loads)}); "
        f"{requests} requests, {_in_flight(loads[-1]):.1f} in flight, {_in_flight(pages):.1f} of them while pages are "
        f"read ({_seconds(pages):.1f} s); {throttled} of 429; sent in each second {_by_second(loads[-1])}",
        f"<= {case.most_seconds:g} s, <= {case.most_requests} requests, 0 of 429",
        seconds <= case.most_seconds and requests <= case.most_requests and not throttled,
    )


def _load(case: Case, workspace: Workspace, run: Callable[[SandboxServer, Path], object]) -> list[LoggedRequest]:
    with serving(workspace, rate_limit=case.allowed, latency_seconds=LATENCY_SECONDS) as (server, lake):
        run(server, lake)
        return server.requests()


def _alone(server: SandboxServer, lake: Path) -> object:
    return load(server, lake, "contacts")


def _flow(server: SandboxServer, lake: Path) -> object:
    return sync(server, lake, tables="contacts")


def _is_page(request: LoggedRequest) -> bool:
    return request.body is not None and request.body["pagination"]["per_page"] > 1


def _seconds(requests: list[LoggedRequest]) -> float:
    """From the first request to the last; what follows that one belongs to the lake."""
    return requests[-1].time - requests[0].time


def _in_flight(requests: list[LoggedRequest]) -> float:
    """On average from the first request to the last, by Little's law: a request waits for the latency alone."""
    return len(requests) * LATENCY_SECONDS / _seconds(requests)


def _by_second(requests: list[LoggedRequest]) -> str:
    counts = Counter(int(request.time - requests[0].time) for request in requests)
    return " ".join(str(counts[second]) for second in range(max(counts) + 1))


def _drawn(requests: list[LoggedRequest], step: float = 0.1) -> Iterator[str]:
    """A line for each tenth of a second: what was sent in it, ``.`` for a question of one row, ``#`` for a page."""
    begin = requests[0].time
    for tenth in range(int(_seconds(requests) / step) + 1):
        sent = [request for request in requests if int((request.time - begin) / step) == tenth]
        marks = "".join("#" if _is_page(request) else "." if request.body else "o" for request in sent)
        yield f"{tenth * step:5.1f}  {marks}"


if __name__ == "__main__":
    for case in (SMALL, LARGE):
        requests = _load(case, contacts_only(case.contacts), _alone)
        print(_row(str(case), case, [requests]), *_drawn(requests), sep="\n", flush=True)
