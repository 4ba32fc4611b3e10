"""`make bench`: measures the parts that are named, or all, each in a process of its own; see README.md beside this."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pyarrow as pa

from tests.benchmarks.processes import ROOT
from tests.benchmarks.table import Row

PARTS = (
    "decode",
    "checksums",
    "rate",
    "reading",
    "start",
    "volume",
    "hourly",
    "merging",
    "children",
    "conversation_parts",
    "load",
    "memory",
    "scale",
)
"""The quick ones first."""
IF_NAMED = ("peers",)
"""Asks the internet."""
_MET = {None: "", True: "met", False: "MISSED"}


def measured(part: str) -> Iterator[Row]:
    """The rows of a part as they come; one that fails ends with a row that says so."""
    command = [sys.executable, "-m", "tests.benchmarks.part", part]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Row(**json.loads(line))
    if process.returncode:
        yield Row(part, f"failed with status {process.returncode}, see above", met=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each row as it comes; 1 when a target was missed or a part failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=[[], *PARTS, *IF_NAMED], metavar="PART", help=", ".join((*PARTS, *IF_NAMED))
    )
    parser.add_argument("--markdown", action="store_true", help="at the end, all rows as a Markdown table")
    options = parser.parse_args(arguments)
    machine = (
        f"Python {platform.python_version()}, pyarrow {pa.__version__}, {os.cpu_count()} cores; "
        f"python -m tests.benchmarks.run {shlex.join(options.parts)}".rstrip()
    )
    print(machine, flush=True)
    rows = []
    for part in options.parts or PARTS:
        started = time.monotonic()
        print(f"\n{part} (load average {os.getloadavg()[0]:.1f})", flush=True)
        for row in measured(part):
            rows.append(row)
            print(f"  {row.what}: {row.figure}  [{row.reach}] {_MET[row.met]}".replace("  [] ", ""), flush=True)
        print(f"  ({time.monotonic() - started:.0f} s)", flush=True)
    if options.markdown:
        print(f"\n{_markdown(machine, rows)}")
    return int(any(row.met is False for row in rows))


def _markdown(machine: str, rows: Sequence[Row]) -> str:
    lines = ["| what | figure | target | |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.figure} | {row.reach} | {_MET[row.met]} |" for row in rows]
    return "\n".join([f"`{machine}`", "", *lines])


if __name__ == "__main__":
    raise SystemExit(main())
