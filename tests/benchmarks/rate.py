"""The share of Intercom's allowance that a full load uses, and what it costs: real time, a server of its own process.

Alone: `python -m tests.benchmarks.rate`. About half a minute for each row.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.config.connection import MOST_IN_FLIGHT, make_connection
from intercom.sandbox import SandboxServer, Workspace
from tests.benchmarks.table import Row

WINDOW = 10.0
WARM_UP = 8.0
WINDOWS = 2  # measured; in any ten seconds the same number may leave, so it does not matter when they begin
CHEAP = {"query": {"field": "created_at", "operator": ">", "value": 0}, "pagination": {"per_page": 1}}


@dataclass(frozen=True)
class Case:
    limit: int  # per ten seconds
    latency: float  # seconds, waited by the server before each answer


@dataclass(frozen=True)
class Load:
    answered: float  # per ten seconds
    in_flight: float  # on average
    throttled: int
    cpu: float  # seconds a request


CASES = (Case(166, 0.3), Case(1666, 0.3), Case(1666, 0.15))
PROCESSES, SHARED = 4, Case(166, 0.3)
SETTLED = 20.0  # seconds: who meets others does not know what they have used before


def measure() -> Iterator[Row]:
    """One row per case: the share of the allowance, or of what so many in flight permit at this latency.

    The target is for latencies that permit the whole allowance; else what is lost is the time around each request.
    """
    for case in CASES:
        load = _load(case)
        allowed, permitted = load.answered / case.limit, MOST_IN_FLIGHT / case.latency * WINDOW
        figure = f"{allowed:.1%} of the allowance"
        bound = permitted < case.limit
        if bound:
            figure += f", {load.answered / permitted:.1%} of what {MOST_IN_FLIGHT} in flight permit"
        yield Row(
            f"{case.limit:,} per 10 s at {case.latency * 1000:.0f} ms",
            f"{figure}; {load.throttled} of 429; {load.in_flight:.1f} in flight, "
            f"so {load.in_flight / load.answered * WINDOW * 1000:.0f} ms each; {load.cpu * 1000:.1f} ms CPU a request",
            reach="0 of 429" if bound else ">= 97 %, 0 of 429",
            met=(bound or load.answered >= 0.97 * case.limit) and not load.throttled,
        )
    yield _shared()


def _shared() -> Row:
    """Processes that know nothing of each other, on one token; counted by the server, as Intercom would."""
    case, seconds, arrived = SHARED, SETTLED + WINDOWS * WINDOW, deque[float]()
    workspace = Workspace.seeded(contacts=10, companies=1, conversations=1, articles=1)
    with SandboxServer(workspace, rate_limit=case.limit, latency_seconds=case.latency) as server:
        server.before_request(lambda request: arrived.append(time.monotonic()))
        command = [sys.executable, "-m", "tests.benchmarks.rate", "worker", server.base_url, server.token, str(seconds)]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
        told = [json.loads(worker.communicate()[0]) for worker in workers]
    came = sorted(arrived)
    peak = max(bisect_left(came, at + WINDOW) - number for number, at in enumerate(came))
    settled = [at for at in came if SETTLED <= at - came[0] < SETTLED + WINDOWS * WINDOW]
    used, throttled = len(settled) / WINDOWS / case.limit, sum(one["throttled"] for one in told)
    shares = ", ".join(f"{one['requests'] / len(came):.0%}" for one in told)
    return Row(
        f"{PROCESSES} processes on one token, {case.limit:,} per 10 s at {case.latency * 1000:.0f} ms",
        f"{used:.1%} of the allowance; at most {peak} in any 10 s; {throttled} of 429; shares {shares}",
        reach=">= 90 %, never more than the allowance",
        met=used >= 0.9 and peak <= case.limit,
    )


def _worker(url: str, token: str, seconds: float) -> None:
    """One of these processes: prints how many requests it has made, and how many 429s it got."""
    limiter = RateLimiter()
    client = IntercomClient(make_connection(name="bench", access_token=token, base_url=url, place="bench"), limiter)
    api = client.for_table("contacts")
    end = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < end:
            api.post("/contacts/search", CHEAP)

    with ThreadPoolExecutor(limiter.most_in_flight) as pool:
        for worker in [pool.submit(work) for _ in range(limiter.most_in_flight)]:
            worker.result()
    client.close()
    print(json.dumps({"requests": api.counter.requests, "throttled": api.counter.throttled}))


def _load(case: Case) -> Load:
    with _sandbox(case) as (url, token):
        connection = make_connection(name="bench", access_token=token, base_url=url, place="bench")
        limiter = RateLimiter()
        client = IntercomClient(connection, limiter)
        api = client.for_table("contacts")
        answers: deque[float] = deque()
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                api.post("/contacts/search", CHEAP)
                answers.append(time.monotonic())

        cpu = time.process_time()
        with ThreadPoolExecutor(limiter.most_in_flight) as pool:
            workers = [pool.submit(work) for _ in range(limiter.most_in_flight)]
            begin = time.monotonic() + WARM_UP
            end = begin + WINDOWS * WINDOW
            levels = []
            while time.monotonic() < end:
                time.sleep(0.05)
                levels.append(limiter.usage().in_flight)
            stop.set()
        cpu = time.process_time() - cpu
        for worker in workers:
            worker.result()
        client.close()
    measured = levels[-int(len(levels) * WINDOWS * WINDOW / (WARM_UP + WINDOWS * WINDOW)) :]
    return Load(
        answered=sum(begin <= when < end for when in answers) / WINDOWS,
        in_flight=sum(measured) / len(measured),
        throttled=api.counter.throttled,
        cpu=cpu / api.counter.requests,
    )


@contextmanager
def _sandbox(case: Case) -> Iterator[tuple[str, str]]:
    command = [sys.executable, "-m", "intercom.cli.app", "sandbox", "--rate-limit", str(case.limit)]
    command += ["--latency-ms", str(case.latency * 1000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            words = server.stdout.readline().split()
            yield words[3], words[5]
        finally:
            server.terminate()


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        _worker(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        for row in measure():
            print(row, flush=True)
