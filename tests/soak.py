"""`make soak`: the long forms of the tests that try at random, until a time is over.

Tests with random moments, random values and long histories are small in `make test`. Here each file of them runs again
and again with another seed: more examples of each law, more histories, all time zones, whole fault matrices. Beside
them lakes live through kills, freezes, restored copies and broken stores: `tests.survival`, the part named `survival`.
The first failure does not end it; each is shown with what repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
SURVIVAL = "survival"
# Files that ask how much to try, that take cases by turns, or draw examples, have a long form.
_LONG = re.compile(
    r"\beffort\(|\bSOAK\b|\bby_turns\(|\bin_both_formats\b|\bremoving_and_marking\b|^from hypothesis ", re.MULTILINE
)
_EXAMPLES = re.compile(r"(\d+) passing(?: examples)?, ")
_PASSED = re.compile(r"(\d+) passed")


@dataclass
class Tried:
    """What one file has tried, over all its rounds."""

    rounds: int = 0
    cut_off: int = 0
    tests: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        what = ", ".join(f"{number:,} {what}" for what, number in sorted(self.counts.items()))
        cut = f", {self.cut_off} cut off by the end" if self.cut_off else ""
        failed = f", {len(self.failures)} FAILED" if self.failures else ""
        return f"{name}: {self.rounds} rounds{cut}, {self.tests} tests{failed}, {self.seconds:.0f} s: {what or '-'}"


def files() -> list[Path]:
    return sorted(path for path in TESTS.rglob("test_*.py") if _LONG.search(path.read_text()))


def run(path: Path, seed: int, end: float, into: Tried) -> None:
    """One round of a file, ended when the time is over."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "tried"
        environment = {**os.environ, "SOAK": "1", "SOAK_LOG": str(log), "RANDOM_KILLS": str(seed)}
        command = [
            sys.executable, "-m", "pytest", str(path), "-q", "--tb=short", "--timeout=3600", "-p", "no:cacheprovider",
            f"--hypothesis-seed={seed}", "--hypothesis-show-statistics", f"--basetemp={folder}/tests",
        ]  # fmt: skip
        began = time.monotonic()
        with subprocess.Popen(
            command, env=environment, cwd=TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                output, _ = process.communicate(timeout=max(1.0, end - began))
            except subprocess.TimeoutExpired:
                process.terminate()  # pytest ends its fixtures, so no server stays
                output, _ = process.communicate()
                into.cut_off += 1
            else:
                into.rounds += 1
                if process.returncode:
                    into.failures.append(f"RANDOM_KILLS={seed} pytest {path} --hypothesis-seed={seed}\n{output}")
        into.seconds += time.monotonic() - began
        into.tests += sum(map(int, _PASSED.findall(output)))
        into.counts["examples"] += sum(map(int, _EXAMPLES.findall(output)))
        for what, number in map(json.loads, log.read_text().splitlines() if log.exists() else []):
            into.counts[what] += number
        into.counts = +into.counts  # without zeros


def survival(minutes: float, seed: int) -> subprocess.Popen[bytes]:
    """Begin the lives of lakes for so long; their process tells how they are, and ends with 1 if one has failed."""
    command = [sys.executable, "-m", "tests.survival", "--minutes", f"{minutes:g}", "--seed", str(seed)]
    return subprocess.Popen(command, cwd=TESTS.parent)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="when to end (30)")
    parser.add_argument("--only", default="", help="only files with this in their path, or survival")
    parser.add_argument("--seed", type=int, default=None, help="of the first round; the next rounds count on")
    given: Any = parser.parse_args(arguments)
    first = given.seed or random.SystemRandom().randrange(1, 10**9)
    if given.only == SURVIVAL:
        return survival(given.minutes, first).wait()
    chosen = [path for path in files() if given.only in str(path.relative_to(TESTS))]
    if not chosen:
        parser.error(f"no test with a long form has '{given.only}' in its path")
    beside = None if given.only else survival(given.minutes, first)
    end = time.monotonic() + 60 * given.minutes
    all_tried = {path: Tried() for path in chosen}
    order = random.Random(first)

    def one_after_the_other(path: Path, seed: int) -> None:
        if time.monotonic() < end:
            run(path, seed, end, all_tried[path])
            print(all_tried[path].line(str(path.relative_to(TESTS))), flush=True)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for seed in count(first):
            if time.monotonic() >= end:
                break
            order.shuffle(chosen)
            for future in [pool.submit(one_after_the_other, path, seed) for path in chosen]:
                future.result()

    failures = [failure for tried in all_tried.values() for failure in tried.failures]
    total: Counter[str] = sum((tried.counts for tried in all_tried.values()), Counter())
    untried = [str(path.relative_to(TESTS)) for path, tried in all_tried.items() if not tried.rounds + tried.cut_off]
    print(f"\nseeds from {first}, {given.minutes:g} minutes, {len(chosen)} files:")
    print("\n".join(f"  {number:,} {what}" for what, number in sorted(total.items())))
    if untried:
        print(f"  not reached in this time: {', '.join(untried)}")
    print(*failures, sep="\n\n")
    print(f"{len(failures)} rounds failed" if failures else "no round failed")
    survived = beside is None or beside.wait() == 0
    return 1 if failures or not survived else 0


if __name__ == "__main__":
    raise SystemExit(main())
