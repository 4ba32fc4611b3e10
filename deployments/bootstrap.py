"""Set up a Prefect server for this package: ``python deployments/bootstrap.py``. Running it again changes nothing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from intercom.config.redaction import one_line
from intercom.errors import IntercomLakeError
from intercom.orchestration.server.provision import check_api, connections_of, set_up


def main() -> int:
    """Exit status 0 when everything is set up, 1 after an error, which is printed in one sentence."""
    parser = argparse.ArgumentParser(
        description="Register the block types, create the work pool and a concurrency limit for each connection. "
        "Prefect's server is the one of PREFECT_API_URL. What is there already stays as it is."
    )
    parser.add_argument(
        "--connections-file", type=Path, metavar="FILE", help="Save the connections of this YAML file as blocks, too."
    )
    options = parser.parse_args()
    try:
        for line in _steps(options):
            print(line, flush=True)
    except IntercomLakeError as error:
        print(error, file=sys.stderr)
        return 1
    except httpx.HTTPError as error:
        print(f"Prefect's API has failed: {one_line(error)}\nRun again: what was made stays.", file=sys.stderr)
        return 1
    return 0


def _steps(options: argparse.Namespace) -> Iterator[str]:
    """Set up the server; yields a line per step. The file is read first, so that an invalid file changes nothing."""
    connections = connections_of(options.connections_file, os.environ) if options.connections_file else []
    yield f"Prefect at {check_api()}"
    yield from set_up(connections)


if __name__ == "__main__":
    raise SystemExit(main())
