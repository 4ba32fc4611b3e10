"""The image's HEALTHCHECK: exit status 0 while this container works, else 1 and the reason.

``serve`` works while it polls Prefect for runs, which its own web server reports. A container that a worker has
started for one run ends with that run, so it works while it exists.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path


def main(first_process: Path = Path("/proc/1/cmdline")) -> int:
    """The exit status. `open` raises OSError also for an HTTP error status."""
    command = first_process.read_bytes().split(b"\0")
    if not any(word == b"serve" or word.endswith(b"serve.py") for word in command):
        return 0
    past_proxies = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    port = os.environ.get("PREFECT_RUNNER_SERVER_PORT", "8080")
    try:
        past_proxies.open(f"http://localhost:{port}/health", timeout=5).close()
    except OSError as error:
        print(f"serve does not ask Prefect for runs any more, or not yet: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
