"""Whether the container that this runs in is well: exit status 0, or 1 and why. The image's HEALTHCHECK.

``serve.py`` is well as long as it asks Prefect for runs, which its own web server knows. A container of a single run,
which a worker has started, ends with its run: as long as it is there it is well.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path


def main(first_process: Path = Path("/proc/1/cmdline")) -> int:
    """The exit status; an answer other than 200 comes as OSError."""
    if b"serve.py" not in first_process.read_bytes():
        return 0
    past_proxies = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    port = os.environ.get("PREFECT_RUNNER_SERVER_PORT", "8080")
    try:
        past_proxies.open(f"http://localhost:{port}/health", timeout=5).close()
    except OSError as error:
        print(f"serve.py does not ask Prefect for runs any more, or not yet: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
