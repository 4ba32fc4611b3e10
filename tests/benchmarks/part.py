"""One part of the benchmarks in a process of its own: a JSON object a line for each row that it measures."""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict

if __name__ == "__main__":
    lines = sys.stdout
    with redirect_stdout(sys.stderr):  # what the measured code prints is no row
        for row in importlib.import_module(f"tests.benchmarks.{sys.argv[1]}").measure():
            print(json.dumps(asdict(row)), file=lines, flush=True)
