"""Lives on one kind of store and in one table format, one after the other, told as JSON lines on standard output."""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from moto.server import DomainDispatcherApplication, ThreadedMotoServer

from intercom.lake.layout import TableFormat
from intercom.sandbox import SandboxServer, Workspace
from tests.lake.stores.kinds import REGION, Endpoint
from tests.support.faulty_s3 import S3Faults, faulty_s3
from tests.support.nursery import Nursery
from tests.support.rig import Rig
from tests.survival.life import GROUPS, Faulty, Life
from tests.survival.places import InS3, OnDisk, Place, disk

LANES = ("local-parquet", "local-delta", "s3-parquet", "s3-delta")
CYCLES = 10
NOW = 1_793_707_200
SMALL = {
    "contacts": 14, "companies": 6, "conversations": 8, "articles": 5, "tags": 4, "segments": 2, "admins": 3,
    "teams": 2, "history_days": 32,
}  # fmt: skip
_PATIENCE = {"config_kwargs": {"read_timeout": 1, "connect_timeout": 1, "retries": {"max_attempts": 2}}}
"""For requests that hang: less than the proxy waits."""


class Lane:
    """Where lives of one kind take place: what is started once for all of them."""

    def __init__(self, name: str, folder: Path, nursery: Nursery, stack: ExitStack) -> None:
        self.name, self._folder, self._nursery = name, folder, nursery
        self._disk = stack.enter_context(disk(folder / "disk"))
        self._s3 = _S3(stack) if name.startswith("s3") else None
        self.tally: Counter[str] = Counter()

    def one_life(
        self,
        seed: int,
        number: int,
        going_on: Callable[[], bool] = lambda: True,
        cycles: int = CYCLES,
        groups: Sequence[list[str]] = GROUPS,
    ) -> str | None:
        """Live one life; what has failed, with the history that leads to it, or None."""
        moments = random.Random(f"{seed} {self.name} {number}")
        workspace = Workspace.seeded(now=NOW, seed=moments.randrange(1000), **SMALL)
        log = self._folder / "log"
        log.unlink(missing_ok=True)
        with SandboxServer(workspace) as server, self._place(marks=moments.random() < 0.4) as (place, faulty):
            watermarks = self._folder / "watermarks"
            shutil.rmtree(watermarks, ignore_errors=True)
            rig = Rig(server, place.url, storage=place.storage, table_format=place.table_format)
            life = Life(rig, place, self._nursery, watermarks, log, moments, self.tally, faulty, groups=groups)
            try:
                life.live(cycles, going_on)
            except Exception as error:  # also one of a reader, of a file that is broken
                self.tally += getattr(error, "counts", Counter())
                self._keep(place, number)
                marking = ", where rows are marked" if place.marks else ""
                return "\n".join([
                    f"{self.name}, life {number} of seed {seed}{marking}: {type(error).__name__}: {error}",
                    *(f"  {line}" for line in life.history),
                ])  # fmt: skip
        return None

    @contextmanager
    def _place(self, *, marks: bool) -> Iterator[tuple[Place, Faulty | None]]:
        table_format = TableFormat(self.name.partition("-")[2])
        for path in self._disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self._s3 is None:
            yield OnDisk(self._disk, table_format, marks), None
            return
        with self._s3.bucket() as bucket:
            yield InS3(self._disk, table_format, marks, self._s3.storage, self._s3.client, bucket), self._s3.faulty

    def _keep(self, place: Place, number: int) -> None:
        """Keep the lake and the log of a life that has failed."""
        kept = self._folder / f"failed-life-{number}"
        for path, copy in place.copy("").items():
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            (kept / path).write_bytes(copy.content)
        shutil.copytree(self._folder / "watermarks", kept / "watermarks")
        shutil.copy(self._folder / "log", kept / "log")


class _S3:
    """An S3 server in this process, and a proxy before it that can spoil requests."""

    def __init__(self, stack: ExitStack) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else it tells each request
        one_at_a_time(DomainDispatcherApplication)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        stack.callback(server.stop)
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        self.client: Any = Endpoint(url, "test", "test").client()
        stack.callback(self.client.close)
        self.storage = {"endpoint_url": url, "key": "test", "secret": "test", "client_kwargs": {"region_name": REGION}}
        faults = S3Faults()
        proxy = stack.enter_context(faulty_s3(url, faults))
        self.faulty = Faulty(faults, {**self.storage, "endpoint_url": proxy, **_PATIENCE})

    @contextmanager
    def bucket(self) -> Iterator[str]:
        name = f"lake-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        yield name
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for one in page.get("Contents", []):
                self.client.delete_object(Bucket=name, Key=one["Key"])
        self.client.delete_bucket(Bucket=name)


def one_at_a_time(application: type) -> None:
    """Let a WSGI application answer one request after the other: moto fails where it lists what another one deletes."""
    lock, answer = Lock(), application.__call__

    def locked(*given: Any) -> Any:
        with lock:
            return answer(*given)

    application.__call__ = locked  # type: ignore[method-assign]


def main(arguments: list[str]) -> None:
    """The lives of one worker. It forks, so it must begin before any thread does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lane", choices=LANES)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--lives", type=int, nargs=2, default=(1, 1), help="the first, and how many to the next one")
    parser.add_argument("--life", type=int)
    given = parser.parse_args(arguments)
    end = time.monotonic() + 60 * given.minutes
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has begun it ends it
    first, step = given.lives
    folder = given.folder / f"{given.lane}-{given.life or first}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        nursery = stack.enter_context(Nursery(forked=True))
        signal.signal(signal.SIGTERM, lambda *_: (nursery.stop(), sys.exit(1)))  # so that no disk stays mounted
        lane = Lane(given.lane, folder, nursery, stack)

        def going_on() -> bool:
            spoilt = lane._s3.faulty.faults.counts if lane._s3 else {}
            told = {"lane": lane.name, "worker": first, "tally": lane.tally, "spoilt": spoilt}
            print(json.dumps(told), flush=True)
            return time.monotonic() < end

        for number in [given.life] if given.life is not None else count(first, step):
            if not going_on():
                break
            failed = lane.one_life(given.seed, number, going_on)
            lane.tally["lives"] += 1
            if failed is not None:
                print(json.dumps({"lane": lane.name, "life": number, "failed": failed}), flush=True)
        going_on()
