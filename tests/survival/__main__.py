"""Lakes live through kills, freezes, restored copies, two hosts, full disks and spoilt requests, until a time is over.

``python -m tests.survival --minutes 60 --seed 7`` (`make soak ONLY=survival MINUTES=60 SEED=7`). Four lanes at the same
time: local and S3, plain files and Delta. In each, one lake after the other lives through what its seed draws. After
each event a plain reader must see no key twice, and after a clean run every table must be what the workspace is.
A failure does not end it: it is told with the history that leads to it, and with the command that repeats it. Kills
come at a step or at a time, so a life is repeated as far as time can be.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import IO

from tests.support.nursery import Fork
from tests.survival.lane import LANES
from tests.survival.lane import main as lane_main

_LINE = ("kills", "freezes", "clean runs", "looks", "rows compared")
_WRONG = ("lost", "doubled", "stale")


class Report:
    """What all lanes have told until now."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._told: dict[tuple[str, int], Counter[str]] = {}
        self.failures: list[str] = []
        self.cut_off: float | None = None
        """The minutes after which it was ended by a signal; all until then counts."""

    def listen(self, lines: IO[str]) -> None:
        """Take in what a lane tells, until it ends."""
        for line in lines:
            told = json.loads(line)
            if "failed" in told:
                self.failures.append(f"{told['failed']}\n{self._repeat(told['lane'], told['life'])}")
                print(f"\n{told['failed']}\n", flush=True)
            else:
                spoilt = {f"spoilt requests: {kind}": count for kind, count in told["spoilt"].items()}
                self._told[told["lane"], told["worker"]] = Counter({**told["tally"], **spoilt})

    def line(self, minutes: float) -> str:
        """How far it has got."""
        total = self.total()
        some = ", ".join(f"{total[name]:,} {name}" for name in _LINE)
        return f"{minutes:4.0f} min: {some}, {len(self.failures)} failures"

    def table(self) -> str:
        """Numbers of events and checks, by lane."""
        total, lanes = self.total(), sorted({lane for lane, _ in self._told})
        names = [*sorted(total.keys() - {*_WRONG}), *_WRONG]
        of_lanes = [self.total(lane) for lane in lanes]
        head = ["", *lanes, "all"]
        rows = [head, *([name, *(f"{one[name]:,}" for one in (*of_lanes, total))] for name in names)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if not at else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )

    def end(self) -> str:
        """What is said at the end."""
        how = f"{len(self.failures)} failures" if self.failures else "nothing lost, nothing doubled, nothing stale"
        early = [] if self.cut_off is None else [f"ended by a signal after {self.cut_off:.0f} minutes"]
        return "\n\n".join([self.table(), *self.failures, *early, how])

    @property
    def status(self) -> int:
        """The exit status."""
        return 1 if self.failures or self.cut_off is not None else 0

    def _repeat(self, lane: str, life: int) -> str:
        return f"repeat: python -m tests.survival --seed {self.seed} --lane {lane} --life {life}"

    def total(self, lane: str | None = None) -> Counter[str]:
        """The sum over all lanes, or the workers of one."""
        return sum((told for (name, _), told in self._told.items() if lane in (None, name)), Counter[str]())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.survival", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="when to end (30)")
    parser.add_argument("--seed", type=int, help="from which all events are drawn")
    parser.add_argument("--lane", choices=LANES, action="append", help="only this kind of lake; may be repeated")
    parser.add_argument("--life", type=int, help="only the life of this number")
    parser.add_argument(
        "--folder", type=Path, help="where lakes and logs of failed lives are kept; a new one otherwise"
    )
    parser.add_argument("--workers", type=int, default=3, help="processes for each kind of lake (3)")
    given = parser.parse_args(arguments)
    seed = given.seed or random.SystemRandom().randrange(1, 10**9)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="survival-"))
    print(f"survival: seed {seed}, {given.minutes:g} minutes, in {folder}", flush=True)
    report = run(given.lane or list(LANES), seed, given.minutes, folder, given.life, given.workers)
    print(f"\nsurvival: seed {seed}, {given.minutes:g} minutes\n{report.end()}")
    return report.status


def run(lanes: list[str], seed: int, minutes: float, folder: Path, life: int | None, workers: int) -> Report:
    """All lanes at the same time, each in processes of its own, which share the numbers of lives among them."""
    report, began = Report(seed), time.monotonic()
    processes: dict[Fork, str] = {}
    for number in range(1, workers + 1):
        for lane in lanes:
            some = ["--lives", str(number), str(workers)] if life is None else ["--life", str(life)]
            command = [lane, "--seed", str(seed), "--minutes", str(minutes), "--folder", str(folder), *some]
            processes[Fork(partial(lane_main, command))] = lane
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no lane stays
    try:
        listeners = [threading.Thread(target=report.listen, args=(process.stdout,)) for process in processes]
        for listener in listeners:
            listener.start()
        while any(listener.is_alive() for listener in listeners):
            next_minute = time.monotonic() + 60
            for listener in listeners:
                listener.join(max(0.0, next_minute - time.monotonic()))
            print(report.line((time.monotonic() - began) / 60), flush=True)
        for process, lane in processes.items():
            if status := process.wait():
                report.failures.append(f"{lane}: the lane has ended with status {status}")
    except (KeyboardInterrupt, SystemExit):
        report.cut_off = (time.monotonic() - began) / 60
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    return report


if __name__ == "__main__":
    sys.exit(main())
